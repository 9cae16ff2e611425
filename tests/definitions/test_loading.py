"""What a definition says arrives in the Definition, whatever it is written in."""

from __future__ import annotations

import enum
import json
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from fieldlab.definitions import from_mapping, load, loads
from fieldlab.domain.definition import Definition, ExecutorSpec, ToolSpec
from fieldlab.domain.policies import FailureGuard, RetryPolicy

YAML_TEXT = """\
name: dds-latency
description: Latency over payload
project: middleware
experimenter: ada
funding: NSF-123
tool:
  command: [python3, sim.py, --size, "{size}", -n, 3]
  environment: {SEED: "{repeat}", THREADS: 2}
  directory: attempt
  read:
    format: regex
    file: out/log.txt
    values: {latency_us: "avg ([0-9.]+)"}
  success: [0, 3]
executor: {local: {slots: 4}}
retry: {attempts: 3, delay: 5s, backoff: 1.5, longest_delay: 1m, infrastructure_attempts: 4}
guard: {consecutive_failures: 7}
timeout: 1h30m
space:
  matrix: {size: [100, 1e3], reliable: [true, false]}
  exclude: ["size > 500 and not reliable"]
  repeat: 2
"""
JSON_TEXT = """\
{
  "name": "dds-latency",
  "description": "Latency over payload",
  "project": "middleware",
  "experimenter": "ada",
  "funding": "NSF-123",
  "tool": {
    "command": ["python3", "sim.py", "--size", "{size}", "-n", 3],
    "environment": {"SEED": "{repeat}", "THREADS": 2},
    "directory": "attempt",
    "read": {
      "format": "regex",
      "file": "out/log.txt",
      "values": {"latency_us": "avg ([0-9.]+)"}
    },
    "success": [0, 3]
  },
  "executor": {"local": {"slots": 4}},
  "retry": {
    "attempts": 3, "delay": "5s", "backoff": 1.5, "longest_delay": 60,
    "infrastructure_attempts": 4
  },
  "guard": 7,
  "timeout": 5400,
  "space": {
    "matrix": {"size": [100, 1e3], "reliable": [true, false]},
    "exclude": ["size > 500 and not reliable"],
    "repeat": 2
  }
}
"""
TOML_TEXT = """\
name = "dds-latency"
description = "Latency over payload"
project = "middleware"
experimenter = "ada"
funding = "NSF-123"
timeout = "90m"
guard = 7

[tool]
command = ["python3", "sim.py", "--size", "{size}", "-n", 3]
environment = {SEED = "{repeat}", THREADS = 2}
directory = "attempt"
read = {format = "regex", file = "out/log.txt", values = {latency_us = "avg ([0-9.]+)"}}
success = [0, 3]

[executor.local]
slots = 4

[retry]
attempts = 3
delay = 5
backoff = 1.5
longest_delay = "60s"
infrastructure_attempts = 4

[space]
matrix = {size = [100, 1e3], reliable = [true, false]}
exclude = ["size > 500 and not reliable"]
repeat = 2
"""
HERE = Path("/experiments/dds")
EXPECTED = Definition(
    name="dds-latency",
    description="Latency over payload",
    project="middleware",
    experimenter="ada",
    funding="NSF-123",
    tool=ToolSpec(
        kind="command",
        options={
            "argv": ["python3", "sim.py", "--size", "{size}", "-n", "3"],
            "environment": {"SEED": "{repeat}", "THREADS": "2"},
            "directory": "attempt",
            "success": [0, 3],
            "read": {
                "format": "regex",
                "file": "out/log.txt",
                "values": {"latency_us": "avg ([0-9.]+)"},
            },
        },
    ),
    executor=ExecutorSpec(kind="local", slots=4),
    retry=RetryPolicy(
        attempts=3, delay_s=5.0, backoff=1.5, longest_delay_s=60.0, infrastructure_attempts=4
    ),
    guard=FailureGuard(consecutive_failures=7),
    timeout_s=5400.0,
    space={
        "matrix": {"size": [100, 1000.0], "reliable": [True, False]},
        "exclude": ["size > 500 and not reliable"],
        "repeat": 2,
    },
    folder=str(HERE.resolve()),
)


def read(text: str) -> Definition:
    return loads(text, format="yaml", folder=HERE)


@pytest.mark.parametrize(
    ("form", "text"), [("yaml", YAML_TEXT), ("json", JSON_TEXT), ("toml", TOML_TEXT)]
)
def test_three_formats_say_the_same(form: str, text: str) -> None:
    assert loads(text, format=form, folder=HERE) == EXPECTED


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("experiment.yaml", YAML_TEXT),
        ("experiment.yml", "\ufeff" + YAML_TEXT.replace("\n", "\r\n")),
        ("EXPERIMENT.JSON", JSON_TEXT),
        ("experiment.toml", TOML_TEXT),
    ],
)
def test_a_file_is_read_by_its_ending_and_relative_to_its_folder(
    tmp_path: Path, name: str, text: str
) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode())
    definition = load(path)
    assert definition.to_dict() == {**EXPECTED.to_dict(), "folder": str(tmp_path.resolve())}


def test_a_relative_path_gives_an_absolute_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "experiment.yaml").write_text(YAML_TEXT)
    monkeypatch.chdir(tmp_path)
    assert load(Path("experiment.yaml")).folder == str(tmp_path.resolve())


def test_a_short_definition_gets_the_defaults() -> None:
    definition = read("name: a\ntool: {function: study.py:solve}\n")
    assert definition == Definition(
        name="a",
        tool=ToolSpec(kind="function", options={"call": "study.py:solve"}),
        space={},
        folder=str(HERE.resolve()),
    )


def test_a_short_command_gets_the_defaults_of_commands() -> None:
    definition = read("name: a\ntool: {command: [make, figure]}\n")
    assert definition.tool.options == {
        "argv": ["make", "figure"],
        "environment": {},
        "directory": "experiment",
        "success": [0],
        "read": None,
    }


@pytest.mark.parametrize(
    "call", ["study.py", "study.py:solve", "src/my study.py:Model.run", "package.module:solve"]
)
def test_functions_are_named_in_several_ways(call: str) -> None:
    short = from_mapping({"name": "a", "tool": {"function": call}}, HERE)
    long = from_mapping({"name": "a", "tool": {"function": {"call": call}}}, HERE)
    assert short == long
    assert short.tool.options == {"call": call}


@pytest.mark.parametrize("guard", ["off", "'off'", "false", "0", "{consecutive_failures: 0}"])
def test_the_guard_can_be_switched_off(guard: str) -> None:
    definition = read(f"name: a\ntool: {{function: a.py}}\nguard: {guard}\n")
    assert definition.guard == FailureGuard(consecutive_failures=0)


def test_a_number_is_enough_for_retries() -> None:
    definition = read("name: a\ntool: {function: a.py}\nretry: 3\n")
    assert definition.retry == RetryPolicy(attempts=3)


@pytest.mark.parametrize("executor", ["local", "{local: {}}", "{local: }"])
def test_the_local_executor_needs_no_options(executor: str) -> None:
    definition = read(f"name: a\ntool: {{function: a.py}}\nexecutor: {executor}\n")
    assert definition.executor == ExecutorSpec()


def test_installed_tools_and_executors_take_any_options() -> None:
    text = "name: a\ntool: {ddsperf: {mode: pub}}\nexecutor: {bench: {slots: 2, site: lab}}\n"
    definition = loads(
        text,
        format="yaml",
        folder=HERE,
        tools={"function", "command", "ddsperf"},
        executors={"local", "bench"},
    )
    assert definition.tool == ToolSpec(kind="ddsperf", options={"mode": "pub"})
    assert definition.executor == ExecutorSpec(kind="bench", slots=2, options={"site": "lab"})


def test_words_of_a_command_become_text() -> None:
    text = 'name: a\ntool: {command: [true, -1, 0.5, "3.10", "{{literal}}"]}\n'
    assert read(text).tool.options["argv"] == ["true", "-1", "0.5", "3.10", "{{literal}}"]


def test_a_parameter_that_the_command_does_not_use_is_fine() -> None:
    read("name: a\ntool: {command: [x]}\nspace: {matrix: {n: [1, 2]}}\n")


def test_yaml_is_1_2_so_words_stay_words() -> None:
    text = "name: a\ntool: {function: a.py}\nspace: {matrix: {mode: [on, off, yes, no, y]}}\n"
    assert read(text).space == {"matrix": {"mode": ["on", "off", "yes", "no", "y"]}}


def test_yaml_anchors_and_merges_are_resolved() -> None:
    text = """\
name: a
tool:
  command: [x]
  environment: &base {A: "1", B: "2"}
space:
  blocks:
    - matrix: &axes {size: [1, 2], rate: [10]}
    - matrix: {<<: *axes, size: [3]}
"""
    blocks = read(text).space["blocks"]
    assert blocks == [
        {"matrix": {"size": [1, 2], "rate": [10]}},
        {"matrix": {"rate": [10], "size": [3]}},
    ]


def test_a_python_mapping_may_hold_tuples_and_enumerations() -> None:
    class Mode(str, enum.Enum):  # noqa: UP042 - `str` of it is not its value
        FAST = "fast"

    data = {
        "name": "a",
        "tool": {"command": ("x", Mode.FAST)},
        "space": {"matrix": {"n": (1, 2), "mode": [Mode.FAST]}},
    }
    definition = from_mapping(data, HERE)
    assert definition.tool.options["argv"] == ["x", "fast"]
    assert json.loads(json.dumps(definition.to_dict())) == definition.to_dict()
    assert definition.space == {"matrix": {"n": [1, 2], "mode": ["fast"]}}


def test_importing_the_room_does_not_import_the_parsers() -> None:
    probe = (
        "import sys, fieldlab.definitions;"
        "print([name for name in ('pydantic', 'ruamel.yaml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


texts = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co")), max_size=30
)
names = st.from_regex(r"[a-z][a-z0-9]{0,8}_p", fullmatch=True)
numbers = st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False)
#: ruamel.yaml takes the text ?0 in a flow sequence for a key, whoever has written it
words = texts.filter(lambda text: not text.startswith("?"))
axes: st.SearchStrategy[list[Any]] = st.one_of(
    [
        st.lists(
            kind | st.none(),
            min_size=1,
            max_size=4,
            unique_by=lambda value: (str(type(value)), value),
        )
        for kind in (st.booleans(), numbers, words)
    ]
)


def distinct(axis: list[Any]) -> bool:
    """Tell axes that don't hold a number both as an integer and as a float."""
    found = [value for value in axis if type(value) in (int, float)]
    return len(set(found)) == len(found)


seconds = st.integers(0, 10**6)
definitions = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True),
        "tool": st.one_of(
            st.builds(lambda call: {"function": f"{call}.py:f"}, names),
            st.builds(
                lambda words, codes: {
                    "command": ["x", *(word.replace("{", "(").replace("}", ")") for word in words)],
                    "success": sorted(codes),
                },
                st.lists(texts.filter(bool), max_size=3),
                st.sets(st.integers(0, 255), min_size=1, max_size=3),
            ),
        ),
    },
    optional={
        "description": texts,
        "space": st.builds(
            lambda matrix: {"matrix": matrix},
            st.dictionaries(names, axes.filter(distinct), min_size=1, max_size=3),
        ),
        "retry": st.fixed_dictionaries({"attempts": st.integers(1, 99), "delay": seconds}),
        "guard": st.integers(0, 99),
        "timeout": seconds,
    },
)


@given(definitions)
def test_definitions_survive_being_stored(data: dict[str, Any]) -> None:
    definition = from_mapping(data, HERE)
    stored = json.dumps(definition.to_dict())
    assert Definition.from_dict(json.loads(stored)) == definition


@given(definitions)
def test_what_other_programs_write_is_read(data: dict[str, Any]) -> None:
    expected = from_mapping(data, HERE)
    as_json = json.dumps(data)
    assert loads(as_json, format="json", folder=HERE) == expected
    stream = StringIO()
    YAML(typ="safe", pure=True).dump(data, stream)
    assert loads(stream.getvalue(), format="yaml", folder=HERE) == expected
