"""``python -m bench.cli``."""

from bench.cli.app import main

main()
