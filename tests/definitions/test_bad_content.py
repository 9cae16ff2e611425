"""What is wrong with a definition is said at once: what, in which line, and what to do."""

from __future__ import annotations

import contextlib
import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldlab.definitions import from_mapping, loads
from fieldlab.domain.errors import BadInput, Problem

HERE = Path()
FUNCTION = "name: a\ntool: {function: study.py}\n"


def problems_of(text: str, form: str = "yaml", **more: Any) -> tuple[Problem, ...]:
    with pytest.raises(BadInput) as caught:
        loads(text, format=form, folder=HERE, file=f"e.{form}", **more)
    problems = caught.value.problems
    assert str(caught.value).splitlines() == [str(problem) for problem in problems]
    return problems


def says(text: str, *expected: str, form: str = "yaml", **more: Any) -> None:
    """Check that there is one problem per expected text, in this order, each with a remedy."""
    problems = problems_of(text, form, **more)
    lines = [str(problem) for problem in problems]
    assert len(lines) == len(expected), lines
    for line, part in zip(lines, expected, strict=True):
        assert part in line
    assert all(problem.remedy for problem in problems), lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # names
        ("name: ../x", "e.yaml:1: name: '../x' can't be a name. Use letters"),
        ("name: /etc/x", "e.yaml:1: name: '/etc/x' can't be a name"),
        ("name: a b", "e.yaml:1: name: 'a b' can't be a name"),
        ("name: ''", "e.yaml:1: name: '' can't be a name"),
        (f"name: {'x' * 64}", "can't be a name"),
        ("name: 2024", 'e.yaml:1: name: this must be text, not 2024. Put it in quotes: "2024"'),
        ("name: 2024-01-01", "e.yaml:1: name: YAML reads 2024-01-01 as a date. Put it in quotes"),
        ("name: true", 'e.yaml:1: name: this must be text, not true. Put it in quotes: "true"'),
        ("name:", "e.yaml:1: name: nothing is written here. Name of the experiment"),
        ("name: a\nproject: a/b", "e.yaml:2: project: 'a/b' can't be a name"),
        ("name: a\ndescription:", "e.yaml:2: description: nothing is written here. Write text, or"),
        # keys
        ("nmae: a\nname: a", "e.yaml:1: nmae: there is no key 'nmae' here. Did you mean 'name'?"),
        ("name: a\nresults: b", "e.yaml:2: results: there is no key 'results' here. Keys: name,"),
        (
            "name: a\nmatrix: {}",
            "e.yaml:2: matrix: there is no key 'matrix' here. It belongs under 'space'",
        ),
        ("name: a\nattempts: 2", "It belongs under 'retry': indent it"),
        ("name: a\n1: b", 'e.yaml:2: 1: the key 1 is not text. Put it in quotes: "1"'),
        (
            "name: a\nname: b",
            "e.yaml:2: name: the key 'name' is there twice, first in line 1. Keep one",
        ),
        # retry, guard, timeout, executor
        (
            "name: a\nretry: 0",
            "e.yaml:2: retry: this must be 1 or more, not 0. Tries that a trial has",
        ),
        (
            "name: a\nretry: yes",
            "e.yaml:2: retry: this must be a number of attempts, not 'yes'. Write retry: 3",
        ),
        (
            "name: a\nretry: {delay: soon}",
            "e.yaml:2: retry.delay: 'soon' is not a duration. Write seconds",
        ),
        (
            "name: a\nretry: {backof: 2}",
            "retry.backof: there is no key 'backof' here. Did you mean 'backoff'?",
        ),
        ("name: a\nretry: {attempts: 1.5}", "retry.attempts: this must be a whole number, not 1.5"),
        ("name: a\nretry: {backoff: 0.5}", "retry.backoff: this must be 1 or more, not 0.5"),
        (
            "name: a\nguard: on",
            "e.yaml:2: guard: this must be a number of failures or off, not 'on'. Write",
        ),
        ("name: a\nguard: -1", "e.yaml:2: guard: this must be 0 or more, not -1"),
        ("name: a\ntimeout: -5", "e.yaml:2: timeout: the duration -5 is below 0"),
        ("name: a\ntimeout: .inf", "e.yaml:2: timeout: inf is not a finite number"),
        ("name: a\ntimeout: [5]", "e.yaml:2: timeout: this must be a duration, not a list"),
        (
            "name: a\nexecutor: locl",
            "e.yaml:2: executor: there is no executor 'locl'. Did you mean 'local'?",
        ),
        (
            "name: a\nexecutor: {slurm: {}}",
            "executor.slurm: there is no executor 'slurm'. There are: local",
        ),
        (
            "name: a\nexecutor: {local: {}, ssh: {}}",
            "e.yaml:2: executor: this must be one executor's name",
        ),
        (
            "name: a\nexecutor: 4",
            "executor: this must be one executor's name, with its options or not, not 4",
        ),
        (
            "name: a\nexecutor: {local: 4}",
            "executor.local: the options must be a mapping (key: value), not 4",
        ),
        ("name: a\nexecutor: {local: {slot: 4}}", "no key 'slot' here. Did you mean 'slots'?"),
        (
            "name: a\nexecutor: {local: {slots: 100000}}",
            "executor.local.slots: 100,000 attempts at a time are more than a machine can run.",
        ),
        (
            "name: a\nexecutor: {local: {slots: -1}}",
            "executor.local.slots: this must be 0 or more, not -1",
        ),
        # the space
        ("name: a\nspace: [1]", "e.yaml:2: space: this must be a mapping (key: value), not a list"),
        ("name: a\nspace:", "e.yaml:2: space: nothing is written here"),
        ("name: a\nspace:\n  matrx: {}", "e.yaml:3: space.matrx: there is no key 'matrx' here"),
        (
            "name: a\nspace:\n  matrix:\n    a: [1]\n    b: []",
            "e.yaml:5: space.matrix.b: the axis has no values",
        ),
        (
            "name: a\nspace:\n  matrix: {a: [1]}\n  exclude:\n  - a > 2\n  - b > 1",
            "e.yaml:6: space.exclude[1]",
        ),
        (
            "name: a\nspace:\n  matrix:\n    a:\n    - 1\n    - 2020-01-01",
            "e.yaml:6: space.matrix.a[1]: YAML reads",
        ),
        (
            "name: a\nspace: {matrix: {a: [1, .nan]}}",
            "e.yaml:2: space.matrix.a[1]: nan is not a finite number",
        ),
        (
            "name: a\nspace: {matrix: {a: [1]}, sample: {count: 1, method: sobol}}",
            "e.yaml:2: space.sample.method",
        ),
    ],
)
def test_one_slip_gives_one_problem(text: str, expected: str) -> None:
    says(f"{text}\ntool: {{function: study.py}}\n", expected)


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        ("", "e.yaml:2: tool: nothing is written here. What each trial runs"),
        ("[x]", "e.yaml:2: tool: this must be a mapping (key: value), not a list"),
        ("{}", "e.yaml:2: tool: no tool is named. Add one of: command, function"),
        ("{environment: {}}", "e.yaml:2: tool: no tool is named"),
        (
            "{comand: [x], read: {format: json}}",
            "tool.comand: there is no tool 'comand'. Did you mean 'command'?",
        ),
        (
            "{perftest: {}}",
            "tool.perftest: there is no tool 'perftest'. There are: command, function",
        ),
        (
            "{function: a.py, command: [x]}",
            "e.yaml:2: tool: there are 2 tools: function, command. Keep one",
        ),
        (
            "{function: a.py, environment: {}}",
            "tool.environment: there is no key 'environment' here. Keys: function",
        ),
        (
            "{function: solve}",
            "tool.function: 'solve' doesn't say which function to call. Write package",
        ),
        ("{function: 'a.py:1x'}", "doesn't say which function to call"),
        (
            "{function: [a.py]}",
            "tool.function: this must be the name of a function, not a list. Write function:",
        ),
        (
            "{function: {cal: a.py, call: a.py}}",
            "tool.function.cal: there is no key 'cal' here. Did you mean 'call'?",
        ),
        (
            "{command: python sim.py}",
            "tool.command: a command is a list of words, not one text. "
            'Write a list, such as command: ["python", "sim.py"]',
        ),
        ("{command: []}", "tool.command: the command is empty. Write the program"),
        ("{command: }", "tool.command: nothing is written here"),
        ("{command: [x, '']}", "tool.command[1]: the word is empty"),
        ("{command: [x, ~]}", "tool.command[1]: nothing is written here"),
        ("{command: [x, [y]]}", "tool.command[1]: this must be text, not a list"),
        (
            "{command: [x, {n}]}",
            "tool.command[1]: {n} without quotes is a mapping, not a placeholder. "
            'Put it in quotes: "{n}"',
        ),
        ('{command: [x, "a\\0b"]}', "tool.command[1]: the text has a NUL character, which no"),
        (
            "{command: [x, '{siez}']}",
            "tool.command[1]: the placeholder {siez} is no parameter of the space. "
            "Did you mean 'size'?",
        ),
        (
            "{command: [x, '{q}']}",
            "There are {size}, {attempt}, {fingerprint}, {here}, {out}, {repeat}. Write {{ and }}",
        ),
        ("{command: [x, '{size:3}']}", "the placeholder {size:3} is not just a name"),
        ("{command: [x, '{size.real}']}", "the placeholder {size.real} is not just a name"),
        ("{command: [x, '{}']}", "the placeholder {} is not just a name"),
        (
            "{command: [x, '{\"a\": 1}']}",
            "is not just a name. Name a parameter, such as {size}. Write {{ and }}",
        ),
        (
            "{command: [x, '{size']}",
            "a brace in '{size' has no partner. Write {{ and }} for literal braces",
        ),
        ("{command: [x, 'size}']}", "a brace in 'size}' has no partner"),
        (
            "{command: [gcc, 3.10]}",
            "tool.command[1]: 3.10 is read as 3.1, and that is what the program would get. "
            'Put it in quotes to pass it as it stands: "3.10"',
        ),
        ("{command: [chmod, 0o644]}", "0o644 is read as 420"),
        ("{command: [x, True]}", "True is read as true"),
        ("{command: [x], environment: {V: 1.10}}", "tool.environment.V: 1.10 is read as 1.1"),
        (
            "{command: [x], environment: {1A: x}}",
            "tool.environment.1A: '1A' can't name an environment variable",
        ),
        ("{command: [x], environment: {A: ~}}", "tool.environment.A: nothing is written here"),
        (
            "{command: [x], environment: {A: '{siz}'}}",
            "tool.environment.A: the placeholder {siz} is no",
        ),
        (
            "{command: [x], environment: [A]}",
            "tool.environment: this must be a mapping (key: value), not a list",
        ),
        (
            "{command: [x], directory: atempt}",
            "tool.directory: this must be 'experiment' or 'attempt', not 'atempt'. "
            "Did you mean 'attempt'?",
        ),
        ("{command: [x], success: []}", "tool.success: the list is empty"),
        ("{command: [x], success: [256]}", "tool.success[0]: this must be 255 or less, not 256"),
        ("{command: [x], success: ok}", "tool.success: this must be a list, not 'ok'"),
        (
            "{command: [x], read: json}",
            "tool.read: this must be a mapping, not 'json'. Write read: {format: json}",
        ),
        ("{command: [x], read: {}}", "tool.read.format: the key 'format' is missing"),
        (
            "{command: [x], read: {format: jsn}}",
            "tool.read.format: this must be 'json', 'jsonl', 'csv' or 'regex', not 'jsn'. "
            "Did you mean 'json'?",
        ),
        (
            "{command: [x], read: {format: json, file: /r}}",
            "tool.read.file: '/r' is not a file in the attempt's own folder",
        ),
        (
            "{command: [x], read: {format: json, file: ../r}}",
            "tool.read.file: '../r' is not a file",
        ),
        (
            "{command: [x], read: {format: json, file: a/../../r}}",
            "tool.read.file: 'a/../../r' is not",
        ),
        ("{command: [x], read: {format: json, file: r/}}", "tool.read.file: 'r/' is not a file"),
        (
            "{command: [x], read: {format: json, file: '{out}/r'}}",
            "tool.read.file: the file is a plain name inside {out}",
        ),
        (
            "{command: [x], read: {format: json, values: {a: (b)}}}",
            "tool.read: 'values' belongs to format: regex, not json",
        ),
        (
            "{command: [x], read: {format: regex}}",
            "tool.read: format: regex needs 'values'. Add one pattern per value",
        ),
        (
            "{command: [x], read: {format: regex, values: {a: '(b'}}}",
            "tool.read.values.a: the pattern can't be used: missing )",
        ),
        (
            "{command: [x], read: {format: regex, values: {a: b}}}",
            "tool.read.values.a: the pattern has 0 groups",
        ),
        (
            "{command: [x], read: {format: regex, values: {a: (b)(c)}}}",
            "tool.read.values.a: the pattern has 2 groups",
        ),
        (
            "{command: [x], read: {format: regex, values: {a-b: (b)}}}",
            "tool.read.values.a-b: 'a-b' can't name a result",
        ),
        (
            "{command: [x], read: {format: regex, values: {repeat: (b)}}}",
            "fieldlab itself uses the name 'repeat'",
        ),
        (
            "{command: [x], read: {format: regex, values: {SIZE: (b)}}}",
            "tool.read.values.SIZE: the result 'SIZE' has the name of a parameter",
        ),
    ],
)
def test_one_slip_in_the_tool_gives_one_problem(tool: str, expected: str) -> None:
    says(f"name: a\ntool: {tool}\nspace: {{matrix: {{size: [1]}}}}\n", expected)


def test_a_pattern_may_have_more_groups_if_one_is_called_value() -> None:
    text = "name: a\ntool: {command: [x], read: {format: regex, values: {a: '(?P<value>b)(c)'}}}\n"
    loads(text, format="yaml", folder=HERE)


def test_all_problems_are_told_at_once_in_the_order_of_lines() -> None:
    says(
        """\
name: a b
tool:
  command: [sim, "{siez}"]
  directory: there
space:
  matrix:
    size: []
  repat: 3
retry: {attempts: 0}
timeout: soon
colour: red
""",
        "e.yaml:1: name:",
        "e.yaml:4: tool.directory:",
        "e.yaml:7: space.matrix.size:",
        "e.yaml:8: space.repat:",
        "e.yaml:9: retry.attempts:",
        "e.yaml:10: timeout:",
        "e.yaml:11: colour:",
    )


def test_missing_keys_are_all_named() -> None:
    says("description: x\n", "the key 'name' is missing", "the key 'tool' is missing")


def test_json_problems_have_lines_too() -> None:
    says(
        """\
{
\t"name": "a",
\t"tool": {"command": ["x",
\t\t1.10, "{y}"]},
\t"space": {"matrix": {"n": [1,
\t\tNaN]}},
\t"reprat": 3,
\t"guard": "on"
}
""",
        "e.json:4: tool.command[1]: 1.10 is read as 1.1",
        "e.json:6: space.matrix.n[1]: nan is not a finite number",
        "e.json:7: reprat: there is no key 'reprat' here",
        "e.json:8: guard: this must be a number of failures or off, not 'on'",
        form="json",
    )


def test_json_has_twice_written_keys_pointed_out() -> None:
    says(
        '{"name": "a", "tool": {"function": "a.py",\n"function": "b.py"},\n"name": "b"}',
        "e.json:2: tool.function: the key 'function' is there twice, first in line 1",
        "e.json:3: name: the key 'name' is there twice, first in line 1",
        form="json",
    )


def test_toml_problems_have_keys() -> None:
    says(
        'name = "a b"\n[tool]\nfunction = "a.py"\n[space.matrix]\nday = [2020-01-01, nan]\n',
        "e.toml: space.matrix.day[0]: 2020-01-01 is read as a date or time",
        "e.toml: space.matrix.day[1]: nan is not a finite number",
        "e.toml: name: 'a b' can't be a name",
        form="toml",
    )


def test_a_python_mapping_has_its_problems_told_by_key() -> None:
    data = {
        "name": "a",
        "tool": {"function": "a.py"},
        "space": {"matrix": {"n": [1, math.inf], "when": [object()]}},
        "guard": {1: 2},
    }
    with pytest.raises(BadInput) as caught:
        from_mapping(data, HERE)
    assert str(caught.value).splitlines() == [
        "space.matrix.n[1]: inf is not a finite number. "
        "Leave it out, or write it as text in quotes if your program reads that",
        "space.matrix.when[0]: a value of type object can't stand in a definition. "
        "Use text, numbers, true or false, lists and mappings",
        "guard.1: the key 1 is not text. Put it in quotes",
    ]


def test_options_beside_an_installed_tool_are_pointed_out() -> None:
    says(
        "name: a\ntool: {ddsperf: {}, environment: {}}\n",
        "tool.environment: there is no key 'environment' here. Options of 'ddsperf' go under it",
        tools={"function", "ddsperf"},
    )
    says(
        "name: a\ntool: {ddsperf: pub}\n",
        "tool.ddsperf: the options must be a mapping (key: value), not 'pub'. Write ddsperf: {}",
        tools={"function", "ddsperf"},
    )


def test_a_very_long_list_of_problems_is_cut() -> None:
    text = FUNCTION + "".join(f"unknown{number}: 1\n" for number in range(200))
    problems = problems_of(text)
    assert len(problems) == 51
    assert problems[0].key == ("unknown0",)
    assert problems[-1].what == "and 150 more problems"


def test_a_line_is_found_through_merged_mappings() -> None:
    says(
        """\
name: a
tool: {function: a.py}
space:
  blocks:
  - matrix: &axes
      size: [1]
      rate: []
  - matrix:
      <<: *axes
      size: [2]
""",
        "e.yaml:7: space.blocks[0].matrix.rate: the axis has no values",
        "e.yaml:7: space.blocks[1].matrix.rate: the axis has no values",
    )


FULL: dict[str, Any] = {
    "name": "a",
    "description": "x",
    "tool": {
        "command": ["x", "{n}", 3],
        "environment": {"A": 1},
        "directory": "attempt",
        "read": {"format": "regex", "file": "r", "values": {"y": "(b)"}},
        "success": [0],
    },
    "executor": {"local": {"slots": 1}},
    "retry": {"attempts": 2, "delay": "1s"},
    "guard": 3,
    "timeout": 5,
    "space": {"matrix": {"n": [1, 2]}, "exclude": ["n > 5"], "sample": {"count": 1}},
}
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("{n}"),
    lambda children: (
        st.lists(children, max_size=2)
        | st.dictionaries(st.sampled_from(["n", "local", "command", "x"]), children, max_size=2)
    ),
    max_leaves=4,
)


@given(st.data(), anything)
def test_whatever_is_written_anywhere_loads_or_is_explained(data: st.DataObject, junk: Any) -> None:
    definition = copy.deepcopy(FULL)
    place: Any = definition
    key: Any = data.draw(st.sampled_from(sorted(place)))
    while isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from([*place] if isinstance(place, dict) else range(len(place))))
    place[key] = junk
    with contextlib.suppress(BadInput):
        json.dumps(from_mapping(definition, HERE).to_dict(), allow_nan=False)


def test_more_parameters_than_a_table_takes_are_refused() -> None:
    axes = ", ".join(f"p{number}: [1]" for number in range(1_002))
    says(
        f"{FUNCTION}space:\n  matrix: {{{axes}}}",
        "e.yaml:4: space.matrix.p1000: there are more than 1,000 parameters. Each is a column",
    )


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (
            "{matrix: {a: [2024-01-01, 1], b: [], c: {range: [2, 1]}}, repeat: 0}",
            ["YAML reads 2024-01-01 as a date", "repeat", "b: the axis has no values", "wrong way"],
        ),
        (
            "{matrix: {a: [[1], 2, {b: 1}], c: {choice: [[2], [3]]}}}",
            ["a[0]: a value can't", "a[2]: a value can't", "choice[0]: a", "choice[1]: a"],
        ),
        (
            "{matrix: {a: [1, 2]}, exclude: ['a / 0 > 1', \"a > 'b'\", 'true']}",
            ["leave out every one of the 2 points", "exclude[0]: ", "exclude[1]: "],
        ),
    ],
)
def test_no_mistake_of_a_space_hides_another(space: str, expected: list[str]) -> None:
    lines = [str(problem) for problem in problems_of(f"{FUNCTION}space: {space}")]
    assert len(lines) == len(expected), lines
    for part in expected:
        assert any(part in line for line in lines), (part, lines)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"matrix": {"depth": [3, 5, "auto", None]}}, "'depth' are numbers and text"),
        ({"matrix": {"flag": [True, 2]}}, "'flag' are true or false and numbers"),
        ({"matrix": {"x": [1]}, "include": [{"x": "a"}]}, "'x' are numbers and text"),
        (
            {"blocks": [{"matrix": {"x": {"range": [1, 3]}}}, {"matrix": {"x": ["a"]}}]},
            "'x' are numbers and text",
        ),
    ],
)
def test_values_that_no_column_holds_together_are_refused(
    space: dict[str, object], said: str
) -> None:
    data = {"name": "a", "tool": {"command": ["true"]}, "space": space}
    with pytest.raises(BadInput, match=said):
        from_mapping(data, Path())


def test_missing_values_and_wider_numbers_go_together() -> None:
    space = {"matrix": {"x": [1, 2.5, None], "y": ["a", None]}}
    from_mapping({"name": "a", "tool": {"command": ["true"]}, "space": space}, Path())


@pytest.mark.parametrize("wrong", ["/etc/passwd", "../x", ".", "a/../../b"])
def test_what_is_sent_lies_beside_the_definition(wrong: str) -> None:
    says(
        f"{FUNCTION}executor: {{ssh: {{send: ['input.dat', 'folder/', '{wrong}']}}}}\n",
        f"executor.ssh.send[2]: '{wrong}' doesn't lie beside the definition. Name files",
        executors={"local", "ssh"},
    )
