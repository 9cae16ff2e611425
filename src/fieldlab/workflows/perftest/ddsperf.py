"""The tool ``ddsperf``: the benchmark of Eclipse Cyclone DDS, spread over machines."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from fieldlab.domain.commands import Command
from fieldlab.domain.errors import BadInput, BadResult
from fieldlab.domain.ids import Point, Value
from fieldlab.domain.sites import ALL
from fieldlab.domain.stating import StatedSpace
from fieldlab.domain.trials import FailureClass, Row
from fieldlab.ports.tool import STDERR, STDOUT, HostPlace, Judgement, Outcome, Place, Plan, Process
from fieldlab.workflows.options import Options
from fieldlab.workflows.perftest.ddsperf_output import Second, latencies, seconds, throughput
from fieldlab.workflows.perftest.fixing import check_parameters, check_space, fixed_parameters
from fieldlab.workflows.perftest.measures import loss_percent
from fieldlab.workflows.perftest.parameters import PARAMETERS, fault_of
from fieldlab.workflows.spreading import (
    ended_badly,
    findable,
    from_home,
    hosts_with,
    limit_s,
    shorter,
)

_KEYS = ("executable", "domain", "rate", "wait", "warmup", "discovery", "uri", "extra", "margin")
#: what a point may leave out
_DEFAULTS: Point = {
    "pub_count": 1,
    "sub_count": 1,
    "use_reliable": True,
    "durability_level": 0,
    "latency_count": 100,
}
_NEEDED = ("duration_secs", "datalen_bytes")
#: smallest size of a sample that can be asked for; 0 is the smallest that there is
_LEAST_SIZE = 12
#: the last domain of DDSI-RTPS whose ports are below 65536
_LAST_DOMAIN = 232


class DdsperfTool:
    """Runs a test of ddsperf; see :class:`fieldlab.ports.tool.Tool`.

    Its parameters are Perftest's, as far as ddsperf has them: ``duration_secs`` and
    ``datalen_bytes``; 1 publisher, 1 subscriber, reliable, a latency sample in 100 and ddsperf's
    own choice of multicast stand for others that are absent.

    Parameters
    ----------
    options
        ``executable``; ``domain``; ``rate``: samples/s of each publisher, as many as it can if
        absent; ``wait``: for all participants to be there; ``warmup``: seconds of throughput left
        out at the beginning; ``discovery``: "multicast" or "peers"; ``uri``: what CYCLONEDDS_URI
        says instead; ``extra``; ``margin``; fixed values of parameters.
    timeout_s
        A limit besides that of duration and margin; 0 has none.
    """

    def __init__(self, options: Mapping[str, Any], timeout_s: float = 0.0) -> None:
        read = Options(options, ("tool", "ddsperf"))
        read.only(*_KEYS, *PARAMETERS)
        self._executable = read.text("executable", "ddsperf")
        self._domain = read.whole("domain", 0)
        if self._domain > _LAST_DOMAIN:
            what = f"'domain' must be an integer from 0 to {_LAST_DOMAIN}, not {self._domain}"
            read.note(what, "A greater one has no ports", "domain")
        self._rate = read.whole("rate", 0)
        self._wait_s = read.seconds("wait", 10.0)
        self._warmup = read.whole("warmup", 0)
        self._peers = read.one_of("discovery", ("multicast", "peers")) == "peers"
        self._uri = read.text("uri")
        extra = read.part("extra")
        extra.only("pub", "sub")
        self._extra = {role: tuple(extra.words(role)) for role in ("pub", "sub")}
        self._margin_s = read.seconds("margin", 0.0) if "margin" in read else None
        self._fixed = fixed_parameters(read, _fault_of)
        self._timeout_s = timeout_s
        read.finish()

    def roles(self) -> Mapping[str, int]:
        return {"pub": ALL, "sub": ALL}

    def limit_s(self, point: Point) -> float:
        return limit_s(_whole(self._full(point), "duration_secs") + self._wait_s, self._margin_s)

    def check(self, space: StatedSpace) -> None:
        check_space(space, self._fixed, _NEEDED, "ddsperf", _fault_of)

    def reads(self) -> Collection[str]:
        return PARAMETERS

    def programs(self, host: HostPlace) -> Sequence[str]:
        return findable(self._executable) if {"pub", "sub"} & set(host.roles) else ()

    def plan(self, point: Point, place: Place) -> Plan:
        full = self._full(point)
        publishers = hosts_with(place, "pub", "ddsperf")
        subscribers = hosts_with(place, "sub", "ddsperf")[::-1]
        limit = shorter(self.limit_s(point), self._timeout_s)
        processes = []
        for role, hosts in (("pub", publishers), ("sub", subscribers)):
            for i in range(_whole(full, f"{role}_count")):
                host = hosts[i % len(hosts)]
                words = (*self._common(full), *self._mode(role, full))
                command = Command(
                    argv=(*from_home(self._executable), *words),
                    environment={"CYCLONEDDS_URI": self._uri or self._network(host, full, place)},
                    directory=host.out or ".",
                    timeout_s=limit,
                )
                reads = (STDOUT, STDERR)
                processes.append(
                    Process(name=f"{role}_{i}", host=host.name, command=command, reads=reads)
                )
        return Plan(processes=tuple(processes))

    def _full(self, point: Point) -> Point:
        """Give all parameters of a test.

        Raises
        ------
        BadInput
            It isn't one that ddsperf can run.
        """
        full = {**_DEFAULTS, **self._fixed, **point}
        check_parameters(full, {}, _NEEDED, "ddsperf")
        for name in PARAMETERS:
            if name in full and (fault := _fault_of(name, full[name])):
                raise BadInput(fault, remedy="Change it in the space")
        return full

    def _common(self, full: Point) -> list[str]:
        words = [] if full["use_reliable"] else ["-u"]
        words += ["-D", str(full["duration_secs"])]
        return [*words, "-i", str(self._domain)] if self._domain else words

    def _mode(self, role: str, full: Point) -> list[str]:
        if role == "sub":
            return [*self._extra["sub"], "sub"]
        # publishers are participants too, and match each other
        others = _whole(full, "pub_count") + _whole(full, "sub_count") - 1
        words = [f"-Qminmatch:{others}", f"-Qinitwait:{self._wait_s:g}", *self._extra["pub"], "pub"]
        if self._rate:
            words.append(f"{self._rate}Hz")
        words += ["size", str(full["datalen_bytes"])]
        # "ping X%", of its help, is refused by version 0.10
        return [*words, f"{100 / _whole(full, 'latency_count'):g}%"]

    def _network(self, host: HostPlace, full: Mapping[str, Value], place: Place) -> str:
        """Write Cyclone's configuration: the host's interface, multicast or not, who is there."""
        general = ""
        if host.interface:
            general += (
                f"<Interfaces><NetworkInterface name={quoteattr(host.interface)}/></Interfaces>"
            )
        elif _is_address(host.address):
            general += (
                f"<Interfaces><NetworkInterface address={quoteattr(host.address)}/></Interfaces>"
            )
        if "use_multicast" in full:
            data = "true" if full["use_multicast"] else "false" if self._peers else "spdp"
            general += f"<AllowMulticast>{data}</AllowMulticast>"
        discovery = ""
        if self._peers:
            addresses = sorted({each.address for each in place.hosts})
            peers = "".join(f"<Peer Address={quoteattr(each)}/>" for each in addresses)
            discovery = (
                "<Discovery><ParticipantIndex>auto</ParticipantIndex>"
                f"<MaxAutoParticipantIndex>200</MaxAutoParticipantIndex><Peers>{peers}</Peers></Discovery>"
            )
        inside = (f"<General>{general}</General>" if general else "") + discovery
        return f'<CycloneDDS><Domain Id="any">{inside}</Domain></CycloneDDS>'

    def judge(self, outcome: Outcome) -> Judgement:
        ended = ended_badly(outcome)
        if ended is not None:
            return ended
        silent = [
            name
            for name in outcome.exits
            if name.startswith("sub_") and not _received(_seconds(outcome, name))
        ]
        if silent:
            return Judgement(
                status="nothing received",
                failure=FailureClass.VERDICT,
                explanation=f"{', '.join(silent[:5])} got no sample, though all ended well. Do "
                "the machines reach each other by multicast? If not: `discovery: peers`. Is "
                "reliability the same on both sides?",
            )
        return Judgement(status="success")

    def parse(self, outcome: Outcome) -> list[Row]:
        row: Row = dict(
            latencies([_text(outcome, n) for n in outcome.exits if n.startswith("pub_")])
        )
        received = {n: _seconds(outcome, n) for n in outcome.exits if n.startswith("sub_")}
        rates = [throughput(each, self._warmup) for each in received.values()]
        if not all(rates):
            raise BadResult(
                "No whole second of throughput is left to read",
                remedy="Run longer: the last second and those of `warmup` don't count",
            )
        total = sum(each[-1].total for each in received.values())
        lost = sum(each[-1].lost for each in received.values())
        megabits = [each.mbps for each in rates if each]
        row["throughput_mbps"] = sum(megabits)
        row["throughput_mean_mbps"] = sum(megabits) / len(megabits)
        row["samples_per_s"] = sum(each.samples_per_s for each in rates if each)
        row["samples_total"] = total
        row["samples_lost"] = lost
        row["loss_percent"] = loss_percent(total, lost)
        return [row]


def _fault_of(name: str, value: Value) -> str:
    """Say what is wrong with a parameter's value; nothing if ddsperf can run it."""
    if fault := fault_of(name, value):
        return fault
    if name == "durability_level" and value:
        return (
            f"ddsperf has no durability, and durability_level is {value}: keep it at 0, or measure"
            " with perftest"
        )
    if name == "datalen_bytes" and isinstance(value, int) and 0 < value < _LEAST_SIZE:
        return (
            f"ddsperf's samples have at least {_LEAST_SIZE} bytes, not {value}: write 0 for the"
            " smallest"
        )
    return ""


def _text(outcome: Outcome, name: str) -> str:
    return outcome.files.get(f"{name}/{STDOUT}", b"").decode(errors="replace")


def _seconds(outcome: Outcome, name: str) -> list[Second]:
    return seconds(_text(outcome, name))


def _received(found: list[Second]) -> int:
    return found[-1].total if found else 0


def _whole(point: Mapping[str, Value], name: str) -> int:
    value = point[name]
    assert isinstance(value, int)
    return value


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
