"""How long a test waits for a process before it calls it hung."""

HANGS = 1200
"""Seconds: longer than a busy machine takes."""
