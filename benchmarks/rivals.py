"""The other tools: an environment of their own, so that they share no package with fieldlab."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from benchmarks.measuring import ROOT

ENVIRONMENT = ROOT / "build" / "bench-venv"
REQUIREMENTS = ROOT / "benchmarks" / "requirements.txt"
_BIN = ENVIRONMENT / "bin"
PYTHON = str(_BIN / "python")
#: programs that no Python package brings
_SYSTEM = ("parallel", "rsync", "ssh", "xargs")


def install() -> None:
    """Make the environment and install what requirements.txt pins, with uv if there is one.

    Raises
    ------
    subprocess.CalledProcessError
        uv or pip failed, and has said why.
    """
    uv = shutil.which("uv")
    if uv:
        subprocess.run([uv, "venv", "--clear", "--python", sys.executable, ENVIRONMENT], check=True)
        pip = [uv, "pip", "install", "--python", PYTHON]
    else:
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        pip = [PYTHON, "-m", "pip", "install"]
    subprocess.run([*pip, "--requirement", REQUIREMENTS], check=True)
    # a first start that compiles would be measured otherwise
    subprocess.run([PYTHON, "-m", "compileall", "-q", "-j", "0", ENVIRONMENT / "lib"], check=False)


@cache
def version(name: str) -> str | None:
    """Tell the version of a tool; None when it isn't installed."""
    if name in _SYSTEM:
        program = shutil.which(name)
        return _system_version(program) if program else None
    return _distributions().get(name)


def script(name: str) -> str:
    """Give the path of a program that a Python package of the environment brings."""
    return str(_BIN / name)


def _system_version(program: str) -> str:
    option = "-V" if Path(program).name == "ssh" else "--version"
    said = subprocess.run([program, option], capture_output=True, text=True, check=False)
    found = re.search(r"\d[\w.]*", said.stdout or said.stderr)
    return found.group() if found else ""


@cache
def _distributions() -> dict[str, str]:
    """List what is installed in the environment."""
    if not Path(PYTHON).exists():
        return {}
    code = (
        "from importlib.metadata import distributions\n"
        "for each in distributions(): print(each.metadata['Name'], each.version)"
    )
    said = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)
    return dict(line.split() for line in said.stdout.splitlines())
