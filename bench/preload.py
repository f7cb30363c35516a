"""Imports that models of keys and attacks need, and that take seconds."""

import bench.editors.engine  # noqa: F401
