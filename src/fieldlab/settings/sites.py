"""Sites and their hosts, as the tables ``[sites.NAME]`` of a profile describe them."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from fieldlab.domain.durations import parse_duration
from fieldlab.domain.errors import BadInput, Problem, nearest
from fieldlab.domain.sites import HostSpec, Site

#: the table of a profile
SITES = "sites"
#: what the sandbox writes, below the lab's folder
SANDBOX = Path("sandbox", "site.toml")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ADDRESS = re.compile(r"[A-Za-z0-9:\[][A-Za-z0-9:._%\]-]*")
_USER = re.compile(r"[A-Za-z0-9_][^\s\"'@,:/]*")
_JUMP = re.compile(rf"({_USER.pattern}@)?{_ADDRESS.pattern}")


def _name(value: object) -> str:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return ""
    return "must be a name: letters, digits, '.', '_' and '-'"


def _text(value: object) -> str:
    if not isinstance(value, str):
        return "must be text, in quotes"
    return "" if value.isprintable() else "must be one line of text"


def _address(value: object) -> str:
    if isinstance(value, str) and _ADDRESS.fullmatch(value):
        return ""
    return "must be a host name or an IP address"


def _user(value: object) -> str:
    return "" if isinstance(value, str) and _USER.fullmatch(value) else "must be a user's name"


def _port(value: object) -> str:
    right = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536
    return "" if right else "must be a number from 1 to 65535"


def _jump(value: object) -> str:
    places = value.split(",") if isinstance(value, str) else [""]
    right = value == "" or all(_JUMP.fullmatch(each.strip()) for each in places)
    return "" if right else 'must be a machine as in "user@gate:22"'


def _folder(value: object) -> str:
    what = _text(value)
    if what or not isinstance(value, str):
        return what
    path = PurePosixPath(value)
    if not path.is_absolute():
        return "must be an absolute path"
    if ".." in path.parts or not path.name:
        return "must be a folder of its own, in which attempts get theirs, without '..'"
    return ""


def _words(value: object) -> str:
    right = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return "" if right else 'must be a list of words, as in ["fast", "arm"]'


def _names(value: object) -> str:
    right = isinstance(value, list) and not any(_name(each) for each in value)
    return "" if right else 'must be a list of names, as in ["publisher", "subscriber"]'


def _argv(value: object) -> str:
    if isinstance(value, list) and value and not _words(value) and "\0" not in "".join(value):
        return ""
    return 'must be a list of words, a program and its arguments, as in ["ipmitool", "power"]'


def _patience(value: object) -> str:
    try:
        fits = 1 <= parse_duration(value if isinstance(value, int | float | str) else "") <= 600
    except BadInput:
        fits = False
    return "" if fits else 'must be a duration from 1 s to 10 min, as in "15s"'


#: a host that has not answered for so long is away, unless its site says otherwise, s
PATIENCE_S = 15.0

#: what a site says for all its hosts, and a host for itself: key → what is wrong with a value
SHARED: dict[str, Callable[[object], str]] = {
    "user": _user,
    "key": _text,
    "port": _port,
    "directory": _folder,
    "interface": _text,
    "jump": _jump,
}
OF_SITE = {**SHARED, "known_hosts": _text, "ssh_config": _text, "patience": _patience}
OF_HOST = {
    **SHARED,
    "name": _name,
    "address": _address,
    "roles": _names,
    "tags": _words,
    "power_cycle": _argv,
}
#: what to write instead, where the objection doesn't say it
_REMEDIES = {"directory": "Write it from the root, as in /experiments/fieldlab"}
#: paths of this machine
_PATHS = frozenset({"key", "known_hosts", "ssh_config"})


def read_sites(tables: object, file: Path) -> dict[str, Site]:
    """Read the table ``sites`` of a file.

    Raises
    ------
    BadInput
        With all that is wrong.
    """
    reader = _Reader(file)
    sites = reader.sites(tables)
    if reader.problems:
        raise BadInput.of(reader.problems)
    return sites


def sandbox_sites(home: Path) -> dict[str, Site]:
    """Read the site that the sandbox has written, if it is up.

    Raises
    ------
    BadInput
        The file can't be used.
    """
    file = home / SANDBOX
    try:
        tables = tomllib.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise BadInput.of([Problem(what=f"can't be read: {error}", file=str(file))]) from error
    return read_sites(tables.get(SITES, {}), file)


class _Reader:
    """Reads the sites of one file, and gathers what is wrong with them."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.problems: list[Problem] = []

    def sites(self, tables: object) -> dict[str, Site]:
        if not isinstance(tables, dict):
            self._object((SITES,), "must be a table", "Begin a site with a line [sites.NAME]")
            return {}
        return {name: self._site(name, table) for name, table in tables.items()}

    def _site(self, name: str, table: object) -> Site:
        where = (SITES, name)
        if what := _name(name):
            self._object(where, f"the name of a site {what}", "Give it another name")
        if not isinstance(table, dict):
            self._object(where, "must be a table", f"Begin it with a line [sites.{name}]")
            return Site(name=name, hosts=())
        own = self._checked(where, table, OF_SITE, more=("hosts",))
        shared = {key: value for key, value in own.items() if key in SHARED}
        entries = table.get("hosts", [])
        if not isinstance(entries, list) or not entries:
            remedy = f"Add one: a line [[sites.{name}.hosts]], below it name and address"
            self._object((*where, "hosts"), "the site has no hosts", remedy)
            entries = []
        hosts = [self._host((*where, "hosts", i), each, shared) for i, each in enumerate(entries)]
        self._refuse_twins(where, hosts)
        return Site(
            name=name,
            hosts=tuple(hosts),
            known_hosts=own.get("known_hosts", ""),
            ssh_config=own.get("ssh_config", ""),
            patience_s=parse_duration(own.get("patience", PATIENCE_S)),
            file=str(self._file),
        )

    def _host(
        self, where: tuple[str | int, ...], table: object, shared: Mapping[str, Any]
    ) -> HostSpec:
        if not isinstance(table, dict):
            self._object(where, "must be a table", "Begin it with a line [[sites.NAME.hosts]]")
            return HostSpec(name="", address="")
        own = self._checked(where, table, OF_HOST)
        if "name" not in table:
            self._object(where, "the host has no name", 'Give it one, as in name = "bench1"')
        name = own.get("name", "")
        given = {**shared, "address": name, **own, "name": name}
        for key in ("roles", "tags", "power_cycle"):
            given[key] = tuple(given.get(key, ()))
        return HostSpec(**given)

    def _refuse_twins(self, where: tuple[str, str], hosts: list[HostSpec]) -> None:
        names: dict[str, int] = {}
        machines: dict[str, str] = {}
        for place, host in enumerate(hosts):
            at = (*where, "hosts", place)
            if not host.name:
                continue
            if host.name in names:
                what = f"'{host.name}' is the name of hosts[{names[host.name]}] already"
                self._object((*at, "name"), what, "Give each host a name of its own")
            elif host.identity in machines:
                what = f"{host.identity} is the host '{machines[host.identity]}' already"
                self._object((*at, "address"), what, "Describe a machine once")
            names.setdefault(host.name, place)
            machines.setdefault(host.identity, host.name)

    def _checked(
        self,
        where: tuple[str | int, ...],
        table: Mapping[str, object],
        known: Mapping[str, Callable[[object], str]],
        more: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """Give what is right of a table."""
        right: dict[str, Any] = {}
        for key, value in table.items():
            if key in more:
                continue
            if key not in known:
                words = sorted((*known, *more))
                remedy = nearest(key, words) or f"Known keys: {', '.join(words)}"
                self._object((*where, key), f"unknown key '{key}'", remedy)
            elif what := known[key](value):
                self._object((*where, key), what, _REMEDIES.get(key, ""))
            else:
                right[key] = self._path(value) if key in _PATHS else value
        return right

    def _path(self, value: object) -> str:
        """Let a path begin where the file lies."""
        text = str(value)
        if not text:
            return ""
        try:
            return str(self._file.parent / Path(text).expanduser())
        except RuntimeError:  # no such user: what opens it says so
            return text

    def _object(self, key: tuple[str | int, ...], what: str, remedy: str) -> None:
        self.problems.append(Problem(what=what, file=str(self._file), key=key, remedy=remedy))


def file_problems(site: Site) -> list[Problem]:
    """Say what is wrong with the files that a site names; they are looked at when it is used."""
    problems: list[Problem] = []
    where = (SITES, site.name)
    for key in dict.fromkeys(host.key for host in site.hosts if host.key):
        what, remedy = _key_objection(Path(key))
        if what:
            problems.append(
                Problem(what=f"{key} {what}", file=site.file, key=(*where, "key"), remedy=remedy)
            )
    if site.ssh_config and not os.access(site.ssh_config, os.R_OK):
        problems.append(
            Problem(
                what=f"{site.ssh_config} can't be read",
                file=site.file,
                key=(*where, "ssh_config"),
                remedy="Correct the path, or leave the key out",
            )
        )
    return problems


def _key_objection(path: Path) -> tuple[str, str]:
    """Say what is wrong with a private key's file, and what to do; empty if nothing is."""
    try:
        found = path.stat()
        with path.open("rb") as file:
            head = file.read(64)
    except FileNotFoundError:
        return "isn't there", f"Correct the path, or make one with `ssh-keygen -f {path}`"
    except OSError as error:
        return f"can't be read: {error.strerror}", "Correct its permissions: `chmod 600`"
    if found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) & 0o077:
        return "can be read by others, so ssh doesn't use it", f"Hide it: `chmod 600 {path}`"
    if head.startswith((b"ssh-", b"ecdsa-", b"sk-")):
        return "is the public key", "Name the private one, without .pub"
    return "", ""
