"""What is made ready of a definition for a site, and checked, before there is a connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fieldlab.domain.commands import Command
from fieldlab.domain.errors import BadInput
from fieldlab.domain.noise import Noise
from fieldlab.domain.parameters import TrialSequence, sequence_from
from fieldlab.domain.programs import missing_programs_command
from fieldlab.domain.sites import Site
from fieldlab.execution.functions import FUNCTION_KINDS
from fieldlab.execution.remote import noise as noises
from fieldlab.execution.remote.choosing import ANY_ONE, Wish, wish_of
from fieldlab.execution.runners import make_tool
from fieldlab.execution.sequences import quasi_sequence
from fieldlab.ports.executor import Setup
from fieldlab.ports.host import Host
from fieldlab.ports.tool import HostPlace, NeedsPrograms, SpreadTool, Tool

#: looking for programs on a host may take so long, s
PROGRAMS_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How attempts are made; see the executor's keys of the definition."""

    #: attempts at a time; 0: as many as there are hosts for
    slots: int = 0
    tags: tuple[str, ...] = ()
    send: tuple[str, ...] = ()
    metrics: bool = False
    #: of the network, as stated in the definition
    noise: Mapping[str, Any] = field(default_factory=dict)
    #: packs a folder into a file beside it, and removes it
    pack: Callable[[Path], Path] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Readied:
    """What an executor runs attempts with."""

    sequence: TrialSequence
    tool: Tool
    wish: Wish
    slots: int


def ready(site: Site, ways: Ways, setup: Setup) -> Readied:
    """Make the tool and say which hosts it needs.

    Raises
    ------
    BadInput
        The tool, or the site for it, can't be used.
    """
    sequence = sequence_from(setup.space, quasi=quasi_sequence)
    tool = _tool_of(setup, sequence.names)
    wish = wish_of(site, tool.roles() if isinstance(tool, SpreadTool) else ANY_ONE, ways.tags)
    for each in ways.send:
        if not Path(setup.folder, each).exists():
            raise BadInput(
                f"There is no '{each}' in {setup.folder}",
                remedy="`send` names files and folders beside the definition",
                key=("executor", "ssh", "send"),
            )
    if ways.noise:
        for spec in wish.relevant:
            noises.check_can(spec, Noise(), netem=True)
    most = wish.most_at_a_time
    return Readied(
        sequence=sequence,
        tool=tool,
        wish=wish,
        slots=min(ways.slots or most, most),
    )


async def require_programs(host: Host, tool: object, kind: str) -> None:
    """Refuse a host that lacks a program which the tool needs there.

    Raises
    ------
    BadInput
        With the program, the host, and what to do.
    HostError
        The host can't be asked.
    """
    if not isinstance(tool, NeedsPrograms):
        return
    spec = host.spec
    place = HostPlace(name=spec.name, address=spec.address, roles=spec.roles)
    needed = tool.programs(place)
    if not needed:
        return
    argv = missing_programs_command(needed)
    asked = await host.run(Command(argv=argv, timeout_s=PROGRAMS_LIMIT_S))
    missing = asked.stdout.decode(errors="replace").splitlines()
    if missing:
        raise BadInput(
            f"There is no program {', '.join(missing)} on {spec.name}",
            remedy="Install it there (it must be executable), or say where it is: `executable` or"
            " `executables` of the tool, `perftest_exec_path` in AutoPerf's configurations",
            key=("tool", kind),
        )


def _tool_of(setup: Setup, names: tuple[str, ...]) -> Tool:
    """Make the tool of a campaign, and check it against its space.

    Raises
    ------
    BadInput
        There is none of that name, its options are wrong, or it can't run on a host.
    """
    kind = setup.tool["kind"]
    if kind in FUNCTION_KINDS:
        raise BadInput(
            "A Python function runs on this machine, and the executor is a site's hosts",
            remedy="Let the hosts run a program that calls it: tool: {command: [python3, study.py]}"
            " and executor: {ssh: {send: [study.py]}}",
            key=("executor",),
        )
    return make_tool(kind, setup.tool["options"], setup.timeout_s, names)
