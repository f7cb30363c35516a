"""From a suite or a command line to cells, with the controls that each row needs. No torch here."""

from bench.plan.build import *  # noqa: F403
