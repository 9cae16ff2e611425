"""The JSON Schema agrees with what is loaded: an editor complains only where fieldlab does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from fieldlab.definitions import from_mapping, schema, template
from fieldlab.domain.errors import BadInput
from tests.definitions.test_loading import JSON_TEXT

EXAMPLES = sorted(Path(__file__).parents[2].glob("examples/*/experiment.yaml"))
COMMAND = {"command": ["x"]}


def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema())


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert "$id" not in schema()
    assert json.loads(json.dumps(schema())) == schema()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_the_examples_follow_it(path: Path) -> None:
    validator().validate(YAML(typ="safe", pure=True).load(path))


@pytest.mark.parametrize("kind", ["function", "command"])
def test_the_templates_follow_it(kind: str) -> None:
    text = template("trial-1", kind)["experiment.yaml"]
    validator().validate(YAML(typ="safe", pure=True).load(text))


def with_(**keys: Any) -> dict[str, Any]:
    return {"name": "a", "tool": {"function": "study.py"}, **keys}


def axis(data: Any, **more: Any) -> dict[str, Any]:
    return with_(space={"matrix": {"n": data}, **more})


@pytest.mark.parametrize(
    "data",
    [
        json.loads(JSON_TEXT),
        with_(),
        with_(tool={"function": {"call": "a.py:f"}}),
        with_(tool={**COMMAND, "read": {"format": "csv"}, "success": 3}),
        with_(tool={**COMMAND, "read": None, "environment": {"A": True}}),
        with_(executor="local"),
        with_(executor={"local": None}),
        with_(retry=3, guard=10, timeout=5),
        with_(retry={"delay": "1h 30m", "longest_delay": "250 ms"}, guard="off", timeout="1d"),
        with_(guard=False, retry={"backoff": 1}),
        with_(space={}),
        axis([1, 2.5, None]),
        axis(["x", None]),
        axis([True, False]),
        axis(5),
        axis({"choice": ["1", "a"]}),
        axis({"range": [1, 5]}),
        axis({"range": [0, 1, 0.1]}),
        axis({"linspace": [0, 1, 5]}),
        axis({"logspace": [0.001, 1, 4]}),
        axis({"uniform": [0, 1]}, sample={"count": 5}),
        axis({"loguniform": [1, 10]}, sample={"count": 5, "seed": 3, "method": "latin-hypercube"}),
        axis({"normal": [0, 1]}, sample={}),
        axis([1, 2], exclude=["n > 1"], repeat=2, order="shuffled", seed=4),
        axis([1, 2], exclude="n > 1"),
        axis([1, 2], exclude={"n": 2}, include={"n": 3}),
        axis([1, 2], include=[{"n": 9}], exclude=[{"n": 2}]),
        with_(space={"zip": [{"a": [1, 2], "b": [3, 4]}]}),
        with_(space={"zip": {"a": [1, 2], "b": [3, 4]}}),
        with_(space={"blocks": [{"matrix": {"n": [1]}}, {"include": [{"n": 4}]}]}),
    ],
    ids=lambda data: json.dumps(data)[:60],
)
def test_what_loads_follows_the_schema(data: dict[str, Any]) -> None:
    from_mapping(data, Path())
    validator().validate(data)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"name": "a"},
        with_(name="a b"),
        with_(nmae="b"),
        with_(tool={}),
        with_(tool={"function": 3}),
        with_(tool={"function": {"cal": "x"}}),
        with_(tool={"function": "a.py", "command": ["x"]}),
        with_(tool={"command": "python sim.py"}),
        with_(tool={"command": []}),
        with_(tool={**COMMAND, "environmnt": {}}),
        with_(tool={**COMMAND, "read": {"format": "xml"}}),
        with_(tool={**COMMAND, "success": []}),
        with_(executor={"local": {"slots": -1}}),
        with_(executor={"local": {"slot": 1}}),
        with_(retry=0),
        with_(retry={"attempts": "3"}),
        with_(guard="on"),
        with_(timeout="soon"),
        with_(space={"matrx": {}}),
        with_(space={"matrix": {"a b": [1]}}),
        axis([]),
        axis([[1]]),
        axis({"rang": [1, 2]}),
        axis({"range": [1]}),
        axis([1], repeat=0),
        axis([1], order="random"),
        axis([1], sample={"count": 0}),
    ],
    ids=lambda data: json.dumps(data)[:60],
)
def test_what_the_schema_refuses_does_not_load(data: dict[str, Any]) -> None:
    assert not validator().is_valid(data)
    with pytest.raises(BadInput):
        from_mapping(data, Path())


def objects(node: Any) -> Iterator[dict[str, Any]]:
    """Go through all the parts of the schema that describe mappings."""
    if isinstance(node, dict):
        if node.get("type") == "object":
            yield node
        for item in node.values():
            yield from objects(item)
    elif isinstance(node, list):
        for item in node:
            yield from objects(item)


def test_every_key_is_described_and_no_other_is_allowed() -> None:
    for node in objects(schema()):
        for name, entry in node.get("properties", {}).items():
            assert entry.get("description"), name
        if node.get("properties") and "maxProperties" not in node:
            assert node["additionalProperties"] is False
