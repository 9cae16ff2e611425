"""The JSON Schema of a definition file, which lets editors complete and check it."""

from __future__ import annotations

from typing import Any

from fieldlab.definitions.model import ExperimentFile


def json_schema() -> dict[str, Any]:
    """Give the JSON Schema (draft 2020-12) of a definition file.

    It says how things are written. Whether they fit together (names in expressions, lengths of
    zipped axes …) only :func:`fieldlab.definitions.load` can say.
    """
    generated: dict[str, Any] = _tidied(ExperimentFile.model_json_schema())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **generated,
        "title": "fieldlab experiment",
    }


def _tidied(node: Any, *, names: bool = False) -> Any:
    """Drop what the generator repeats, and close the mappings whose keys have a pattern.

    ``names`` says that the keys of ``node`` are names of a definition, not words of the schema.
    """
    if isinstance(node, list):
        return [_tidied(item) for item in node]
    if not isinstance(node, dict):
        return node
    if names:
        return {name: _tidied(item) for name, item in node.items()}
    # Titles repeat the names. A default that is a mapping or list only says "absent".
    dropped = {"title"} | ({"default"} if isinstance(node.get("default"), dict | list) else set())
    tidy = {
        key: item if key == "default" else _tidied(item, names=key in ("properties", "$defs"))
        for key, item in node.items()
        if key not in dropped
    }
    if "patternProperties" in tidy:
        tidy["patternProperties"] = _tidied(node["patternProperties"], names=True)
        tidy["additionalProperties"] = False
    return tidy
