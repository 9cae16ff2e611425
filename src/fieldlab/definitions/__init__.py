"""Reading experiment definitions: from what a user wrote to a checked Definition."""

from __future__ import annotations

from typing import Any

from fieldlab.definitions.loading import EXECUTORS, TOOLS, from_mapping, load, loads, locate
from fieldlab.definitions.templates import template

__all__ = ["EXECUTORS", "TOOLS", "from_mapping", "load", "loads", "locate", "schema", "template"]


def schema() -> dict[str, Any]:
    """Give the JSON Schema of a definition file, see :mod:`fieldlab.definitions.json_schema`."""
    # Imported when it is asked for, as pydantic is slow to import.
    from fieldlab.definitions.json_schema import json_schema

    return json_schema()
