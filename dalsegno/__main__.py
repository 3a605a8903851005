"""`python -m dalsegno` is the command `dalsegno`."""

from __future__ import annotations

import sys


def run() -> int | None:
    """Exit code of the command line; the import waits so that reading this module costs nothing."""
    try:
        from dalsegno.cli import main

        return main()
    except KeyboardInterrupt:  # while the command line is being imported
        return 130


if __name__ == "__main__":
    sys.exit(run())
