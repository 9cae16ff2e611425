"""The example of an adaptive search: it finds gains, goes on after a stop, draws its picture."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

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


def test_the_search_goes_on_and_is_compared(folder: Path) -> None:
    copy = folder / "adaptive"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert run(copy, "search.py", "10").startswith("after 10 trials: error ")
    assert run(copy, "search.py", "15").startswith("after 15 trials: error ")
    run(copy, "compare.py", "picture.png")
    assert (copy / "picture.png").read_bytes().startswith(PNG_SIGNATURE)
    status = json.loads(run(copy, "-m", "fieldlab", "status", "--json"))
    assert {each["name"]: each["done"] for each in status} == {
        "controller.1": 15,
        "controller-random.1": 15,
    }
