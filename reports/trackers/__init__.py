"""Experiment trackers: one run of a tracker for each cell."""
