"""From AutoPerf's campaigns to fieldlab's definitions and sites."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldlab.domain.definition import is_name
from fieldlab.domain.sites import Site
from fieldlab.workflows.perftest.configs import CampaignConfig, is_range, read_config
from fieldlab.workflows.perftest.machines import Machine, executables_of, site_of
from fieldlab.workflows.perftest.parameters import TestName

#: that a campaign's noise is made on, where nobody says otherwise: a Raspberry Pi's
INTERFACE = "eth0"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedCampaign:
    """A campaign of AutoPerf as fieldlab runs it."""

    #: of the experiment; made of the campaign's
    name: str
    #: as AutoPerf called it
    title: str
    #: what a definition's file says, as plain data
    definition: Mapping[str, Any]
    site: Site
    machines: tuple[Machine, ...]
    #: tests that the status file says are done, and that are left out
    done: int = 0
    #: whether everything is done
    complete: bool = False
    #: what was changed or has no counterpart, for people
    notes: tuple[str, ...] = ()


def read_autoperf(
    path: Path, done: Collection[TestName] = (), interface: str = ""
) -> list[ImportedCampaign]:
    """Read a configuration of AutoPerf, of any generation.

    Parameters
    ----------
    path
        The file: JSON, TOML, or YAML.
    done
        Tests that have succeeded, and are not to be run again.
    interface
        Network interface of the machines that tests use, of which configurations say nothing;
        if absent, and there is noise to make, that of AutoPerf's machines.

    Raises
    ------
    BadInput
        It can't be used; see :func:`fieldlab.workflows.perftest.configs.read_config`.
    """
    configs = read_config(path)
    if any(config.noise for config in configs):
        interface = interface or INTERFACE
    sites: dict[tuple[object, ...], Site] = {}
    names: set[str] = set()
    found = []
    for config in configs:
        name = _unused(slug(config.name), names)
        names.add(name)
        identity = tuple((each.name, each.address, each.roles) for each in config.machines)
        if identity not in sites:
            taken = {site.name for site in sites.values()}
            sites[identity] = site_of(config.machines, _unused(slug(path.stem), taken), interface)
        found.append(_imported(config, name, sites[identity], set(done), path.name))
    return found


def slug(text: str) -> str:
    """Make a name of any text: "PCG #1" becomes "pcg-1"."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-_").lower()[:60]
    return plain if is_name(plain) else "campaign"


def _unused(name: str, taken: Collection[str]) -> str:
    number = 2
    unused = name
    while unused in taken:
        unused = f"{name}-{number}"
        number += 1
    return unused


def _imported(
    config: CampaignConfig, name: str, site: Site, done: set[TestName], file: str
) -> ImportedCampaign:
    notes = list(config.notes)
    if name != config.name:
        notes.insert(0, f"'{config.name}' is called {name}: names have no spaces or signs")
    space, skipped, complete = _space(config, done)
    definition: dict[str, Any] = {
        "name": name,
        "description": f"AutoPerf's campaign '{config.name}', from {file}",
        "tool": {"perftest": executables_of(config.machines)},
        "space": space,
        "executor": {"ssh": {"site": site.name}},
        "retry": {"attempts": config.retries + 1},
        "guard": {"consecutive_failures": config.failures},
    }
    if config.noise:
        definition["noise"] = dict(config.noise)
    return ImportedCampaign(
        name=name,
        title=config.name,
        definition=definition,
        site=site,
        machines=config.machines,
        done=skipped,
        complete=complete,
        notes=tuple(notes),
    )


def _space(config: CampaignConfig, done: set[TestName]) -> tuple[dict[str, Any], int, bool]:
    """Write a campaign's space without what is done: it, tests left out, whether all are done."""
    if config.generation == "list":
        left = [test for test in config.tests if test not in done]
        skipped = len(config.tests) - len(left)
        return {"include": [test.point() for test in left]}, skipped, not left
    axes = {name: _axis(values, config.generation == "rcg") for name, values in config.qos.items()}
    mine = sorted((test for test in done if _holds(axes, test)), key=str)
    space: dict[str, Any] = {"matrix": axes}
    if mine:
        # in the order of the axes, as the file has them
        space["exclude"] = [{name: test.point()[name] for name in axes} for test in mine]
    complete = bool(mine) and len(mine) >= _size(axes)
    if config.generation == "rcg":
        count = config.count
        if count is not None:
            count -= len(mine)
            complete = complete or count <= 0
        space["sample"] = {"seed": 1} if count is None else {"count": max(count, 1), "seed": 1}
    return space, len(mine), complete


def _axis(values: list[Any], is_random: bool) -> Any:
    if is_random and is_range(values):
        return [values[0]] if values[0] == values[1] else {"range": values}
    return list(dict.fromkeys(values))


def _holds(axes: Mapping[str, Any], test: TestName) -> bool:
    """Say whether a test is one of a space's."""
    return all(_has(axes[name], value) for name, value in test.point().items())


def _has(axis: Any, value: object) -> bool:
    if isinstance(axis, Mapping):
        low, high = axis["range"]
        return isinstance(value, int) and low <= value <= high
    return any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in axis)


def _size(axes: Mapping[str, Any]) -> int:
    size = 1
    for axis in axes.values():
        size *= axis["range"][1] - axis["range"][0] + 1 if isinstance(axis, Mapping) else len(axis)
    return size
