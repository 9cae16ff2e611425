"""Faults and sizes as people write them, and what becomes of them for the kernel's tools."""

from __future__ import annotations

import pytest

from fieldlab.domain.errors import BadInput
from fieldlab.sandbox.faults import FaultKind, parse_size, read_fault
from fieldlab.sandbox.shaping import Shape, filter_text, netem_words, tbf_words

HOSTS = ["h1", "h2"]


@pytest.mark.parametrize(
    ("kind", "value", "number", "shown"),
    [
        ("link", "", 0.0, "link"),
        ("loss", "20%", 20.0, "loss 20%"),
        ("loss", 0.5, 0.5, "loss 0.5%"),
        ("delay", "50ms", 0.05, "delay 50 ms"),
        ("jitter", "1.5 ms", 0.0015, "jitter 1.5 ms"),
        ("duplication", "100", 100.0, "duplication 100%"),
        ("rate", "5mbit", 5e6, "rate 5mbit"),
        ("rate", "1.5Gbit/s", 1.5e9, "rate 1500mbit"),
        ("reboot", "", 3.0, "reboot 3 s"),
        ("reboot", "1m", 60.0, "reboot 1 min"),
        ("dead", "", 0.0, "dead"),
    ],
)
def test_faults_are_read_and_shown(
    kind: str, value: str | float, number: float, shown: str
) -> None:
    fault = read_fault("h1", kind, value, HOSTS)
    assert fault.kind is FaultKind(kind)
    assert fault.value == pytest.approx(number)
    assert str(fault) == shown


def test_a_partition_names_the_other_host() -> None:
    assert str(read_fault("h1", "partition", "h2", HOSTS)) == "partition h2"


@pytest.mark.parametrize(
    ("host", "kind", "value", "message"),
    [
        ("h11", "link", "", "The sandbox has no host 'h11'. Did you mean 'h1'?"),
        ("gate", "link", "", "The sandbox has no host 'gate'. The hosts are h1, h2"),
        ("h1", "lose", "1%", "There is no fault 'lose'. Did you mean 'loss'?"),
        ("h1", "quake", "", "There is no fault 'quake'. The kinds are link, loss, "),
        ("h1", "loss", "", "The fault 'loss' needs a value. As in 20%"),
        ("h1", "loss", "101%", "'101%' is no share of packets"),
        ("h1", "loss", "0", "'0' is no share of packets"),
        ("h1", "loss", "much", "'much' is no share of packets"),
        ("h1", "loss", "nan", "'nan' is no share of packets"),
        ("h1", "delay", "2m", "'2m' is no delay of a packet"),
        ("h1", "delay", "0", "'0' is no delay of a packet"),
        ("h1", "delay", "soon", "'soon' is not a duration"),
        ("h1", "rate", "5", "'5' is no rate"),
        ("h1", "rate", "1kbit", "'1kbit' is no rate"),
        ("h1", "link", "5", "The fault 'link' takes no value, but has '5'"),
        ("h1", "partition", "h1", "h1 can't be parted from itself"),
        ("h1", "partition", "h9", "The sandbox has no host 'h9'"),
    ],
)
def test_what_is_no_fault_is_refused(host: str, kind: str, value: str, message: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_fault(host, kind, value, HOSTS)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "size"),
    [("8M", 8 << 20), ("1g", 1 << 30), ("1.5 GiB", 3 << 29), ("9000k", 9000 << 10)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "8", "8T", "1M", "-8M", "M"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="no size of a disk"):
        parse_size(text)


def test_netem_gets_the_whole_shape() -> None:
    shape = Shape(loss=20, delay=0.05, jitter=0.005, duplication=1, rate=5e6)
    assert " ".join(netem_words(shape)) == (
        "netem limit 20000 delay 50000us 5000us loss 20% duplicate 1% rate 5000000bit"
    )
    assert netem_words(Shape()) == []


def test_tbf_lets_a_burst_through_that_holds_a_packet() -> None:
    assert " ".join(tbf_words(1e6)) == "tbf rate 1000000bit burst 16384 latency 200ms"
    assert tbf_words(0) == []


def test_the_packet_filter_loses_both_ways_whatever_port_a_host_has() -> None:
    one, other = ("p0", "q0"), ("p1", "q1")
    text, count = filter_text({one: 25, other: 100}, [(one, other)])
    assert count == 6
    assert 'iifname { "p0", "q0" } numgen random mod 100000 < 25000 drop' in text
    assert 'oifname { "p1", "q1" } drop' in text
    assert 'iifname { "p1", "q1" } oifname { "p0", "q0" } drop' in text
