"""Files and texts that can't be read at all: what they are instead, and where they break."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldlab.definitions import load, loads
from fieldlab.definitions.json_text import parse_json
from fieldlab.definitions.yaml_text import parse_yaml
from fieldlab.domain.errors import BadInput

GOOD = "name: a\ntool: {function: study.py}\n"
BOMB = "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefg", "bcdefgh", strict=True)
)
AUTOPERF = '[{"experiment_name": "PCG #1", "qos_settings": {"pub_count": [1, 2]}}, {}]'
AUTOPERF_TOML = '[[campaigns]]\ncampaign_name = "x"\n[campaigns.qos_settings]\npub_count = [5]\n'


def complaint(text: str, form: str) -> str:
    with pytest.raises(BadInput) as caught:
        loads(text, format=form, folder=Path(), file=f"e.{form}")
    assert all(problem.remedy for problem in caught.value.problems)
    return str(caught.value)


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        # nothing, or something else
        ("yaml", "", "e.yaml: the file is empty. Start from one that `fieldlab init` writes"),
        ("json", " \n", "e.json: the file is empty"),
        ("yaml", "# only this\n", "e.yaml: there are only comments in it"),
        (
            "yaml",
            "- name: a\n",
            "e.yaml: the file holds a list of 1 entry; an experiment definition is a mapping",
        ),
        (
            "json",
            "[{}, {}]",
            "the file holds a list of 2 entries; an experiment definition is a mapping "
            "(name: …, tool: …). Write one file per experiment",
        ),
        ("json", "5", "e.json: the file holds 5;"),
        (
            "yaml",
            "just words",
            "the file holds 'just words'; an experiment definition is a mapping",
        ),
        (
            "json",
            AUTOPERF,
            "this is an AutoPerf configuration, a list of 2 campaigns; an experiment definition "
            "is one mapping. `fieldlab perftest import` makes a definition of each",
        ),
        ("toml", AUTOPERF_TOML, "this is an AutoPerf configuration, a list of 1 campaign;"),
        ("ini", "[a]", "there is no format 'ini'. One of: yaml, json, toml"),
        # YAML
        (
            "yaml",
            "name:\n\t- a\n",
            "e.yaml:2: not YAML: found character '\\t' that cannot start any token. "
            "Indent with spaces; YAML allows no tabs",
        ),
        (
            "yaml",
            "name: a\nnote: b: c\n",
            "e.yaml:2: not YAML: mapping values are not allowed here. "
            "Put text with ': ' in it in quotes",
        ),
        ("yaml", "name: 'a\ntool: b\n", "that begins in line 1. Close the bracket or quote"),
        ("yaml", "name: [a\ntool: b\n", "that begins in line 1"),
        ("yaml", "name: *a\n", "e.yaml:1: not YAML: found undefined alias 'a'. Define it"),
        ("yaml", "name: @a\n", "Put text that begins with a special character in quotes"),
        ("yaml", "name: a\n--- \nname: b\n", "e.yaml:2: not YAML: but found another document"),
        (
            "yaml",
            "name: a\nnote: \x07\n",
            "e.yaml:2: not YAML: it has the control character U+0007",
        ),
        ("yaml", "name: a\nnote: !mine x\n", "e.yaml:2: note: the tag !mine has no meaning here"),
        (
            "yaml",
            "name: a\nnote: !!python/object:os.system {}\n",
            "the tag !!python/object:os.system has no meaning",
        ),
        ("yaml", "name: a\n? [b]\n: c\n", "e.yaml:2: a key is a list or mapping"),
        ("yaml", "name: a\nb: {<<: 3}\n", "e.yaml:2: b: '<<' merges mappings only"),
        ("yaml", f"name: {'9' * 5000}\n", "e.yaml:1: name: '9999"),
        ("yaml", BOMB, "more than 200,000 values (aliases count every time)"),
        ("yaml", "a: &a [*a]\n", "nested more than 40 deep"),
        ("yaml", "a: &a {<<: *a}\n", "nested more than 40 deep"),
        ("yaml", "[" * 5000, "nested more than 40 deep"),
        # JSON
        (
            "json",
            "{\n'name': 'a'}",
            "e.json:2: not JSON: it has single quotes. JSON needs double quotes",
        ),
        ("json", "{\"a\": 'b'}", "e.json:1: not JSON: it has single quotes"),
        (
            "json",
            '{"name": "a",\n}',
            "not JSON: there is a comma too many. Remove the comma before the bracket",
        ),
        ("json", '{"name": [1,]}', "e.json:1: not JSON: there is a comma too many"),
        ("json", '{"name": "a", // x\n}', "e.json:1: not JSON: it has a comment. JSON allows none"),
        (
            "json",
            '{"name": True}',
            "not JSON: it has a word of Python. JSON writes true, false and null",
        ),
        ("json", '{"name": "a"', "not JSON: it ends too early"),
        ("json", '{"name": "a"\n"tool": 1}', "e.json:2: not JSON: expecting ',' delimiter"),
        ("json", '{"a": 1} x', "e.json:1: not JSON: extra data (column 10)"),
        ("json", '{"a": ' + "9" * 5000 + "}", "e.json: a number has too many digits"),
        ("json", "[" * 100_000, "nested more than 40 deep"),
        ("json", '{"a": ' + "[" * 50 + "]" * 50 + "}", "nested more than 40 deep"),
        ("json", "[" + "1," * 300_000 + "1]", "the file holds a list of 300001 entries"),
        ("json", '{"a": [' + "1," * 300_000 + "1]}", "more than 200,000 values"),
        # TOML
        (
            "toml",
            "name = 'a'\nname = 'b'\n",
            "e.toml:2: not TOML: cannot overwrite a value. Keep one of",
        ),
        ("toml", "name = a\n", 'e.toml:1: not TOML: invalid value. Write key = "value"'),
        ("toml", "name = 'a'\nx = [\n", "e.toml:2: not TOML: invalid value"),
        ("toml", "name = 'a'\ntool: b\n", "e.toml:2: not TOML: expected '=' after a key"),
        ("toml", "x = " + "[" * 5000, "nested more than 40 deep"),
    ],
)
def test_the_complaint_says_what_it_is_instead(form: str, text: str, expected: str) -> None:
    assert expected in complaint(text, form)


def file_complaint(path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        load(path)
    assert all(problem.remedy for problem in caught.value.problems)
    return str(caught.value)


def test_a_missing_file_is_answered_with_what_is_there(tmp_path: Path) -> None:
    assert "Start from one that `fieldlab init`" in file_complaint(tmp_path / "experiment.yaml")
    (tmp_path / "experiment.yaml").write_text(GOOD)
    (tmp_path / "notes.txt").write_text("x")
    misspelt = file_complaint(tmp_path / "experimnt.yaml")
    assert misspelt.endswith(
        "experimnt.yaml: there is no such file. Did you mean 'experiment.yaml'?"
    )
    assert "In that folder: experiment.yaml" in file_complaint(tmp_path / "zzz.json")
    assert "there is no folder" in file_complaint(tmp_path / "nowhere" / "experiment.yaml")


def test_a_folder_is_answered_with_the_file_in_it(tmp_path: Path) -> None:
    assert "this is a folder. Name a file" in file_complaint(tmp_path)
    (tmp_path / "experiment.yaml").write_text(GOOD)
    assert f"Name the file in it: {tmp_path / 'experiment.yaml'}" in file_complaint(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("e.yaml", b"", "e.yaml: the file is empty"),
        ("e.yaml", b"name: a\nnote: caf\xe9\n", "e.yaml:2: the file is not in UTF-8"),
        ("e.yaml", "name: a\n".encode("utf-16"), "this is a binary file"),
        ("e.yaml", b"\x89PNG\r\n\x1a\n\0\0", "e.yaml: this is a binary file"),
        ("e.json", b" " * 5_000_001, "e.json: the file has 5.0 MB, and a definition at most 5 MB"),
        ("e.txt", b"name: a", "e.txt: the file name ends in .txt. Name definitions .yaml"),
        ("experiment", b"name: a", "experiment: the file name has no ending"),
        ("e.yaml", b"name: a b\n", "e.yaml:1: name: 'a b' can't be a name"),
    ],
)
def test_unsuitable_files_are_named(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert expected in file_complaint(tmp_path / name)


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    assert "this is a device or pipe" in file_complaint(tmp_path / "pipe.yaml")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    assert "the file can't be read: " in file_complaint(tmp_path / "loop.yaml")
    assert "the file can't be read: " in file_complaint(tmp_path / ("x" * 300 + ".yaml"))
    assert "the file can't be read: " in file_complaint(tmp_path / "a\0b.yaml")


@given(st.text(max_size=200), st.sampled_from(["yaml", "json", "toml"]))
def test_any_text_is_read_or_explained(text: str, form: str) -> None:
    with contextlib.suppress(BadInput):
        loads(text, format=form, folder=Path())


@given(st.binary(max_size=200))
def test_any_file_is_read_or_explained(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    with contextlib.suppress(BadInput):
        load(path)


keys = st.text("abcdefgh", min_size=1, max_size=3)
trees = st.dictionaries(
    keys,
    st.recursive(
        st.integers() | st.text("xyz {[,:]}'\"\\", max_size=5) | st.booleans(),
        lambda children: (
            st.lists(children, max_size=4) | st.dictionaries(keys, children, max_size=4)
        ),
        max_leaves=12,
    ),
    min_size=1,
)


def paths(data: Any, key: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """List the paths of everything in a tree."""
    entries: list[tuple[str | int, Any]] = []
    if isinstance(data, dict):
        entries = list(data.items())
    elif isinstance(data, list):
        entries = list(enumerate(data))
    found = [(*key, name) for name, _ in entries]
    return found + [path for name, item in entries for path in paths(item, (*key, name))]


@given(trees)
def test_lines_are_found_alike_in_json_and_yaml(data: dict[str, Any]) -> None:
    text = json.dumps(data, indent=1)
    in_json = parse_json(text, "")[1]
    # JSON that is indented with spaces is YAML as well.
    in_yaml = parse_yaml(text, "")[1]
    lines = text.splitlines()
    for path in paths(data):
        line = in_json.line(path)
        assert line == in_yaml.line(path)
        if isinstance(path[-1], str):
            assert lines[line - 1].strip().startswith(f'"{path[-1]}": ')
    assert in_json.line((*paths(data)[0], "nowhere")) == in_json.line(paths(data)[0])


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("yaml", 'name: a\ntool: {function: s.py}\ndescription: "WRONG"\n'),
        ("json", '{"name": "a", "tool": {"function": "s.py"},\n\n"description": "WRONG"}'),
        ("yaml", 'name: a\ntool: {command: [x]}\nspace: {matrix: {a: [1, "WRONG"]}}'),
        (
            "yaml",
            'name: a\nspace: {matrix: {a: [1]}}\ntool: {command: [x], environment: {A: "WRONG"}}',
        ),
        ("yaml", 'name: a\nspace: {matrix: {a: [1]}}\ntool: {command: [x, "WRONG"]}'),
        ("yaml", 'name: a\ntool: {function: s.py}\nspace: {matrix: {a: {choice: ["WRONG"]}}}'),
    ],
)
@pytest.mark.parametrize(
    ("wrong", "said"),
    [(r"a\u0000b", "has a NUL character"), (r"a\ud800b", "has half a character, U+D800")],
)
def test_a_text_that_no_database_takes_is_found(
    form: str, text: str, wrong: str, said: str
) -> None:
    with pytest.raises(BadInput) as caught:
        loads(text.replace("WRONG", wrong), format=form, folder=Path(), file="e")
    (problem,) = caught.value.problems
    assert said in problem.what
    assert problem.line == 3
    assert problem.key
