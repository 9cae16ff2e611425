"""The public names: all there, all documented, and nothing heavy behind them."""

from __future__ import annotations

import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import fieldlab

HEAVY = (
    *("alembic", "numpy", "pandas", "pyarrow", "pydantic", "rich", "scipy", "sqlalchemy", "typer"),
    *("fieldlab.app", "fieldlab.notebook"),
)


def test_every_public_name_is_there_and_documented() -> None:
    assert sorted(fieldlab.__all__) == fieldlab.__all__
    for name in fieldlab.__all__:
        member = getattr(fieldlab, name)
        assert isinstance(member, str) or inspect.getdoc(member), name


def test_nothing_else_is_public() -> None:
    public = {
        name
        for name, member in vars(fieldlab).items()
        if not name.startswith("_") and not inspect.ismodule(member) and name != "annotations"
    }
    assert public <= set(fieldlab.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    assert not hasattr(fieldlab, "runs")
    assert set(fieldlab.__all__) <= set(dir(fieldlab))


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert fieldlab.__version__ == project["project"]["version"]


def test_importing_it_is_light() -> None:
    """Every file of trial functions does it, in every worker."""
    program = f"import sys, fieldlab; print([n for n in {HEAVY!r} if n in sys.modules])"
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_the_mark_leaves_a_function_as_it_is() -> None:
    def measure(x: int) -> dict[str, int]:
        return {"y": x}

    assert fieldlab.tool(measure) is measure
    assert measure(2) == {"y": 2}
