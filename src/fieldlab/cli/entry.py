"""Where the program begins: Ctrl-C ends it quietly, even while its modules are being imported."""

from __future__ import annotations

import os
import signal
from typing import NoReturn

#: :attr:`fieldlab.cli.errors.ExitCode.INTERRUPTED`, which isn't to be had yet
_INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit with its code."""
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if usual:  # nothing has been begun yet that would have to be ended
        signal.signal(signal.SIGINT, _leave)
    from fieldlab.cli.main import main as run

    if usual:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run()
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None


def _leave(_number: int, _frame: object) -> NoReturn:
    os._exit(_INTERRUPTED)
