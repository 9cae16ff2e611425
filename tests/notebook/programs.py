"""Scripts as users write them: no guard for the main module, run as processes of their own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from tests.waiting import PATIENCE_S


def written(folder: Path, text: str, name: str = "script.py") -> Path:
    """Write a script into a folder."""
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


def start(path: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a script in its folder."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(path), *arguments],
        cwd=path.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def output(path: Path, *arguments: str) -> str:
    """Run a script to its end; what it prints."""
    process = start(path, *arguments)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    return out


def fieldlab(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of fieldlab."""
    return subprocess.run(
        [sys.executable, "-m", "fieldlab", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
