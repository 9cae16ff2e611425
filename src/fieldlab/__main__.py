"""``python -m fieldlab`` is the command line."""

from __future__ import annotations

from fieldlab.cli.entry import main

main()
