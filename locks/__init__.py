"""Locks: one method a file; what several share is in `locks.kit`."""
