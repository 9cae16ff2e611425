"""The tool ``iperf3``: throughput between two machines, TCP or UDP."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fieldlab.domain.commands import Command
from fieldlab.domain.errors import BadInput, BadResult, nearest
from fieldlab.domain.ids import Point, Value
from fieldlab.domain.stating import StatedSpace, value_problems
from fieldlab.domain.trials import FailureClass, Row
from fieldlab.ports.tool import STDERR, STDOUT, HostPlace, Judgement, Outcome, Place, Plan, Process
from fieldlab.workflows.options import Options
from fieldlab.workflows.perftest.fixing import result_problems
from fieldlab.workflows.spreading import (
    ended_badly,
    findable,
    from_home,
    hosts_with,
    limit_s,
    shorter,
)

#: parameters, each of which may be a fixed value in the options: name → default
_PARAMETERS: Mapping[str, Value] = {
    "duration_secs": 10,
    "protocol": "tcp",
    "rate": "",
    "parallel": 1,
    "reverse": False,
    "length_bytes": 0,
    "omit_secs": 0,
}
_KEYS = ("executable", "port", "after", "roles", "extra", "margin")
#: columns of the results
RESULTS = frozenset(
    {
        "throughput_mbps",
        "throughput_std_mbps",
        "sent_mbps",
        "retransmits",
        "jitter_ms",
        "packets_total",
        "packets_lost",
        "loss_percent",
        "cpu_client_percent",
        "cpu_server_percent",
        "rtt_mean_us",
    }
)
_PROTOCOLS = ("tcp", "udp")
_RATE = re.compile(r"\d+(\.\d+)?[KMGTkmgt]?")


class Iperf3Tool:
    """Runs iperf3 between a server and a client; see :class:`fieldlab.ports.tool.Tool`.

    Parameters
    ----------
    options
        ``executable``; ``port``; ``after``: how long the client waits for the server; ``roles``:
        what a site calls "server" and "client"; ``extra``; ``margin``; and fixed values of
        ``duration_secs``, ``protocol``, ``rate`` (bit/s, as in "10M"), ``parallel``, ``reverse``,
        ``length_bytes``, ``omit_secs``.
    timeout_s
        A limit besides that of duration and margin; 0 has none.
    """

    def __init__(self, options: Mapping[str, Any], timeout_s: float = 0.0) -> None:
        read = Options(options, ("tool", "iperf3"))
        read.only(*_KEYS, *_PARAMETERS)
        self._executable = read.text("executable", "iperf3")
        self._port = read.whole("port", 5201, least=1)
        self._after_s = read.seconds("after", 0.5)
        roles = read.part("roles")
        roles.only("server", "client")
        self._server = roles.text("server", "server")
        self._client = roles.text("client", "client")
        if self._server == self._client:
            remedy = "Give the two hosts different roles"
            read.note(f"both sides have the role '{self._server}'", remedy, "roles")
        extra = read.part("extra")
        extra.only("server", "client")
        self._extra = {side: tuple(extra.words(side)) for side in ("server", "client")}
        self._margin_s = read.seconds("margin", 0.0) if "margin" in read else None
        self._fixed = {name: read.get(name) for name in _PARAMETERS if name in read}
        for name, value in self._fixed.items():
            if fault := _fault_of(name, value):
                read.note(fault, "Write one value; several belong in the space", name)
        self._timeout_s = timeout_s
        read.finish()

    def roles(self) -> Mapping[str, int]:
        return {self._server: 1, self._client: 1}

    def limit_s(self, point: Point) -> float:
        full = self._full(point)
        lasts = float(str(full["duration_secs"])) + float(str(full["omit_secs"]))
        return limit_s(lasts + self._after_s, self._margin_s)

    def check(self, space: StatedSpace) -> None:
        clashes = result_problems(space, RESULTS, "iperf3")
        if clashes:
            raise BadInput.of(clashes)
        for name in space:
            hint = nearest(name, _PARAMETERS)
            if name not in _PARAMETERS and hint:
                raise BadInput(
                    f"iperf3 has no parameter '{name}'", remedy=hint, key=("tool", "iperf3")
                )
        problems = [each for name in _PARAMETERS for each in value_problems(space, name, _fault_of)]
        if problems:
            raise BadInput.of(problems)

    def reads(self) -> Collection[str]:
        return _PARAMETERS.keys()

    def programs(self, host: HostPlace) -> Sequence[str]:
        return findable(self._executable) if {self._server, self._client} & {*host.roles} else ()

    def plan(self, point: Point, place: Place) -> Plan:
        full = self._full(point)
        server = hosts_with(place, self._server, "iperf3")[0]
        client = hosts_with(place, self._client, "iperf3")[0]
        limit = shorter(self.limit_s(point), self._timeout_s)
        program = from_home(self._executable)
        port = ("-p", str(self._port))
        listen = (*program, "-s", "-1", "-B", server.address, *port, *self._extra["server"])
        words = (*program, "-c", server.address, *port, "-J", *_words(full), *self._extra["client"])
        return Plan(
            processes=(
                Process(
                    name="server",
                    host=server.name,
                    command=Command(argv=listen, directory=server.out or ".", timeout_s=limit),
                    reads=(STDERR,),
                    serves=True,
                ),
                Process(
                    name="client",
                    host=client.name,
                    command=Command(argv=words, directory=client.out or ".", timeout_s=limit),
                    reads=(STDOUT, STDERR),
                    delay_s=self._after_s,
                ),
            )
        )

    def _full(self, point: Point) -> Point:
        full: Point = {**_PARAMETERS, **self._fixed, **point}
        for name in _PARAMETERS:
            if fault := _fault_of(name, full[name]):
                raise BadInput(fault, remedy="Change it in the space")
        return full

    def judge(self, outcome: Outcome) -> Judgement:
        ended = ended_badly(outcome, serving=frozenset({"server"}))
        document = _document(outcome)
        said = document.get("error") if document else None
        if ended is not None and not said:
            return ended
        if said:
            failure = ended.failure if ended else FailureClass.EXPERIMENT
            status = ended.status if ended else "error"
            return Judgement(status=status, failure=failure, explanation=f"iperf3 said: {said}")
        if document is not None and not _received(document).get("bytes"):
            return Judgement(
                status="nothing received",
                failure=FailureClass.VERDICT,
                explanation="The client ended well, and no byte arrived.",
            )
        return Judgement(status="success")

    def parse(self, outcome: Outcome) -> list[Row]:
        document = _document(outcome)
        if document is None or "end" not in document:
            raise BadResult(
                "iperf3 printed no result", remedy="Is it a version with -J? `iperf3 --version`"
            )
        return [_row(document)]


def _fault_of(name: str, value: Value) -> str:
    default = _PARAMETERS[name]
    if name == "protocol":
        return "" if value in _PROTOCOLS else f"protocol is one of tcp and udp, not {value!r}"
    if name == "rate":
        is_rate = isinstance(value, int | str) and not isinstance(value, bool)
        fine = is_rate and (value == "" or _RATE.fullmatch(str(value)))
        return "" if fine else f'rate is in bit/s, such as "10M", not {value!r}'
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else f"{name} must be true or false, not {value!r}"
    least = 1 if default else 0
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return ""
    return f"{name} must be an integer of at least {least}, not {value!r}"


def _words(full: Point) -> list[str]:
    words = ["-t", str(full["duration_secs"])]
    if full["protocol"] == "udp":
        words.append("-u")
    if full["rate"] not in ("", 0):
        words += ["-b", str(full["rate"])]
    if full["parallel"] != 1:
        words += ["-P", str(full["parallel"])]
    if full["reverse"]:
        words.append("-R")
    if full["length_bytes"]:
        words += ["-l", str(full["length_bytes"])]
    if full["omit_secs"]:
        words += ["-O", str(full["omit_secs"])]
    return words


def _document(outcome: Outcome) -> dict[str, Any] | None:
    """Read what the client printed; None if it isn't iperf3's JSON."""
    try:
        document = json.loads(outcome.files.get(f"client/{STDOUT}", b""))
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _received(document: Mapping[str, Any]) -> Mapping[str, Any]:
    end = document.get("end") or {}
    return end.get("sum_received") or end.get("sum") or {}


def _row(document: Mapping[str, Any]) -> Row:
    end = document["end"]
    received, sent = _received(document), end.get("sum_sent") or {}
    # of UDP, versions before 3.10 say what was lost only here
    counted = end.get("sum_received") or {}
    if not counted.get("packets"):
        counted = end.get("sum") or {}
    cpu = end.get("cpu_utilization_percent") or {}
    row: Row = {
        "throughput_mbps": _megabits(received),
        "sent_mbps": _megabits(sent),
        "retransmits": sent.get("retransmits"),
        "jitter_ms": _real(counted.get("jitter_ms")),
        "packets_total": counted.get("packets"),
        "packets_lost": counted.get("lost_packets"),
        "loss_percent": _real(counted.get("lost_percent")),
        "cpu_client_percent": _real(cpu.get("host_total")),
        "cpu_server_percent": _real(cpu.get("remote_total")),
    }
    row["rtt_mean_us"] = _mean_rtt(end.get("streams") or [])
    rates = [
        each["sum"]["bits_per_second"] / 1e6
        for each in document.get("intervals") or []
        if not each["sum"].get("omitted")
    ]
    row["throughput_std_mbps"] = _deviation(rates)
    return row


def _real(value: float | None) -> float | None:
    """Make a real of a number: iperf3 writes 0 without decimals, and a column has one type."""
    return None if value is None else float(value)


def _megabits(part: Mapping[str, Any]) -> float | None:
    bits = part.get("bits_per_second")
    return None if bits is None else bits / 1e6


def _mean_rtt(streams: list[Mapping[str, Any]]) -> float | None:
    """Give the mean of the streams' mean round trips, µs, which only the sender of TCP knows."""
    found = [each["sender"]["mean_rtt"] for each in streams if "mean_rtt" in each.get("sender", {})]
    return sum(found) / len(found) if found and any(found) else None


def _deviation(values: list[float]) -> float | None:
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return math.sqrt(sum((each - mean) ** 2 for each in values) / (len(values) - 1))
