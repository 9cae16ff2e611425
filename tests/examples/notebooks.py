"""Running examples as their readers do: the campaign first, then the notebook, in a copy."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from tests.cli.program import finish, start

EXAMPLES = Path(__file__).parents[2] / "examples"
#: longest that a cell may take, s
PATIENCE_S = 100


def copied(example: str, folder: Path, replaced: Mapping[str, str]) -> Path:
    """Copy an example, parts of its definition replaced to make it smaller."""
    copy = folder / example
    shutil.copytree(EXAMPLES / example, copy, ignore=shutil.ignore_patterns("__pycache__"))
    definition = copy / "experiment.yaml"
    text = definition.read_text()
    for before, after in replaced.items():
        assert before in text, f"{example} has no '{before}' any more"
        text = text.replace(before, after)
    definition.write_text(text)
    return copy


def run_campaign(folder: Path) -> tuple[int, str]:
    """Run an example's campaign: the exit code, and what was told."""
    code, out, err = finish(start("run", "experiment.yaml", folder=folder))
    return code, out + err


def executed(notebook: Path) -> list[dict[str, Any]]:
    """Execute a notebook where it lies; give the outputs of all its cells, each by media type."""
    document = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    resources = {"metadata": {"path": str(notebook.parent)}}
    client = NotebookClient(
        document, timeout=PATIENCE_S, kernel_name="python3", resources=resources
    )
    client.execute()
    outputs = [output for cell in document.cells for output in cell.get("outputs", ())]
    return [dict(output.get("data", {})) for output in outputs]
