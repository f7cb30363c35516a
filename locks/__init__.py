"""Locks: one method in each file."""
