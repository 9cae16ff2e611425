"""Reading definitions with what there is here: tools, executors, sequences."""

from __future__ import annotations

from collections.abc import Mapping, Set
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from fieldlab.app.executors import EXECUTORS
from fieldlab.definitions import TOOLS, from_mapping, load
from fieldlab.domain.definition import Definition
from fieldlab.execution.sequences import quasi_sequence


def load_definition(path: Path) -> Definition:
    """Read and check a definition's file; see :func:`fieldlab.definitions.load`."""
    return load(path, quasi=quasi_sequence, tools=_tools(), executors=EXECUTORS)


def read_definition(data: Mapping[str, Any], folder: Path, tool: str) -> Definition:
    """Read and check a definition that a program has made.

    Parameters
    ----------
    folder
        Where relative paths in it start.
    tool
        The kind of its tool, which needn't be one that a file can name.
    """
    return from_mapping(
        data, folder, quasi=quasi_sequence, tools=_tools() | {tool}, executors=EXECUTORS
    )


def _tools() -> Set[str]:
    return TOOLS | {each.name for each in entry_points(group="fieldlab.tools")}
