"""The tool ``perftest``: RTI Perftest, publishers and subscribers spread over machines."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fieldlab.domain.commands import Command
from fieldlab.domain.errors import sentences
from fieldlab.domain.ids import Point
from fieldlab.domain.sites import ALL
from fieldlab.domain.stating import StatedSpace
from fieldlab.domain.trials import Row
from fieldlab.ports.tool import STDERR, HostPlace, Judgement, Outcome, Place, Plan, Process
from fieldlab.workflows.options import Options
from fieldlab.workflows.perftest.fixing import check_space, fixed_parameters
from fieldlab.workflows.perftest.formats import Report, parse
from fieldlab.workflows.perftest.measures import flaws_of, row_of, verdict
from fieldlab.workflows.perftest.parameters import PARAMETERS, TestName
from fieldlab.workflows.perftest.statuses import EXECUTION_FAILED
from fieldlab.workflows.spreading import (
    ended_badly,
    findable,
    from_home,
    hosts_with,
    limit_s,
    shorter,
)

_KEYS = ("executable", "executables", "transport", "extra", "margin")


class PerftestTool:
    """Runs a test of RTI Perftest; see :class:`fieldlab.ports.tool.Tool`.

    Parameters
    ----------
    options
        ``executable``; ``executables``: host → executable, where it differs; ``transport``;
        ``extra``: further words for ``pub`` and ``sub``; ``margin``: how long beyond its duration a
        test may take; and fixed values of parameters that the space doesn't have.
    timeout_s
        A limit besides that of duration and margin; 0 has none.

    Raises
    ------
    BadInput
        An option is wrong; ``problems`` has them all.
    """

    def __init__(self, options: Mapping[str, Any], timeout_s: float = 0.0) -> None:
        read = Options(options, ("tool", "perftest"))
        read.only(*_KEYS, *PARAMETERS)
        self._executable = read.text("executable", "perftest_cpp")
        self._executables = read.texts("executables")
        self._transport = read.text("transport", "UDPv4")
        extra = read.part("extra")
        extra.only("pub", "sub")
        self._extra = {role: tuple(extra.words(role)) for role in ("pub", "sub")}
        self._margin_s = read.seconds("margin", 0.0) if "margin" in read else None
        self._fixed = fixed_parameters(read)
        self._timeout_s = timeout_s
        read.finish()

    def roles(self) -> Mapping[str, int]:
        return {"pub": ALL, "sub": ALL}

    def limit_s(self, point: Point) -> float:
        return limit_s(self._test(point).duration_secs, self._margin_s)

    def check(self, space: StatedSpace) -> None:
        check_space(space, self._fixed, PARAMETERS, "perftest")

    def reads(self) -> Collection[str]:
        return PARAMETERS

    def programs(self, host: HostPlace) -> Sequence[str]:
        if not {"pub", "sub"} & set(host.roles):
            return ()
        return findable(self._executables.get(host.name, self._executable))

    def plan(self, point: Point, place: Place) -> Plan:
        test = self._test(point)
        publishers = hosts_with(place, "pub", "perftest")
        # machines that do both get the last subscribers first, which evens out their loads
        subscribers = hosts_with(place, "sub", "perftest")[::-1]
        limit = shorter(self.limit_s(point), self._timeout_s)
        processes = []
        for i in range(test.pub_count):
            host = publishers[i % len(publishers)]
            file = "pub_0.csv" if i == 0 else ""
            words = _publisher(test, i, file, self._transport)
            processes.append(self._process(f"pub_{i}", host, words, file, limit))
        for i in range(test.sub_count):
            host = subscribers[i % len(subscribers)]
            file = f"sub_{i}.csv"
            words = _subscriber(test, i, file, self._transport)
            processes.append(self._process(f"sub_{i}", host, words, file, limit))
        return Plan(processes=tuple(processes))

    def _test(self, point: Point) -> TestName:
        return TestName.of({**self._fixed, **point})

    def _process(
        self, name: str, host: HostPlace, words: list[str], file: str, limit: float
    ) -> Process:
        program = from_home(self._executables.get(host.name, self._executable))
        return Process(
            name=name,
            host=host.name,
            command=Command(
                argv=(*program, *words, *self._extra[name.partition("_")[0]]),
                directory=host.out or ".",
                timeout_s=limit,
            ),
            reads=(file, STDERR) if file else (STDERR,),
        )

    def judge(self, outcome: Outcome) -> Judgement:
        ended = ended_badly(
            outcome,
            failed_status=EXECUTION_FAILED,
            programs="`executable` and `executables` in the tool's options say where it lies; in "
            "AutoPerf's configuration, `perftest_exec_path` of the machine.",
        )
        if ended is not None:
            return ended
        reports = _reports(outcome)
        judged = verdict(reports, len(reports))
        if judged.failure is None:
            return judged
        flaws = flaws_of({f"{name}.csv": report for name, report in reports.items()})
        return replace(judged, explanation=sentences(judged.explanation, *flaws))

    def parse(self, outcome: Outcome) -> list[Row]:
        reports = _reports(outcome)
        subscribers = [
            report for name, report in reports.items() if report and name.startswith("sub_")
        ]
        return [row_of(reports.get("pub_0"), subscribers)]


def _base(test: TestName) -> list[str]:
    words = ["-dataLen", str(test.datalen_bytes)]
    if not test.use_reliable:
        words.append("-bestEffort")
    if test.use_multicast:
        words.append("-multicast")
    return [*words, "-durability", str(test.durability_level)]


def _publisher(test: TestName, number: int, file: str, transport: str) -> list[str]:
    words = [*_base(test), "-pub"]
    if test.pub_count > 1:
        words += ["-pidMultiPubTest", str(number)]
    if file:
        words += ["-outputFile", file]
    words += ["-numSubscribers", str(test.sub_count)]
    words += ["-executionTime", str(test.duration_secs)]
    words += ["-latencyCount", str(test.latency_count)]
    return [*words, "-batchSize", "0", "-transport", transport]


def _subscriber(test: TestName, number: int, file: str, transport: str) -> list[str]:
    words = _base(test)
    if test.sub_count > 1:
        words += ["-sidMultiSubTest", str(number)]
    words += ["-outputFile", file, "-numPublishers", str(test.pub_count)]
    return [*words, "-transport", transport]


def _reports(outcome: Outcome) -> dict[str, Report | None]:
    """Read the files of publisher 0 and of every subscriber; None where there is none."""
    found: dict[str, Report | None] = {}
    for name in outcome.exits:
        if name == "pub_0" or name.startswith("sub_"):
            content = outcome.files.get(f"{name}/{name}.csv")
            found[name] = None if content is None else parse(content)
    return found
