"""The machines of an AutoPerf campaign, and the site that they are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldlab.domain.errors import Problem
from fieldlab.domain.fields import Key
from fieldlab.domain.sites import HostSpec, Site
from fieldlab.workflows.options import Options
from fieldlab.workflows.perftest.spellings import naming

#: what a key is called in the three generations, the oldest first
_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "name": ("machine_name", "hostname", "name"),
    "allocation": ("participant_allocation", "participant_type"),
    "address": ("ip",),
    "key": ("ssh_key_path",),
    "user": ("username",),
    "executable": ("perftest_exec_path", "perftest_path"),
    "plug_name": ("smart_plug_name",),
    "plug_address": ("smart_plug_ip",),
}
_REQUIRED = ("name", "allocation", "address", "executable")
_ROLES = {"pub": ("pub",), "sub": ("sub",), "all": ("pub", "sub")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One machine of a campaign."""

    name: str
    address: str
    roles: tuple[str, ...]
    executable: str
    user: str = ""
    key: str = ""
    plug_name: str = ""
    plug_address: str = ""
    #: where its private key is named
    place: Key = ()


def read_machines(campaign: Options, name: str) -> tuple[Machine, ...]:
    """Read the list of machines under a key, noting what is wrong with it."""
    found = []
    for part in campaign.parts(name):
        known = naming(part, _SPELLINGS)
        values = {}
        for meaning in _SPELLINGS:
            written = known.get(meaning)
            if written is not None:
                values[meaning] = part.text(written)
            elif meaning in _REQUIRED:
                first = _SPELLINGS[meaning][0]
                part.note(f"the key '{first}' is missing", f"Add {first}", first)
        roles = _ROLES.get(values.pop("allocation", ""), ())
        if "allocation" in known and not roles:
            part.one_of(known["allocation"], tuple(_ROLES))
        texts = {meaning: values.get(meaning, "") for meaning in values}
        place = (*part.key, known.get("key", ""))
        found.append(Machine(**{**_EMPTY, **texts}, roles=roles, place=place))
    _check(campaign, name, found)
    return tuple(found)


_EMPTY: Mapping[str, Any] = {"name": "", "address": "", "executable": ""}


def _check(campaign: Options, name: str, found: Sequence[Machine]) -> None:
    if not found:
        if name in campaign and campaign.get(name) is None:
            what = f"'{name}' must be a list, not null"
            campaign.note(what, f"Write {name}: [{{…}}]", name)
        elif isinstance(campaign.get(name), list):
            campaign.note("there is no machine", "Name one for pub and one for sub", name)
        return
    for what, values in (
        ("are called", [machine.name for machine in found]),
        ("have the address", [machine.address for machine in found]),
    ):
        for value, number in Counter(values).items():
            if value and number > 1:
                remedy = "Name each machine once; one that does both has participant 'all'"
                campaign.note(f"{number} machines {what} '{value}'", remedy, name)
    if any(not machine.roles for machine in found):
        return  # said already
    for role, sides in (("pub", "publishers"), ("sub", "subscribers")):
        if not any(role in machine.roles for machine in found):
            what = f"no machine runs {sides}: none has the participant '{role}' or 'all'"
            campaign.note(what, f"Change one of the machines to '{role}', or add one", name)


def unreadable_keys(machines: Sequence[Machine]) -> Iterator[Problem]:
    """Find private keys that can't be read here."""
    for machine in machines:
        if not machine.key:
            continue
        path = Path(machine.key).expanduser()
        if path.is_file() and os.access(path, os.R_OK):
            continue
        why = "there is no such file" if not path.exists() else "it can't be read"
        yield Problem(
            what=f"the private key {machine.key} of '{machine.name}' can't be used: {why}",
            remedy="Name the file that `ssh -i` takes, or make one with `ssh-keygen -t ed25519`",
            key=machine.place,
        )


def site_of(machines: Sequence[Machine], name: str, interface: str) -> Site:
    """Make the site of a campaign's machines, whose tests use a network interface of that name."""
    return Site(
        name=name,
        hosts=tuple(
            HostSpec(
                name=machine.name,
                address=machine.address,
                user=machine.user,
                key=machine.key,
                roles=machine.roles,
                interface=interface,
            )
            for machine in machines
        ),
    )


def executables_of(machines: Sequence[Machine]) -> dict[str, Any]:
    """Give the tool's options on where Perftest lies: most often, and where it differs."""
    most = Counter(machine.executable for machine in machines).most_common(1)[0][0]
    others = {each.name: each.executable for each in machines if each.executable != most}
    return {"executable": most, **({"executables": others} if others else {})}
