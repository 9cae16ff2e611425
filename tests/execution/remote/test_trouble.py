"""Whatever happens to the hosts, the campaign ends right, and nothing is left on any of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fieldlab.app import Ended, Lab
from fieldlab.domain.errors import HostLoginRefused
from fieldlab.domain.policies import RetryPolicy
from fieldlab.domain.sites import HostState
from fieldlab.domain.trials import CampaignState
from fieldlab.ports.store import Campaign
from tests.execution.remote.rehearsal import READ, WRITES, Rehearsal
from tests.store.staging import trials_of
from tests.waiting import wait_until

#: trials that take a while, so that something can happen in the middle
SLOW = {"matrix": {"x": {"range": [1, 6]}, "s": [0.6]}}
#: hosts are given up on and restarted soon
SOON: dict[str, Any] = {"lost_after": 1.0, "wait": 60.0, "power_cycle_after": 60.0}


def on(database: str) -> pytest.MarkDecorator:
    """Run a test that waits for hosts, and is long, on one of the databases."""
    return pytest.mark.parametrize("databases", [database], indirect=True)


def finished(rehearsal: Rehearsal, ended: Ended) -> None:
    campaign = ended.campaign
    assert (campaign.state, campaign.succeeded) == (CampaignState.FINISHED, 6), rehearsal.told
    assert sorted(row["y"] for row in rehearsal.results(campaign)) == [1, 2, 3, 4, 5, 6]


def lost(rehearsal: Rehearsal, campaign: Campaign) -> list[str]:
    """List the end statuses that weren't a trial's fault."""
    attempts = rehearsal.attempts(campaign)
    return [each["status"] for each in attempts if each["failure"] == "infrastructure"]


@on("sqlite")
@pytest.mark.parametrize(("kind", "value"), [("link", ""), ("sshd", ""), ("reboot", "1s")])
def test_a_host_that_goes_away_in_the_middle_and_comes_back(
    rehearsal: Rehearsal, kind: str, value: str
) -> None:
    begun = rehearsal.begin(rehearsal.define(WRITES, SLOW, read=READ, **SOON))
    begun.until_on("h1")
    rehearsal.sandbox.fault("h1", kind, value)
    if kind != "reboot":
        if kind == "link":
            begun.until_told("h1 is out of use")
        rehearsal.sandbox.clear("h1")
    ended = begun.end()
    finished(rehearsal, ended)
    if kind in ("link", "reboot"):
        assert lost(rehearsal, ended.campaign)
        rows = trials_of(rehearsal.lab.store, ended.campaign).values()
        assert {each["used"] for each in rows} == {0}, "it doesn't count as a try"


@on("postgresql")
def test_a_host_that_never_returns_is_lost_and_the_others_do_the_work(
    rehearsal: Rehearsal,
) -> None:
    begun = rehearsal.begin(rehearsal.define(WRITES, SLOW, read=READ, **SOON))
    begun.until_on("h2")
    rehearsal.sandbox.fault("h2", "dead")
    ended = begun.end()
    finished(rehearsal, ended)
    (standing,) = [each for each in rehearsal.standing() if each.name == "h2"]
    assert standing.state in (HostState.LOST, HostState.QUARANTINED)
    rehearsal.sandbox.clear("h2")


@on("sqlite")
def test_a_full_disk_is_not_the_trials_fault(rehearsal: Rehearsal) -> None:
    rehearsal.sandbox.fault("h1", "full-disk")
    argv = ["sh", "-c", "echo {x} > {out}/file && sleep {s} && cat {out}/file"]
    read = {"format": "regex", "values": {"y": "^(.+)"}, "file": ""}
    begun = rehearsal.begin(rehearsal.define(argv, SLOW, read=read, **SOON))
    begun.until_told("h1 is out of use")
    rehearsal.sandbox.clear("h1")
    finished(rehearsal, begun.end())


@on("postgresql")
def test_too_few_hosts_pause_the_campaign_which_goes_on_by_itself(rehearsal: Rehearsal) -> None:
    definition = rehearsal.define(WRITES, SLOW, read=READ, **{**SOON, "wait": 1.0})
    begun = rehearsal.begin(definition)
    begun.until_on("h1")
    for name in ("h1", "h2", "h3"):
        rehearsal.sandbox.fault(name, "dead")
    begun.until(lambda campaign: campaign.state is CampaignState.PAUSED, "it is paused")
    assert "Too few hosts" in rehearsal.lab.store.campaign(begun.campaign.id).note
    rehearsal.sandbox.clear()
    finished(rehearsal, begun.end())


@on("sqlite")
def test_a_campaign_that_waits_for_hosts_can_be_interrupted(rehearsal: Rehearsal) -> None:
    for name in ("h1", "h2", "h3"):
        rehearsal.sandbox.fault(name, "link")
    begun = rehearsal.begin(rehearsal.define(WRITES, SLOW, read=READ, **SOON))
    begun.until(lambda campaign: campaign.state is CampaignState.RUNNING, "it runs")
    begun.thread.interrupt()
    assert begun.end().campaign.state is CampaignState.PAUSED
    rehearsal.sandbox.clear()
    finished(rehearsal, rehearsal.run(rehearsal.define(WRITES, SLOW, read=READ, **SOON)))


def test_stopping_ends_what_runs_on_the_hosts(rehearsal: Rehearsal) -> None:
    argv = ["sh", "-c", "sleep 500 & sleep 501"]
    begun = rehearsal.begin(rehearsal.define(argv, {"matrix": {"x": [1]}}))
    begun.until_on("h1")
    begun.thread.interrupt()
    begun.thread.interrupt()
    campaign = begun.end().campaign
    assert (campaign.state, campaign.succeeded) == (CampaignState.PAUSED, 0)


@on("sqlite")
@pytest.mark.parametrize("restart", ["campaign", "test"])
def test_hosts_are_restarted_when_the_policy_says(rehearsal: Rehearsal, restart: str) -> None:
    space = {"matrix": {"x": [1, 2], "s": [0]}}
    argv = ["cat", "/proc/sys/kernel/random/boot_id"]
    read = {"format": "regex", "values": {"boot": "(.+)"}, "file": ""}
    before = {each: str(rehearsal.sandbox.run(each, argv).stdout) for each in ("h1", "h2", "h3")}
    definition = rehearsal.define(argv, space, read=read, slots=1, restart=restart)
    campaign = rehearsal.run(definition).campaign
    boots = [row["boot"] for row in rehearsal.results(campaign)]
    assert not any(boot in text for boot in boots for text in before.values())
    assert len(set(boots)) == (1 if restart == "campaign" else 2), "the same host, tried in turn"


#: a controller in a process of its own
CONTROLLER = """\
    import json, sys
    from pathlib import Path
    from fieldlab.app import Lab
    from fieldlab.sandbox import Sandbox
    from fieldlab.settings import Settings
    from tests.execution.remote.rehearsal import READ, WRITES, Rehearsal
    from tests.execution.remote.test_trouble import SLOW, SOON
    folder, database, where, name, more = Path(sys.argv[1]), *sys.argv[2:6]
    sandbox = Sandbox.at(Path(where))
    settings = Settings(home=folder / "lab", database=database, sites={"sandbox": sandbox.site()})
    lab = Lab(settings)
    rehearsal = Rehearsal(lab, folder, sandbox)
    more = json.loads(more)
    definition = rehearsal.define(WRITES, SLOW, read=READ, name=name, **more, **SOON)
    ended = lab.run(lab.start(definition), on_trouble=print)
    sys.exit(0 if ended.campaign.succeeded == 6 else 1)
"""


def controller(rehearsal: Rehearsal, name: str = "probe", **more: Any) -> subprocess.Popen[bytes]:
    """Run the slow campaign in another process."""
    words = [str(rehearsal.folder), rehearsal.lab.settings.database]
    root = str(Path(__file__).parents[3])
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CONTROLLER), *words,
         str(rehearsal.sandbox.folder), name, json.dumps(more)],
        env={**os.environ, "PYTHONPATH": root},
        start_new_session=True,
    )  # fmt: skip


def _is_idle(rehearsal: Rehearsal, host: str) -> bool:
    return not rehearsal.runs_on(host)


def test_a_killed_controller_leaves_nothing_on_the_hosts_and_is_resumed(
    rehearsal: Rehearsal,
) -> None:
    process = controller(rehearsal)
    wait_until(lambda: rehearsal.runs_on("h1"), "it runs on h1")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for name in ("h1", "h2", "h3"):
        wait_until(partial(_is_idle, rehearsal, name), f"nothing runs on {name}")
    finished(rehearsal, rehearsal.run(rehearsal.define(WRITES, SLOW, read=READ, **SOON)))


def test_two_controllers_share_the_hosts_without_getting_in_each_others_way(
    rehearsal: Rehearsal,
) -> None:
    """Each trial makes a folder of one name on its host: two at once would collide."""
    argv = ["sh", "-c", "mkdir /experiments/only && sleep 0.1 && rmdir /experiments/only"]
    space = {"matrix": {"x": {"range": [1, 12]}}}
    begun = [
        rehearsal.begin(rehearsal.define(argv, space, name=name)) for name in ("left", "right")
    ]
    for each in begun:
        done = each.thread.wait().campaign
        assert (done.succeeded, done.failed) == (12, 0), rehearsal.attempts(done)[-1]["error"]
    for each in begun:
        rehearsal.check(rehearsal.lab.store.campaign(each.campaign.id))


@on("postgresql")
def test_infrastructures_failures_do_not_use_up_the_tries(rehearsal: Rehearsal) -> None:
    retry = RetryPolicy(attempts=1)
    definition = rehearsal.define(WRITES, SLOW, read=READ, retry=retry, slots=1, **SOON)
    begun = rehearsal.begin(definition)
    begun.until_on("h1")
    rehearsal.sandbox.fault("h1", "reboot", "1s")
    finished(rehearsal, begun.end())


@on("postgresql")
def test_a_link_that_breaks_in_the_middle_of_a_fetch_loses_nothing(rehearsal: Rehearsal) -> None:
    rehearsal.sandbox.fault("h1", "rate", "20mbit")
    argv = ["sh", "-c", "head -c 15000000 /dev/zero > {out}/file; sleep {s}; printf 'y=%s' {x}"]
    definition = rehearsal.define(argv, SLOW, read=READ, compress=False, **SOON)
    begun = rehearsal.begin(definition)
    begun.until_on("h1")
    wait_until(partial(_is_idle, rehearsal, "h1"), "its file is on the way")
    rehearsal.sandbox.fault("h1", "link")
    begun.until_told("h1 is out of use")
    rehearsal.sandbox.clear("h1")
    ended = begun.end()
    finished(rehearsal, ended)
    assert "fetch_fail" in lost(rehearsal, ended.campaign)
    folder = rehearsal.lab.settings.attempts / ended.campaign.name
    whole = [each.stat().st_size for each in folder.glob("*/*/outputs/file")]
    assert whole.count(15_000_000) >= 6, "a part may be left of the attempt that failed"


def test_who_is_not_let_in_disturbs_nobody(rehearsal: Rehearsal) -> None:
    begun = rehearsal.begin(rehearsal.define(WRITES, SLOW, read=READ, **SOON))
    begun.until_on("h1")
    key = str(_another_key(rehearsal.folder))
    site = rehearsal.sandbox.site()
    refused = replace(site, hosts=tuple(replace(each, key=key) for each in site.hosts))
    settings = replace(rehearsal.lab.settings, sites={"sandbox": refused})
    stranger = Lab(settings)
    try:
        with pytest.raises(HostLoginRefused):
            stranger.run(stranger.start(rehearsal.define(WRITES, SLOW, name="stranger", **SOON)))
    finally:
        stranger.close()
    ended = begun.end()
    finished(rehearsal, ended)
    assert ended.campaign.attempts == 6, "none was tried again"


def _another_key(folder: Path) -> Path:
    path = folder / "another"
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return path


@on("sqlite")
def test_a_late_probe_leaves_alone_what_another_controller_runs(rehearsal: Rehearsal) -> None:
    """Both put the host aside; who finds it well first uses it, whatever the other does then."""
    space = {"matrix": {"x": {"range": [1, 3]}, "s": [1.0]}}
    definitions = [
        rehearsal.define(WRITES, space, read=READ, name=name, tags=["only"], **SOON)
        for name in ("left", "right")
    ]
    site = rehearsal.lab.settings.sites["sandbox"]
    tagged = tuple(
        replace(each, tags=("only",)) if each.name == "h1" else each for each in site.hosts
    )
    settings = replace(rehearsal.lab.settings, sites={"sandbox": replace(site, hosts=tagged)})
    rehearsal.lab.settings = settings
    begun = [rehearsal.begin(each) for each in definitions]
    begun[0].until_on("h1")
    rehearsal.sandbox.fault("h1", "link")
    begun[0].until_told("h1 is out of use")
    rehearsal.sandbox.clear("h1")
    for each in begun:
        campaign = each.thread.wait().campaign
        assert (campaign.succeeded, campaign.failed) == (3, 0)
