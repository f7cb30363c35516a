"""Attacks: one method a file; what several share is in `attacks.kit`."""
