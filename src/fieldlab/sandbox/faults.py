"""What can go wrong with a virtual host: the kinds of faults, as people write them.

Faults of the network act on both directions: what the host sends, and what it is sent.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fieldlab.domain.durations import format_duration, parse_duration
from fieldlab.domain.errors import BadInput, nearest


class FaultKind(StrEnum):
    """What can be injected."""

    #: its cable is unplugged
    LINK = "link"
    #: this share of the packets is lost, %
    LOSS = "loss"
    #: packets take so much longer, each way
    DELAY = "delay"
    #: by so much a packet's delay differs, up and down
    JITTER = "jitter"
    #: this share of the packets comes twice, %
    DUPLICATION = "duplication"
    #: no more goes through, bit/s
    RATE = "rate"
    #: it and another host don't reach each other
    PARTITION = "partition"
    #: its ssh server doesn't run
    SSHD = "sshd"
    FULL_DISK = "full-disk"
    SLOW_DISK = "slow-disk"
    #: it goes down, and comes back after so long
    REBOOT = "reboot"
    #: its power is gone, and it doesn't come back by itself
    DEAD = "dead"


#: kinds that shape traffic
SHAPING = (
    FaultKind.LOSS,
    FaultKind.DELAY,
    FaultKind.JITTER,
    FaultKind.DUPLICATION,
    FaultKind.RATE,
)
#: kinds that stand alone, with no value
_BARE = (
    FaultKind.LINK,
    FaultKind.SSHD,
    FaultKind.FULL_DISK,
    FaultKind.SLOW_DISK,
    FaultKind.DEAD,
)
_EXAMPLES = {
    FaultKind.LOSS: "20%",
    FaultKind.DELAY: "50ms",
    FaultKind.JITTER: "5ms",
    FaultKind.DUPLICATION: "1%",
    FaultKind.RATE: "5mbit",
    FaultKind.PARTITION: "the name of another host",
    FaultKind.REBOOT: "3s",
}
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)bit(?:/s|ps)?", re.IGNORECASE)
_FACTORS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg])i?b?", re.IGNORECASE)
#: a link that is slower can't be told from one that is down, bit/s
_SLOWEST = 8_000
#: packets wait in memory: longer ones are slips of the pen, s
_LONGEST_DELAY_S = 60.0
#: the smallest disk on which a host starts, bytes
_SMALLEST_DISK = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of one host."""

    host: str
    kind: FaultKind
    #: a share in %, a time in s or a rate in bit/s, as the kind has it
    value: float = 0.0
    #: the other host of a partition
    peer: str = ""

    def __str__(self) -> str:
        match self.kind:
            case FaultKind.LOSS | FaultKind.DUPLICATION:
                return f"{self.kind} {self.value:g}%"
            case FaultKind.DELAY | FaultKind.JITTER | FaultKind.REBOOT:
                return f"{self.kind} {format_duration(self.value)}"
            case FaultKind.RATE:
                return f"{self.kind} {self.value / 1e6:g}mbit"
            case FaultKind.PARTITION:
                return f"{self.kind} {self.peer}"
            case _:
                return str(self.kind)

    def document(self) -> dict[str, Any]:
        """Write it for another process."""
        return {"host": self.host, "kind": self.kind, "value": self.value, "peer": self.peer}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Fault:
        """Read what :meth:`document` wrote."""
        return cls(
            host=document["host"],
            kind=FaultKind(document["kind"]),
            value=document["value"],
            peer=document["peer"],
        )


def read_kind(word: str) -> FaultKind:
    """Read the name of a kind.

    Raises
    ------
    BadInput
        There is no such kind; the message names the nearest.
    """
    try:
        return FaultKind(word)
    except ValueError:
        known = f"The kinds are {', '.join(FaultKind)}"
        remedy = nearest(word, list(FaultKind)) or known
        raise BadInput(f"There is no fault '{word}'", remedy=remedy) from None


def check_host(name: str, hosts: Collection[str]) -> str:
    """Give the name of a host back if there is such a host.

    Raises
    ------
    BadInput
        There is none; the message names the nearest.
    """
    if name not in hosts:
        remedy = nearest(name, hosts) or f"The hosts are {', '.join(hosts)}"
        raise BadInput(f"The sandbox has no host '{name}'", remedy=remedy)
    return name


def read_fault(host: str, kind: str, value: str | float, hosts: Collection[str]) -> Fault:
    """Read a fault as people write it.

    Parameters
    ----------
    value
        "20%", "50ms", "5mbit", another host's name; "" for kinds that need none.
    hosts
        Those that there are.

    Raises
    ------
    BadInput
        A host or kind isn't known, or the value doesn't fit the kind.
    """
    check_host(host, hosts)
    what = read_kind(kind)
    given = str(value).strip()
    if what in _BARE:
        if given:
            raise BadInput(f"The fault '{what}' takes no value, but has '{given}'")
        return Fault(host=host, kind=what)
    if not given and what is not FaultKind.REBOOT:
        raise BadInput(f"The fault '{what}' needs a value", remedy=f"As in {_EXAMPLES[what]}")
    match what:
        case FaultKind.PARTITION:
            if check_host(given, hosts) == host:
                raise BadInput(f"{host} can't be parted from itself", remedy="Name another host")
            return Fault(host=host, kind=what, peer=given)
        case FaultKind.LOSS | FaultKind.DUPLICATION:
            return Fault(host=host, kind=what, value=_percent(given, what))
        case FaultKind.RATE:
            return Fault(host=host, kind=what, value=_rate(given))
        case FaultKind.REBOOT:
            return Fault(host=host, kind=what, value=parse_duration(given or "3s"))
        case _:
            return Fault(host=host, kind=what, value=_delay(given))


def _percent(text: str, kind: FaultKind) -> float:
    try:
        share = float(text.removesuffix("%"))
    except ValueError:
        share = -1.0
    if not 0 < share <= 100:
        remedy = f"Write a share above 0% and up to 100%, as in {_EXAMPLES[kind]}"
        raise BadInput(f"'{text}' is no share of packets", remedy=remedy)
    return share


def _delay(text: str) -> float:
    delay = parse_duration(text)
    if not 0 < delay <= _LONGEST_DELAY_S:
        raise BadInput(f"'{text}' is no delay of a packet", remedy="Above 0 s, at most 60 s")
    return delay


def _rate(text: str) -> float:
    found = _RATE.fullmatch(text)
    rate = float(found[1]) * _FACTORS[found[2].lower()] if found else 0.0
    if not _SLOWEST <= rate <= 100e9:
        raise BadInput(
            f"'{text}' is no rate", remedy="Write it as in 500kbit, 5mbit or 1gbit; 8kbit or more"
        )
    return rate


def parse_size(text: str) -> int:
    """Read the size of a disk, such as "256M", in bytes.

    Raises
    ------
    BadInput
        It isn't one, or is too small for a host.
    """
    found = _SIZE.fullmatch(text.strip())
    factors = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
    size = int(float(found[1]) * factors[found[2].lower()]) if found else 0
    if size < _SMALLEST_DISK:
        raise BadInput(f"'{text}' is no size of a disk", remedy="As in 256M or 2G; at least 4M")
    return size
