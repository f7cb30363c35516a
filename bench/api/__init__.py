"""The functions behind the command line and notebooks."""
