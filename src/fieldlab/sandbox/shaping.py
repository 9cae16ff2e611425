"""Shaping the traffic of a host, by netem where the kernel has it, else by other means.

Without netem: the packet filter loses, tbf limits the rate, a relay delays and duplicates. Each way
is read back after it was set.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fieldlab.domain.errors import SandboxError
from fieldlab.sandbox import kernel, network, relay
from fieldlab.sandbox.children import Child

_TABLE = "fieldlab"
#: how finely a share of lost packets is told
_SHARES = 100_000
#: the longest that a packet waits for its turn, ms
_QUEUE_MS = 200
#: what a relay may take to obey, s
_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How a host's traffic is to be, each way."""

    #: %
    loss: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0
    #: %
    duplication: float = 0.0
    #: bit/s; 0: as fast as it goes
    rate: float = 0.0

    @property
    def treatment(self) -> relay.Treatment:
        """What of it a relay does."""
        return relay.Treatment(
            delay_s=self.delay, jitter_s=self.jitter, duplication=self.duplication / 100
        )


def has_netem() -> bool:
    """Whether the kernel has netem; tried on the loopback of this network namespace."""
    try:
        network.run(["tc", "qdisc", "replace", "dev", "lo", "root", "netem", "delay", "1ms"])
    except SandboxError:
        return False
    network.run(["tc", "qdisc", "del", "dev", "lo", "root"])
    return True


def netem_words(shape: Shape) -> list[str]:
    """Write a shape as netem's arguments; none for traffic that is left alone."""
    words: list[str] = []
    if shape.delay or shape.jitter:
        # netem takes jitter as a part of a delay
        words += ["delay", f"{shape.delay * 1e6:.0f}us", f"{shape.jitter * 1e6:.0f}us"]
    if shape.loss:
        words += ["loss", f"{shape.loss:g}%"]
    if shape.duplication:
        words += ["duplicate", f"{shape.duplication:g}%"]
    if shape.rate:
        words += ["rate", f"{shape.rate:.0f}bit"]
    return ["netem", "limit", "20000", *words] if words else []


def tbf_words(rate: float) -> list[str]:
    """Write a rate in bit/s as tbf's arguments; none if it isn't limited."""
    if not rate:
        return []
    burst = max(16_384, int(rate / 8 / 100))
    return ["tbf", "rate", f"{rate:.0f}bit", "burst", f"{burst}", "latency", f"{_QUEUE_MS}ms"]


class Shaper:
    """The traffic of one host."""

    def __init__(self, place: int, namespace: int, *, netem: bool) -> None:
        self._namespace = namespace
        self._netem = netem
        self._port = network.port(place)
        #: the relay's end, and its cable's end at the bridge
        self._inner, self._outer = f"r{place}", f"q{place}"
        self._relay: Child | None = None

    @property
    def ports(self) -> tuple[str, str]:
        """Name the interfaces that may stand at the bridge for this host."""
        return self._port, self._outer

    def apply(self, shape: Shape) -> None:
        """Shape the traffic so, but for losses if there is no netem.

        Raises
        ------
        SandboxError
            It didn't take hold.
        """
        if self._netem:
            self._queue(netem_words(shape))
            return
        self._queue(tbf_words(shape.rate))
        if shape.treatment == relay.Treatment():
            self.remove_relay()
        else:
            self._treat(shape.treatment)

    def _queue(self, words: list[str]) -> None:
        """Set the queues at both ends of the cable, and look whether they are there."""
        _set_queue(self._port, words)
        with kernel.network_of(self._namespace):
            _set_queue("eth0", words)

    def _treat(self, treatment: relay.Treatment) -> None:
        if self._relay is not None and not self._relay.is_alive():
            self.remove_relay()
        if self._relay is None:
            network.batch(
                [
                    f"link add {self._inner} type veth peer name {self._outer}",
                    f"link set {self._outer} master {network.BRIDGE} up",
                    f"link set {self._inner} up",
                    # first: else frames would take both ways
                    f"link set {self._port} nomaster",
                ]
            )
            what = f"The relay of {self._port}"
            self._relay = relay.start((self._port, self._inner), what)
        self._relay.order(relay.order_of(treatment), _PATIENCE_S)

    @property
    def descriptors(self) -> list[int]:
        """Descriptors that become readable when the relay has ended."""
        return [self._relay.descriptor] if self._relay else []

    def mend(self, shape: Shape) -> None:
        """Start the relay again if somebody has killed it: else the host is cut off."""
        if self._relay is not None and not self._relay.is_alive():
            self.apply(shape)

    def kill_relay(self) -> None:
        """Kill the relay, for good."""
        if self._relay is not None:
            self._relay.kill()

    def remove_relay(self) -> None:
        """Put the cable back to where it was."""
        if self._relay is None:
            return
        self._relay.kill()
        self._relay.wait(_PATIENCE_S)
        self._relay.close()
        self._relay = None
        lines = [f"link del {self._inner}", f"link set {self._port} master {network.BRIDGE}"]
        network.batch(lines)


def _set_queue(interface: str, words: list[str]) -> None:
    wanted = words[0] if words else ""
    if wanted:
        network.run(["tc", "qdisc", "replace", "dev", interface, "root", *words])
    else:
        with contextlib.suppress(SandboxError):  # there may be none
            network.run(["tc", "qdisc", "del", "dev", interface, "root"])
    shown = json.loads(network.run(["tc", "-json", "qdisc", "show", "dev", interface]) or "[]")
    found = {each["kind"] for each in shown if each.get("root")} & {"netem", "tbf"}
    if found != ({wanted} if wanted else set()):
        raise SandboxError(f"The queue of {interface} didn't change: it has {found or 'none'}")


def filter_text(
    losses: Mapping[tuple[str, str], float],
    partitions: Iterable[tuple[tuple[str, str], tuple[str, str]]],
) -> tuple[str, int]:
    """Write the rules of the packet filter; give them and how many there are.

    Parameters
    ----------
    losses
        Ports of a host → share that it loses each way, %.
    partitions
        Ports of two hosts that don't reach each other.
    """
    rules = []
    for ports, share in losses.items():
        chance = (
            f"numgen random mod {_SHARES} < {share / 100 * _SHARES:.0f} " if share < 100 else ""
        )
        rules += [f"{side} {_set(ports)} {chance}drop" for side in ("iifname", "oifname")]
    for one, other in partitions:
        for source, target in ((one, other), (other, one)):
            rules.append(f"iifname {_set(source)} oifname {_set(target)} drop")
    chain = "type filter hook forward priority 0; policy accept;"
    body = "\n".join([chain, *rules])
    # the first two lines make it one step, whether or not there was such a table
    text = f"table bridge {_TABLE}\ndelete table bridge {_TABLE}\n"
    return f"{text}table bridge {_TABLE} {{\nchain forward {{\n{body}\n}}\n}}\n", len(rules)


def _set(ports: tuple[str, str]) -> str:
    return "{ " + ", ".join(f'"{each}"' for each in ports) + " }"


def set_filter(
    losses: Mapping[tuple[str, str], float],
    partitions: Iterable[tuple[tuple[str, str], tuple[str, str]]],
) -> None:
    """Lose packets at the bridge; see :func:`filter_text`.

    Raises
    ------
    SandboxError
        It didn't take hold.
    """
    text, count = filter_text(losses, partitions)
    network.run(["nft", "-f", "-"], text)
    shown = json.loads(network.run(["nft", "-json", "list", "table", "bridge", _TABLE]))
    found = sum("rule" in each for each in shown["nftables"])
    if found != count:
        raise SandboxError(f"The packet filter has {found} rules instead of {count}")
