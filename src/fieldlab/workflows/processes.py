"""The tool ``processes``: a definition's own roles and commands, over several hosts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fieldlab.domain.commands import Command
from fieldlab.domain.definition import PLACEHOLDERS
from fieldlab.domain.errors import BadInput, BadResult, Problem
from fieldlab.domain.ids import Point, Value
from fieldlab.domain.sites import ALL
from fieldlab.domain.stating import StatedSpace, value_problems
from fieldlab.domain.trials import Row
from fieldlab.execution.commands import as_text
from fieldlab.execution.reading import read_rows
from fieldlab.ports.tool import STDERR, HostPlace, Judgement, Outcome, Place, Plan, Process
from fieldlab.workflows.options import Options
from fieldlab.workflows.process_options import (
    HOST_PLACEHOLDERS,
    ProcessSpec,
    read_duration_name,
    read_processes,
    read_roles,
)
from fieldlab.workflows.spreading import (
    ended_badly,
    findable,
    from_home,
    hosts_with,
    limit_s,
    shorter,
)
from fieldlab.workflows.templating import filled, unknown_in

_KEYS = ("roles", "run", "duration", "margin", "merge")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Instance:
    """One process of a plan as its name says it."""

    spec: ProcessSpec
    #: name of its host, where the role has several
    host: str


class ProcessesTool:
    """Runs the processes that a definition describes; see :class:`fieldlab.ports.tool.Tool`.

    Parameters
    ----------
    options
        ``roles``: role → number of hosts, or "all"; ``run``: the processes, each with ``name``,
        ``role``, ``command``, and as it needs ``environment``, ``after``, ``serves``, ``read``,
        ``success``; ``duration``: a parameter (or number) of seconds, and ``margin``, which limit
        an attempt; ``merge``: one row of all that is read.
    timeout_s
        A limit besides; 0 has none.
    """

    def __init__(self, options: Mapping[str, Any], timeout_s: float = 0.0) -> None:
        read = Options(options, ("tool", "processes"))
        read.only(*_KEYS)
        self._roles = read_roles(read)
        self._specs = read_processes(read, self._roles)
        self._duration = read_duration_name(read)
        self._margin_s = read.seconds("margin", 0.0) if "margin" in read else None
        self._merge = read.flag("merge")
        self._timeout_s = timeout_s
        read.finish()

    def roles(self) -> Mapping[str, int]:
        return self._roles

    def limit_s(self, point: Point) -> float:
        if self._duration is None:
            return 0.0
        value = self._duration if isinstance(self._duration, float) else point.get(self._duration)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise BadInput(
                _fault_of_duration(str(self._duration), value),
                remedy="Name a parameter that is a number",
                key=("tool", "processes", "duration"),
            )
        return limit_s(value, self._margin_s)

    def check(self, space: StatedSpace) -> None:
        known = [*space, *HOST_PLACEHOLDERS, *sorted(PLACEHOLDERS)]
        known += [f"{role}.{what}" for role in self._roles for what in ("address", "host")]
        problems = []
        for place, spec in enumerate(self._specs):
            for key, text in spec.texts():
                if (unknown := unknown_in(text, known)) is not None:
                    what = f"nothing fills the placeholder {{{unknown[0]}}}"
                    full = ("tool", "processes", "run", place, *key)
                    problems.append(Problem(what=what, remedy=unknown[1], key=full))
        if isinstance(self._duration, str) and self._duration not in space:
            problems.append(
                Problem(
                    what=f"the duration '{self._duration}' is no parameter of the space",
                    remedy=f"Parameters: {', '.join(space)}",
                    key=("tool", "processes", "duration"),
                )
            )
        if isinstance(self._duration, str):
            problems += value_problems(space, self._duration, _fault_of_duration)
        if problems:
            raise BadInput.of(problems)

    def programs(self, host: HostPlace) -> Sequence[str]:
        """Name what a host's processes begin with; a placeholder, or a PATH, hides it."""
        found = [
            spec.command[0]
            for spec in self._specs
            if spec.role in host.roles
            and "PATH" not in spec.environment
            and not {"{", "}"} & {*spec.command[0]}
        ]
        return tuple(dict.fromkeys(each for word in found for each in findable(word)))

    def plan(self, point: Point, place: Place) -> Plan:
        limit = shorter(self.limit_s(point), self._timeout_s)
        hosts = {role: self._hosts(place, role) for role in self._roles}
        shared = {name: as_text(value) for name, value in point.items()}
        for role, chosen in hosts.items():
            shared[f"{role}.address"], shared[f"{role}.host"] = chosen[0].address, chosen[0].name
        shared |= {
            "attempt": str(place.attempt),
            "repeat": str(place.repeat),
            "fingerprint": place.fingerprint,
            "here": place.here,
        }
        processes = []
        for spec in self._specs:
            for index, host in enumerate(hosts[spec.role]):
                own = {
                    **shared,
                    "host": host.name,
                    "address": host.address,
                    "interface": host.interface,
                    "out": host.out or place.out,
                    "index": str(index),
                }
                processes.append(self._process(spec, host, own, limit))
        return Plan(processes=tuple(processes))

    def _hosts(self, place: Place, role: str) -> Sequence[HostPlace]:
        hosts = hosts_with(place, role, "the tool 'processes'")
        number = self._roles[role]
        if len(hosts) < number:
            raise BadInput(
                f"{len(hosts)} of {number} hosts have the role '{role}'",
                remedy="Add hosts to the site, or ask for fewer",
            )
        return hosts if number == ALL else hosts[:number]

    def _process(
        self, spec: ProcessSpec, host: HostPlace, values: Mapping[str, str], limit: float
    ) -> Process:
        program, *arguments = [filled(word, values) for word in spec.command]
        source = (spec.source,) if spec.read else ()
        return Process(
            name=self._name(spec, host.name),
            host=host.name,
            command=Command(
                argv=(*from_home(program), *arguments),
                environment={n: filled(word, values) for n, word in spec.environment.items()},
                directory=host.out or ".",
                timeout_s=limit,
            ),
            reads=tuple(dict.fromkeys((*source, STDERR))),
            delay_s=spec.after_s,
            serves=spec.serves,
        )

    def _name(self, spec: ProcessSpec, host: str) -> str:
        if self._roles[spec.role] == 1:
            return spec.name
        return f"{spec.name}-{re.sub(r'[^A-Za-z0-9_.-]', '_', host)}"

    def _instances(self, outcome: Outcome) -> Mapping[str, _Instance]:
        """Tell of every process which of the definition's it is; of servers there may be no end."""
        found = {}
        written = [name.partition("/")[0] for name in outcome.files if "/" in name]
        for name in dict.fromkeys([*outcome.exits, *written]):
            for spec in self._specs:
                if name == spec.name:
                    found[name] = _Instance(spec=spec, host="")
                elif self._roles[spec.role] != 1 and name.startswith(f"{spec.name}-"):
                    found[name] = _Instance(spec=spec, host=name.removeprefix(f"{spec.name}-"))
        return found

    def judge(self, outcome: Outcome) -> Judgement:
        instances = self._instances(outcome)
        ended = ended_badly(
            outcome,
            success={name: each.spec.success for name, each in instances.items()},
            serving=frozenset(name for name, each in instances.items() if each.spec.serves),
            programs="`command` in the definition names it.",
            limits="`timeout` in the definition, or `duration` and `margin` in the tool, set it.",
        )
        return ended or Judgement(status="success")

    def parse(self, outcome: Outcome) -> list[Row]:
        rows: list[Row] = []
        for name, each in self._instances(outcome).items():
            if each.spec.read is None:
                continue
            content = outcome.files.get(f"{name}/{each.spec.source}")
            if content is None:
                raise BadResult(
                    f"{name} wrote no file '{each.spec.source}'",
                    remedy="Let it write to {out}/" + each.spec.source,
                )
            found = read_rows(content, f"{name}: {each.spec.source}", each.spec.read)
            rows += found if self._merge else [_placed(row, each) for row in found]
        if not rows:
            return [{}]
        return [_merged(rows)] if self._merge else rows


def _fault_of_duration(name: str, value: Value) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return f"The duration {name} is {value!r}, not a number of seconds"
    return ""


def _placed(row: Row, instance: _Instance) -> Row:
    """Add to a row which process gave it, and on which host where there are several."""
    added: Row = {"process": instance.spec.name}
    if instance.host:
        added["host"] = instance.host
    for name in added:
        if name in row:
            raise BadResult(
                f"{instance.spec.name} gives a result '{name}', which says whose a row is",
                remedy="Call it something else",
            )
    return {**row, **added}


def _merged(rows: Sequence[Row]) -> Row:
    whole: Row = {}
    for row in rows:
        for name in row:
            if name in whole:
                raise BadResult(
                    f"Two rows have the result '{name}', so they can't be merged",
                    remedy="Leave `merge` out: each process then has a row of its own",
                )
        whole |= row
    return whole
