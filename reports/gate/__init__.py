"""Whether a security number has got worse."""
