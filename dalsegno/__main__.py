"""`python -m dalsegno` is the command `dalsegno`."""

from __future__ import annotations

import sys


def run() -> int | None:
    """Exit code of the command line; the import waits so that reading this module costs nothing."""
    from dalsegno.cli import main

    return main()


if __name__ == "__main__":
    sys.exit(run())
