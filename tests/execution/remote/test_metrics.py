"""What a host's /proc says, second by second."""

from __future__ import annotations

import pytest

from fieldlab.execution.remote.metrics import as_csv, columns_of, samples_of

_NET = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo
    lo: 9000000     100    0    0    0     0          0         0  9000000     100    0    0    0     0       0          0
  eth0: {received}       10    0    0    0     0          0         0 {sent}      10    0    0    0     0       0          0
"""  # noqa: E501 - as proc_net_dev(5) writes it


def reading(time_s: float, busy: int, idle: int, received: int, sent: int) -> str:
    return (
        f"@{time_s}\ncpu  {busy} 0 0 {idle} 0 0 0 0 0 0\n"
        "MemTotal:        1000 kB\nMemAvailable:     400 kB\n"
        + _NET.format(received=received, sent=sent)
    )


OUTPUT = (
    reading(100.0, 0, 0 + 1, 0, 0)
    + reading(101.0, 50, 51, 1000, 500)
    + reading(103.0, 250, 51, 5000, 500)
).encode()


def test_seconds_become_samples() -> None:
    first, second = samples_of(OUTPUT, "eth0")
    assert (first.cpu_percent, first.memory_bytes) == (50.0, 600 * 1024)
    assert (first.received_bytes_per_s, first.sent_bytes_per_s) == (1000.0, 500.0)
    assert (second.cpu_percent, second.received_bytes_per_s) == (100.0, 2000.0)
    assert samples_of(OUTPUT, "") == samples_of(OUTPUT, "eth0"), "the loopback doesn't count"
    lines = as_csv([first, second]).split()
    assert lines[1] == "101.0,50.0,614400,1000.0,500.0"
    assert columns_of("h-1", [first, second]) == {
        "h_1_cpu_percent": 75.0,
        "h_1_cpu_percent_max": 100.0,
        "h_1_memory_bytes_max": 614400,
        "h_1_received_bytes_per_s": 1500.0,
        "h_1_sent_bytes_per_s": 250.0,
    }


@pytest.mark.parametrize("cut", range(0, len(OUTPUT), 37))
def test_an_output_may_break_off_anywhere(cut: int) -> None:
    assert len(samples_of(OUTPUT[:cut], "eth0")) <= 2


@pytest.mark.parametrize("garbage", [b"", b"@x\ncpu a b c\n", b"\xff\xfe", b"@1\n@2\n@3\n"])
def test_what_is_no_reading_gives_no_sample(garbage: bytes) -> None:
    assert samples_of(garbage, "eth0") == []
    assert columns_of("h1", []) == {}
