"""Noise is on the network of a host while a trial runs there, and never afterwards."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from tests.execution.remote.rehearsal import READ, WRITES, Rehearsal
from tests.execution.remote.test_trouble import SLOW, SOON, controller, finished
from tests.waiting import wait_until
from tests.workflows.staging import needs_program

#: says that it runs, and goes on until it is told to end
STAYS = ["sh", "-c", "touch /var/begun; until [ -e /var/enough ]; do sleep 0.05; done"]
ONE = {"matrix": {"x": [1]}}
HOSTS = ("h1", "h2", "h3")


def on(rehearsal: Rehearsal, host: str, script: str) -> str:
    """Run a script on a host, past its network: what it printed."""
    ran = rehearsal.sandbox.run(host, ["sh", "-c", script])
    return ran.stdout


def is_noisy(rehearsal: Rehearsal, host: str) -> bool:
    """Whether anything of the noise is left on a host."""
    script = "nft list ruleset; iptables -S OUTPUT; tc qdisc show dev eth0; ls /run"
    return re.search("fieldlab|1f1d:", on(rehearsal, host, f"({script}) 2>/dev/null")) is not None


def loss_percent(rehearsal: Rehearsal) -> float:
    """Measure from h2 how many answers of h1 are lost."""
    address = rehearsal.sandbox.host("h1").address
    said = on(rehearsal, "h2", f"ping -q -c 200 -i 0.01 -W 1 {address}")
    found = re.search(r"([0-9.]+)% packet loss", said)
    assert found, said
    return float(found[1])


def megabits_per_s(rehearsal: Rehearsal) -> float:
    """Measure how much h1 gets through to h2."""
    on(rehearsal, "h2", "iperf3 -s -1 -D")
    address = rehearsal.sandbox.host("h2").address
    said = on(rehearsal, "h1", f"iperf3 -J -t 2 -c {address}")
    received = json.loads(said)["end"]["sum_received"]["bits_per_second"]
    return float(received) / 1e6


@contextmanager
def a_trial_with(rehearsal: Rehearsal, noise: dict[str, Any], **more: Any) -> Iterator[None]:
    """Have a trial run on h1 with noise; nothing of that is left afterwards."""
    for host in HOSTS:
        on(rehearsal, host, "rm -f /var/begun /var/enough")
    begun = rehearsal.begin(rehearsal.define(STAYS, ONE, noise=noise, **more))
    try:
        wait_until(lambda: on(rehearsal, "h1", "ls /var/begun 2>/dev/null"), "it runs on h1")
        yield
    finally:
        for host in HOSTS:  # it may be tried again on another one
            on(rehearsal, host, "touch /var/enough")
    assert begun.end().campaign.succeeded == 1, rehearsal.told


@pytest.fixture(params=["nft", "iptables"])
def by(request: pytest.FixtureRequest, rehearsal: Rehearsal) -> Iterator[str]:
    """Let h1 have but one of the programs that lose packets."""
    if request.param == "iptables":
        needs_program("iptables", "iptables")
        if on(rehearsal, "h1", "mv /usr/sbin/nft /usr/sbin/away && echo moved") != "moved\n":
            pytest.skip("needs root: a host of a sandbox without it can't do without a program")
    yield request.param
    if request.param == "iptables":
        on(rehearsal, "h1", "mv /usr/sbin/away /usr/sbin/nft")


def test_packets_are_lost_while_a_trial_runs(rehearsal: Rehearsal, by: str) -> None:
    with a_trial_with(rehearsal, {"loss_percent": 40}):
        assert 20 < loss_percent(rehearsal) < 60
    assert not is_noisy(rehearsal, "h1")
    assert loss_percent(rehearsal) < 3


def test_fieldlabs_own_connection_loses_nothing(rehearsal: Rehearsal) -> None:
    """Else trials with much loss would take minutes, or look like trouble with the host."""
    with a_trial_with(rehearsal, {"loss_percent": 100}):
        assert loss_percent(rehearsal) == 100


def test_no_more_than_a_rate_gets_through(rehearsal: Rehearsal) -> None:
    needs_program("iperf3", "iperf3")
    with a_trial_with(rehearsal, {"rate": "20mbit"}):
        assert 5 < megabits_per_s(rehearsal) < 25
    assert not is_noisy(rehearsal, "h1")
    assert megabits_per_s(rehearsal) > 50


def test_it_goes_although_the_metrics_were_ended_before(rehearsal: Rehearsal) -> None:
    noise = {"loss_percent": "{x}", "rate": "20mbit"}
    with a_trial_with(rehearsal, noise, metrics=True):
        assert is_noisy(rehearsal, "h1")
    assert not is_noisy(rehearsal, "h1")


def _is_quiet(rehearsal: Rehearsal, host: str) -> bool:
    return not is_noisy(rehearsal, host)


def _all(rehearsal: Rehearsal, holds: Callable[[Rehearsal, str], bool], what: str) -> None:
    for host in HOSTS:
        wait_until(partial(holds, rehearsal, host), f"{host} {what}")


def test_it_goes_when_the_controller_is_killed(rehearsal: Rehearsal) -> None:
    noise = {"loss_percent": 40, "rate": "5mbit"}
    process = controller(rehearsal, noise=noise)
    _all(rehearsal, is_noisy, "has noise")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _all(rehearsal, _is_quiet, "has none any more")
    finished(
        rehearsal, rehearsal.run(rehearsal.define(WRITES, SLOW, read=READ, noise=noise, **SOON))
    )


@pytest.mark.parametrize("which", ["-o", "-n", ""])
def test_an_attempt_whose_noise_was_killed_does_not_count(rehearsal: Rehearsal, which: str) -> None:
    with a_trial_with(rehearsal, {"loss_percent": 40, "rate": "5mbit"}):
        theirs = "pgrep {} -f '^sh.*fieldlab-nois[e]'"  # and not this script
        on(rehearsal, "h1", f"kill -KILL $({theirs.format(which)})")
        wait_until(lambda: not on(rehearsal, "h1", f"{theirs.format('')}; true"), "all is gone")
    assert not is_noisy(rehearsal, "h1")
    (campaign,) = rehearsal.lab.store.campaigns()
    statuses = [each["status"] for each in rehearsal.attempts(campaign)]
    assert statuses == ["noise_fail", "success"]


def test_what_is_left_when_all_is_killed_is_taken_away(rehearsal: Rehearsal) -> None:
    with a_trial_with(rehearsal, {"rate": "5mbit"}, **SOON):
        on(rehearsal, "h1", "pkill -KILL -f fieldlab-nois[e]; pkill -KILL -f 'sshd: roo[t]'")
    assert not is_noisy(rehearsal, "h1")


def test_a_host_that_was_away_as_the_campaign_began_has_noise_too(rehearsal: Rehearsal) -> None:
    for host in HOSTS:
        rehearsal.sandbox.fault(host, "sshd")
    definition = rehearsal.define(["true"], noise={"rate": "20mbit"}, **SOON)
    begun = rehearsal.begin(definition)
    begun.until_told("h1 is out of use")
    rehearsal.sandbox.clear()
    campaign = begun.end().campaign
    assert campaign.succeeded == 10
    for attempt in rehearsal.attempts(campaign):
        assert "noise" in [step["name"] for step in attempt["steps"]]
