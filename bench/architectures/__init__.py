"""Architectures whose public weights the miniature pack carries: where victim, lock and attacker start."""
