"""From a suite or a command line to cells, with the controls that each of them needs. No torch here."""

from bench.plan.build import ASKED, Planned, accepted, build, check_accepts
from bench.plan.cells import TASK, cell_under, check_used, fits, key_method, make_cell, side_of
from bench.plan.checks import check
from bench.plan.controls import controls_of
from bench.plan.recipe import Recipe, recipe_names
from bench.plan.suite_file import GROUPS
from bench.plan.suites import (
    DEFAULTS,
    SUITES,
    SuiteLine,
    narrowed,
    parse_params,
    parse_seeds,
    parse_sweeps,
    read_recipe,
    read_suite,
    suite_lines,
    suite_names,
    suite_plugins,
)

__all__ = [
    "ASKED",
    "DEFAULTS",
    "GROUPS",
    "SUITES",
    "TASK",
    "Planned",
    "Recipe",
    "SuiteLine",
    "accepted",
    "build",
    "cell_under",
    "check",
    "check_accepts",
    "check_used",
    "controls_of",
    "fits",
    "key_method",
    "make_cell",
    "narrowed",
    "parse_params",
    "parse_seeds",
    "parse_sweeps",
    "read_recipe",
    "read_suite",
    "recipe_names",
    "side_of",
    "suite_lines",
    "suite_names",
    "suite_plugins",
]  # fmt: skip
