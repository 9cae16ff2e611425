"""Reading what a definition says of the processes of its trials."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from fieldlab.domain.errors import BadInput, nearest
from fieldlab.domain.fields import Key
from fieldlab.domain.sites import ALL
from fieldlab.ports.tool import STDOUT
from fieldlab.workflows.options import Options
from fieldlab.workflows.templating import names_in

#: placeholders that stand for the host of a process; ``index`` is its place among its role's
HOST_PLACEHOLDERS = ("host", "address", "interface", "index")
_KEYS = ("name", "role", "command", "environment", "after", "serves", "read", "success")
_FORMATS = ("json", "jsonl", "csv", "regex")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """One process of a trial, or one on each host of its role."""

    name: str
    role: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    serves: bool = False
    #: ``format``, ``file``, ``values``; None: nothing is read
    read: Mapping[str, Any] | None = None
    success: frozenset[int] = frozenset({0})

    @property
    def source(self) -> str:
        """What is read: a file in its folder, or STDOUT."""
        return (self.read or {}).get("file") or STDOUT

    def texts(self) -> Iterator[tuple[Key, str]]:
        """Go through everything that may have placeholders, each with its key."""
        for place, word in enumerate(self.command):
            yield ("command", place), word
        for name, word in self.environment.items():
            yield ("environment", name), word


def read_roles(read: Options) -> dict[str, int]:
    """Read which hosts an attempt takes."""
    part = read.part("roles")
    found = {}
    for role in part.names():
        value = part.get(role)
        if value == "all":
            found[role] = ALL
        elif isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            found[role] = value
        else:
            part.note(f"{value!r} is no number of hosts", "Write 1, 2 … or all", role)
        if not role.isidentifier():
            part.note(f"{role!r} can't name a role", "Use letters, digits and '_'", role)
    if "roles" not in read or not part.names():
        remedy = "Write roles: {server: 1, client: all}"
        read.note("no roles are named, so nobody runs anything", remedy, "roles")
    return found


def read_processes(read: Options, roles: Mapping[str, int]) -> list[ProcessSpec]:
    """Read what runs."""
    found: list[ProcessSpec] = []
    parts = read.parts("run")
    for part in parts:
        spec = _read_process(part, roles, read.part("roles").names())
        for other in found:
            _check_names_differ(part, spec, other)
        found.append(spec)
    if not parts:
        remedy = "Write run: [{name: server, role: server, command: [iperf3, -s]}]"
        read.note("nothing is run", remedy, "run")
    elif all(spec.serves for spec in found):
        remedy = "Take `serves` away from one: a trial ends when those without it have ended"
        read.note("every process serves, so none would ever end", remedy, "run")
    return found


def _check_names_differ(part: Options, spec: ProcessSpec, other: ProcessSpec) -> None:
    if not spec.name or not other.name:
        return
    if spec.name == other.name:
        part.note(f"two processes are called '{spec.name}'", "Rename one of them", "name")
    elif f"{spec.name}-".startswith(f"{other.name}-") or other.name.startswith(f"{spec.name}-"):
        what = f"'{spec.name}' and '{other.name}' can't be told apart from a name with its host"
        part.note(what, "Let no name begin with another and a '-'", "name")


def _read_process(part: Options, roles: Mapping[str, int], named: list[str]) -> ProcessSpec:
    part.only(*_KEYS)
    name, role = part.text("name"), part.text("role")
    for key, value in (("name", name), ("role", role), ("command", part.get("command"))):
        if key not in part:
            part.note(f"the key '{key}' is missing", _EXAMPLES[key], key)
        elif key == "name" and value and not _NAME.fullmatch(name):
            part.note(f"{name!r} can't name a process", "Use letters, digits, '_', '.', '-'", key)
    if role and role not in named:
        remedy = nearest(role, roles) or f"Roles: {', '.join(roles) or 'none are named yet'}"
        part.note(f"there is no role '{role}'", remedy, "role")
    command = part.words("command")
    if part.get("command") == []:
        part.note("the command is empty", _EXAMPLES["command"], "command")
    spec = ProcessSpec(
        name=name,
        role=role,
        command=tuple(command),
        environment=part.texts("environment"),
        after_s=part.seconds("after", 0.0),
        serves=part.flag("serves"),
        read=_read_read(part.part("read")) if part.get("read") is not None else None,
        success=_read_success(part),
    )
    for below, text in spec.texts():
        try:
            names_in(text)
        except BadInput as error:
            part.note(error.what, error.remedy, *below)
    return spec


_EXAMPLES = {
    "name": "Write name: server",
    "role": "Say on which hosts it runs: role: server",
    "command": "Write the program and its arguments: command: [iperf3, -s]",
}


def _read_read(part: Options) -> Mapping[str, Any]:
    part.only("format", "file", "values")
    if "format" not in part:
        part.note("the key 'format' is missing", f"One of: {', '.join(_FORMATS)}", "format")
    form = part.one_of("format", _FORMATS)
    values = part.texts("values")
    if (form == "regex") != bool(values):
        remedy = 'A pattern per result: values: {rate_mbps: "([0-9.]+) Mbit"}'
        what = "format: regex needs 'values'" if form == "regex" else "'values' is for regex only"
        part.note(what, remedy, "values")
    for result, pattern in values.items():
        _check_pattern(part, result, pattern)
    file = part.text("file")
    path = PurePosixPath(file)
    if file and (path.is_absolute() or ".." in path.parts or "{" in file):
        part.note(f"{file!r} is not a file in the attempt's own folder", "Write its name", "file")
    return {"format": form, "file": file, "values": values}


def _check_pattern(part: Options, result: str, pattern: str) -> None:
    try:
        compiled = re.compile(pattern, re.MULTILINE)
    except re.error as error:
        part.note(f"the pattern can't be used: {error}", "See Python's `re`", "values", result)
        return
    if compiled.groups != 1 and "value" not in compiled.groupindex:
        remedy = "Put what to read in ( ), other brackets as (?: ), or name it (?P<value> )"
        part.note(f"the pattern has {compiled.groups} groups", remedy, "values", result)


def _read_success(part: Options) -> frozenset[int]:
    value = part.get("success")
    codes = [0] if value is None else value if isinstance(value, list) else [value]
    if not codes or not all(isinstance(c, int) and not isinstance(c, bool) for c in codes):
        part.note(f"{value!r} are no exit codes", "Write success: [0, 3]", "success")
        return frozenset({0})
    return frozenset(codes)


def read_duration_name(read: Options) -> str | float | None:
    """Read what an attempt's duration is: a parameter's name, seconds, or None: nothing is said."""
    value = read.get("duration")
    if value is None or (isinstance(value, str) and value.isidentifier()):
        return value
    return read.seconds("duration", 0.0)
