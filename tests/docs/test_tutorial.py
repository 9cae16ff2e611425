"""The tutorial does what it says: its files are written, its commands run, in its order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import blocks, commands, matches, run

#: a reader sleeps for a while; here the kill waits until it hits a campaign in the middle
_SLEEP = "sleep 3;"
_UNTIL_MIDDLE = (
    'until [ "$(cat .fieldlab/status/waves.1.csv 2>/dev/null | wc -l)" -gt 5 ]; do sleep 0.1; done;'
)


@pytest.mark.timeout(300)
def test_every_step_of_the_tutorial(folder: Path) -> None:
    for block in blocks("tutorial.md"):
        if block.title:
            (folder / block.title).write_text(block.text)
        if block.language != "console":
            continue
        for shown in commands(block):
            code, printed = run(shown.command.replace(_SLEEP, _UNTIL_MIDDLE), folder)
            where = f"docs/tutorial.md:{block.line}, $ {shown.command}"
            assert code == 0, f"{where}\n{printed}"
            assert matches(shown.printed, printed), f"{where}\n{printed}"
