"""Studies over stores."""
