"""The command line."""

from __future__ import annotations

import sys

PLATFORMS = "LockBench runs on Linux, macOS or WSL."


def main() -> None:
    """The entry point of `bench`."""
    if sys.platform == "win32":  # before anything is imported that is not there
        sys.stderr.write(PLATFORMS + "\n")
        sys.exit(2)
    from bench.cli import stopping

    try:
        stopping.listen()  # before anything is imported that takes long
        from bench.cli.app import main

        main()
    except BaseException:  # a library may make an error of its own of what stops it
        if stopping.asked():
            stopping.leave()
        raise
