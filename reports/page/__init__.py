"""Rows as a page and as pictures."""
