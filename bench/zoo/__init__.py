"""Locked checkpoints that come with the suite: what an attack author starts from."""
