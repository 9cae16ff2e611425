"""Driving the command line: in this process where that is enough, else as a program of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

import fieldlab
from fieldlab.cli.main import app
from tests.waiting import PATIENCE_S

STUDY = """\
import pathlib
import time

def add(a, b=0):
    return {"total": a + b}

def fail_on_three(a, b=0):
    if a == 3 and not pathlib.Path("mended").exists():
        raise ValueError("three is no good")
    return {"total": a + b}

def fail(a, b=0):
    raise ValueError(f"never {a}")

def wait(a, b=0):
    started = pathlib.Path(f"started-{a}")
    started.touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    return {"total": a + b}
"""


_started: list[subprocess.Popen[str]] = []


def write_experiment(
    folder: Path,
    function: str = "add",
    *,
    a: str = "[1, 2, 3, 4]",
    name: str = "sums",
    more: str = "",
) -> Path:
    """Write a definition, and the functions that it may call."""
    (folder / "study.py").write_text(STUDY)
    file = folder / "experiment.yaml"
    file.write_text(
        f"name: {name}\n"
        f"tool: {{function: 'study.py:{function}'}}\n"
        f"space: {{matrix: {{a: {a}}}}}\n"
        "executor: {local: {slots: 2}}\n"
        f"{more}\n"
    )
    return file


def invoke(*words: str | Path) -> Result:
    """Run a command in this process, in the current folder."""
    return CliRunner().invoke(app, [str(word) for word in words])


def document(result: Result) -> Any:
    """Read the JSON document that a command wrote; it is all there is on stdout."""
    return json.loads(result.stdout)


def start(*words: str | Path, folder: Path) -> subprocess.Popen[str]:
    """Start the program, in a session of its own."""
    source = str(Path(fieldlab.__file__).parent.parent)
    process = subprocess.Popen(
        [sys.executable, "-m", "fieldlab", *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": source},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    _started.append(process)
    return process


def end_all() -> None:
    """End the programs that still run, each by its own id."""
    while _started:
        process = _started.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for the program: its exit code, and what it wrote to stdout and stderr."""
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err
