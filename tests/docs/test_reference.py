"""The reference pages are complete and true: they are compared with what they describe."""

from __future__ import annotations

import inspect
import itertools
import json
import pydoc
import re
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import pytest
import typer.main

import fieldlab
from fieldlab.cli.errors import ExitCode, exit_code
from fieldlab.cli.main import app
from fieldlab.definitions import schema
from fieldlab.domain import errors
from fieldlab.domain.lifecycle import Lifecycle
from fieldlab.domain.messages import DELIVERY
from fieldlab.domain.sites import HOST
from fieldlab.domain.trials import ATTEMPT, CAMPAIGN, TRIAL
from fieldlab.engine.sheet import COLUMNS
from fieldlab.store.bus_tables import messages
from fieldlab.store.results import FIXED
from tests.docs.pages import section, table_rows, text_of

#: section of the page → what it describes in the schema
MAPPINGS = {
    "The file": ("",),
    "Function": ("FunctionCall",),
    "Command": ("CommandTool",),
    "Read": ("Read",),
    "Space": ("Space",),
    "Block": ("Block",),
    "Axis": ("Choice", "Range", "Linspace", "Logspace", "Uniform", "LogUniform", "Normal"),
    "Sample": ("Sample",),
    "Local executor": ("LocalExecutor",),
    "Ssh executor": ("SshExecutor",),
    "Noise": ("Noise",),
    "Retry": ("Retry",),
    "Guard": ("Guard",),
}
#: these only say which of the others is meant
CHOICES = {"Axis", "Executors", "FunctionTool", "InstalledTool"}
#: a default that is a word for the absence of a value
ABSENT = {
    "none",
    "the only one",
    "standard output",
    "all, in random order",
    "one trial",
    "all points",
}


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# --- the definition ----------------------------------------------------------------------------


def test_every_mapping_of_a_definition_has_a_section() -> None:
    described = set(itertools.chain.from_iterable(MAPPINGS.values()))
    assert described == {"", *schema()["$defs"]} - CHOICES


@pytest.mark.parametrize("heading", MAPPINGS)
def test_every_key_of_a_definition_is_described(heading: str) -> None:
    whole: dict[str, Any] = schema()
    parts = [whole["$defs"][name] if name else whole for name in MAPPINGS[heading]]
    keys = {key: part for part in parts for key in part["properties"]}
    rows = table_rows(section(text_of("reference/definition.md"), heading))
    said = {key: default for cell, default, _ in rows for key in quoted(cell)}
    assert said.keys() == keys.keys()
    for key, default in said.items():
        assert (default == "required") == (key in keys[key].get("required", ())), key
        known = keys[key]["properties"][key].get("default")
        words = quoted(default)
        if known is not None and words and not default.startswith("`seed`"):
            assert str(known).removesuffix(".0") == words[0], key
        assert words or default in ABSENT | {"required"}, key


# --- the command line --------------------------------------------------------------------------


def all_commands() -> Iterator[tuple[str, Any]]:
    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        children = getattr(command, "commands", None)
        if children is None or command.invoke_without_command:
            yield " ".join(path), command
        for name, child in (children or {}).items():
            yield from walk(child, (*path, name))

    return walk(typer.main.get_command(app), ("fieldlab",))


COMMANDS = dict(all_commands())
EVERYWHERE = {"-h", "--help", "--json"}


def described(command: str) -> str:
    """Find the part of the page on a command, or on the group that it belongs to."""
    page = text_of("reference/command-line.md")
    parts = re.split(r"^###? (?=fieldlab)", page, flags=re.MULTILINE)[1:]
    parts = [re.split(r"^## ", part, maxsplit=1, flags=re.MULTILINE)[0] for part in parts]
    for names in (command, command.rpartition(" ")[0]):
        for part in parts:
            if re.match(rf"{names}( [\[A-Z]|\n)", part):
                return part
    raise AssertionError(f"{command} is not on the page")


def options(command: Any) -> set[str]:
    parameters = [
        each for each in command.params if each.param_type_name == "option" and not each.hidden
    ]
    return {name for each in parameters for name in (*each.opts, *each.secondary_opts)}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_described(command: str) -> None:
    part = described(command)
    assert f"{command}`" in part or f"{command} " in part or part.startswith(command)
    missing = {
        name
        for name in options(COMMANDS[command]) - EVERYWHERE
        if not re.search(rf"{name}[ `]", part)
    }
    assert not missing


def test_every_option_on_the_page_exists() -> None:
    exist = set().union(*map(options, COMMANDS.values()))
    exist |= options(typer.main.get_command(app)) | EVERYWHERE
    said = re.findall(r"`(--?[a-z][a-z-]*)", text_of("reference/command-line.md"))
    assert set(said) <= exist


def test_json_is_everywhere_but_where_the_page_says() -> None:
    without = [name for name, command in COMMANDS.items() if "--json" not in options(command)]
    assert without == ["fieldlab schema"]


# --- Python ------------------------------------------------------------------------------------


def test_every_public_name_of_the_package_is_described() -> None:
    page = text_of("reference/python.md")
    described = re.findall(r"^## `fieldlab\.(\w+)`$", page, flags=re.MULTILINE)
    assert sorted(described) == [name for name in fieldlab.__all__ if name != "__version__"]
    assert "`fieldlab.__version__`" in page
    for name in described:
        member = getattr(fieldlab, name)
        heading = f"::: {member.__module__}.{member.__qualname__}\n"
        assert heading in section(page, f"`fieldlab.{name}`"), name


def test_what_the_page_takes_from_docstrings_is_there_and_documented() -> None:
    for place in re.findall(r"^::: (\S+)$", text_of("reference/python.md"), flags=re.MULTILINE):
        member = pydoc.locate(place)
        assert inspect.getdoc(member), place
        told = inspect.getdoc(member) or ""
        for name, method in vars(member).items() if inspect.isclass(member) else ():
            if isinstance(method, FunctionType | property) and not name.startswith("_"):
                assert inspect.getdoc(method), f"{place}.{name}"
        for each in getattr(member, "__dataclass_fields__", ()):
            assert f"\n{each}\n" in told, f"{place}.{each} is not among its Attributes"


# --- lifecycles --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lifecycle", [CAMPAIGN, TRIAL, ATTEMPT, HOST, DELIVERY], ids=lambda each: each.entity
)
def test_lifecycles_are_as_declared(lifecycle: Lifecycle) -> None:
    part = section(text_of("reference/lifecycles.md"), lifecycle.entity.capitalize())
    assert f"```mermaid\n{lifecycle.to_mermaid()}```" in part
    rows = [row for row in table_rows(part) if len(row) == 3]
    said = {state: targets for state, _, targets in rows}
    declared = {s: ", ".join(lifecycle.allowed(s)) or "nothing" for s in lifecycle.states}
    assert said == declared


# --- the database ------------------------------------------------------------------------------


def test_every_table_has_a_section() -> None:
    headings = re.findall(r"^## (\w+)$", text_of("reference/database.md"), flags=re.MULTILINE)
    assert sorted(headings) == sorted([*messages.metadata.tables, "results_NAME"])


@pytest.mark.parametrize("table", messages.metadata.tables)
def test_every_column_is_described(table: str) -> None:
    rows = table_rows(section(text_of("reference/database.md"), table))
    said = {quoted(name)[0]: type_ for name, type_, _ in rows}
    columns = messages.metadata.tables[table].c
    assert list(said) == columns.keys()
    for name, type_ in said.items():
        linked = [key.column.table.name for key in columns[name].foreign_keys]
        assert linked == (quoted(type_) if type_.startswith("→") else []), name


@pytest.mark.parametrize(
    ("page", "heading"),
    [("reference/database.md", "results_NAME"), ("how-to/read-results.md", "SQL")],
)
def test_the_columns_of_every_results_table_are_described(page: str, heading: str) -> None:
    rows = table_rows(section(text_of(page), heading))
    assert {name for row in rows for name in quoted(row[0])} == set(FIXED)


def test_the_columns_of_the_status_spreadsheet_are_described() -> None:
    rows = table_rows(section(text_of("how-to/read-results.md"), "The status spreadsheet"))
    assert [name for row in rows for name in quoted(row[0])] == list(COLUMNS)


# --- errors ------------------------------------------------------------------------------------


def error_classes(kind: type[errors.FieldlabError]) -> Iterator[type[errors.FieldlabError]]:
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from error_classes(child)


def test_every_error_is_described_with_its_exit_code() -> None:
    known = {
        each.code: exit_code(each("extra", "it") if each is errors.MissingExtra else each("it"))
        for each in error_classes(errors.FieldlabError)
    }
    known |= {"usage": ExitCode.BAD_INPUT, "unexpected": exit_code(Exception())}
    rows = table_rows(section(text_of("reference/errors.md"), "Errors"))
    assert {quoted(code)[0]: int(number) for code, number, *_ in rows} == known


@pytest.mark.parametrize("page", ["reference/errors.md", "how-to/stop-and-resume.md"])
def test_every_exit_code_is_described(page: str) -> None:
    heading = "Exit codes"
    rows = table_rows(section(text_of(page), heading))
    assert [int(row[0]) for row in rows] == list(ExitCode)


def test_the_shown_error_document_is_json() -> None:
    (block,) = re.findall(r"```json\n(.*?)```", text_of("reference/errors.md"), flags=re.DOTALL)
    assert json.loads(block)["error"] == "bad-input"
