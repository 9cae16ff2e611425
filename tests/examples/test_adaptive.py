"""The example of an adaptive search: it finds gains, goes on after a stop, draws its picture."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.examples.notebooks import executed

EXAMPLE = Path(__file__).parents[2] / "examples" / "adaptive"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def run(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def copied(folder: Path) -> Path:
    copy = folder / "adaptive"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def test_the_notebook_searches_and_draws(folder: Path) -> None:
    copy = copied(folder)
    notebook = copy / "adaptive.ipynb"
    text = notebook.read_text()
    assert "TRIALS = 60" in text
    notebook.write_text(text.replace("TRIALS = 60", "TRIALS = 12"))
    shown = executed(notebook)
    assert any("error" in output.get("text/html", "") for output in shown)
    assert sum("image/png" in output for output in shown) == 1
    status = json.loads(run(copy, "-m", "fieldlab", "status", "--json"))
    assert [(each["name"], each["done"]) for each in status] == [("controller.1", 12)]


def test_the_search_goes_on_and_is_compared(folder: Path) -> None:
    copy = copied(folder)
    assert run(copy, "search.py", "10").startswith("after 10 trials: error ")
    assert run(copy, "search.py", "15").startswith("after 15 trials: error ")
    run(copy, "compare.py", "picture.png")
    assert (copy / "picture.png").read_bytes().startswith(PNG_SIGNATURE)
    status = json.loads(run(copy, "-m", "fieldlab", "status", "--json"))
    assert {each["name"]: each["done"] for each in status} == {
        "controller.1": 15,
        "controller-random.1": 15,
    }
