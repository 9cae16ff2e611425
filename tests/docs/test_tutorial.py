"""The tutorials do what they say: their files are written, their commands run, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldlab.sandbox.fixtures import require_sandbox
from tests.docs.pages import blocks, commands, matches, run
from tests.workflows.staging import needs_program

#: a reader sleeps for a while; here the kill waits until it hits a campaign in the middle
_UNTIL_MIDDLE = (
    'until [ "$(cat .fieldlab/status/{campaign}.csv 2>/dev/null | wc -l)" -gt {rows} ];'
    " do sleep 0.1; done;"
)


@pytest.fixture
def bench(folder: Path) -> Iterator[Path]:
    """Stand in a folder whose sandbox is down afterwards, also after a failure."""
    require_sandbox()
    needs_program("ddsperf", "cyclonedds-tools")
    yield folder
    run("fieldlab sandbox down", folder)


@pytest.mark.timeout(300)
def test_every_step_of_the_tutorial(folder: Path) -> None:
    follow("tutorial.md", folder, {"sleep 3;": _UNTIL_MIDDLE.format(campaign="waves.1", rows=5)})


@pytest.mark.timeout(300)
def test_every_step_of_the_tutorial_on_a_bench(bench: Path) -> None:
    middle = _UNTIL_MIDDLE.format(campaign="dds-bench.1", rows=1)
    login = "ssh -F .fieldlab/sandbox/ssh_config h3"
    middle += f" until {login} pgrep ddsperf >/dev/null; do sleep 0.1; done;"
    follow("tutorial-bench.md", bench, {"sleep 5;": middle})


def follow(page: str, folder: Path, instead: dict[str, str]) -> None:
    """Do what a page says, with other ways to wait."""
    for block in blocks(page):
        if block.title:
            (folder / block.title).write_text(block.text)
        if block.language != "console":
            continue
        for shown in commands(block):
            command = shown.command
            for before, after in instead.items():
                command = command.replace(before, after)
            code, printed = run(command, folder)
            where = f"docs/{page}:{block.line}, $ {shown.command}"
            assert code == 0, f"{where}\n{printed}"
            assert matches(shown.printed, printed), f"{where}\n{printed}"
