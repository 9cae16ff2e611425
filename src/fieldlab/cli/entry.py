"""Where the program begins: Ctrl-C ends it quietly, even while its modules are being imported."""

from __future__ import annotations

import sys

#: :attr:`fieldlab.cli.errors.ExitCode.INTERRUPTED`, which isn't to be had yet
_INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        from fieldlab.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
