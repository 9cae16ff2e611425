"""Every example's notebook runs from the first cell to the last, and is kept without outputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.examples.notebooks import EXAMPLES, copied, executed, run_campaign

NOTEBOOKS = sorted(EXAMPLES.glob("*/*.ipynb"))
#: what makes each example's campaign small enough for a test
SMALLER = {
    "compressors": {"[2048]": "[64]", "repeat: 3": "repeat: 2", "{slots: 1}": "{slots: 2}"},
    "phase-transition": {"0.975, 20]": "0.975, 5]", "repeat: 8": "repeat: 2"},
}


def test_every_example_has_one() -> None:
    """But for that which brings up machines: a script does so, and takes them down again."""
    examples = {path.parent.name for path in EXAMPLES.glob("*/README.md")} - {"dds-bench"}
    assert {path.parent.name for path in NOTEBOOKS} == examples == {*SMALLER, "adaptive"}


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(notebook: Path) -> None:
    for cell in json.loads(notebook.read_text())["cells"]:
        assert not cell.get("outputs"), "clear them: jupyter nbconvert --clear-output --inplace"
        assert cell.get("execution_count") is None


@pytest.mark.timeout(300)
@pytest.mark.parametrize("example", SMALLER)
def test_it_shows_its_campaign(example: str, folder: Path) -> None:
    [notebook] = (path for path in NOTEBOOKS if path.parent.name == example)
    copy = copied(example, folder, SMALLER[example])
    _, told = run_campaign(copy)
    assert "finished" in told
    shown = executed(copy / notebook.name)
    html = "".join(output.get("text/html", "") for output in shown)
    assert f"{example}.1" in html
    assert "finished" in html
    assert sum("image/png" in output for output in shown) == 1
    assert not any("traceback" in output for output in shown)
