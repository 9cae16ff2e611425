"""The command tool: a program, arguments with ``{parameter}`` placeholders, how it is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from fieldlab.domain.commands import Command
from fieldlab.domain.definition import PLACEHOLDERS
from fieldlab.domain.errors import BadResult
from fieldlab.domain.ids import Point, Value
from fieldlab.domain.trials import FailureClass, Row
from fieldlab.execution.reading import read_rows
from fieldlab.ports.tool import STDOUT, Judgement, Outcome, Place, Plan


class CommandTool:
    """Runs a program for each point; see :class:`fieldlab.ports.tool.Tool`.

    Parameters
    ----------
    options
        ``argv``, ``environment``, ``directory`` ("experiment" or "attempt"), ``success`` (exit
        codes), and ``read``: None, or how results are read (``format``, ``file``, ``values``).
    """

    def __init__(self, options: Mapping[str, Any], timeout_s: float = 0.0) -> None:
        self._argv: list[str] = list(options["argv"])
        self._environment: dict[str, str] = dict(options.get("environment") or {})
        self._in_attempt = options.get("directory") == "attempt"
        self._success = frozenset(options.get("success") or (0,))
        self._read: Mapping[str, Any] | None = options.get("read")
        self._timeout_s = timeout_s
        words = [*self._argv, *self._environment.values()]
        self._writes = (
            self._in_attempt
            or any("{out}" in word for word in words)
            or bool(self._read and self._read.get("file"))
        )

    def plan(self, point: Point, place: Place) -> Plan:
        names: dict[str, Value] = {**_placeholders(place), **point}
        texts = {name: as_text(value) for name, value in names.items()}
        argv = [word.format_map(texts) for word in self._argv]
        if "/" in argv[0]:  # from where the definition lies, wherever the command runs
            argv[0] = str(PurePath(place.here, argv[0]))
        command = Command(
            argv=tuple(argv),
            environment={name: word.format_map(texts) for name, word in self._environment.items()},
            directory=place.out if self._in_attempt else place.here,
            timeout_s=self._timeout_s,
        )
        reads = (self._source(),) if self._read else ()
        return Plan.of(command, reads=reads, writes=self._writes)

    def _source(self) -> str:
        return (self._read or {}).get("file") or STDOUT

    def judge(self, outcome: Outcome) -> Judgement:
        if outcome.exit.timed_out:
            return Judgement(
                status="timeout",
                failure=FailureClass.EXPERIMENT,
                explanation=f"The command was {outcome.exit}. `timeout` in the definition sets it.",
            )
        if outcome.exit.code in self._success:
            return Judgement(status="success")
        return Judgement(
            status=str(outcome.exit),
            failure=FailureClass.EXPERIMENT,
            explanation=f"The command ended with {outcome.exit}.",
        )

    def parse(self, outcome: Outcome) -> list[Row]:
        if self._read is None:
            return [{}]
        source = self._source()
        if source not in outcome.files:
            raise BadResult(
                f"The command wrote no file '{source}'",
                remedy="Let it write to {out}/" + source + ", or set `directory: attempt`",
            )
        return read_rows(outcome.files[source], source, self._read)


def _placeholders(place: Place) -> dict[str, Value]:
    return {name: getattr(place, name) for name in PLACEHOLDERS}


def as_text(value: Value) -> str:
    """Write a parameter's value the way it stands on a command line: ``0.1``, ``true``, ``abc``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
