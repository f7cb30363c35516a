"""Attacks: one method in each file."""
