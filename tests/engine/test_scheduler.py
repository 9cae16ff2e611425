"""What the engine does about failures, time limits, the guard, and people who interfere."""

from __future__ import annotations

import itertools
import re
import time
from dataclasses import replace

import pytest

from fieldlab.domain.definition import ToolSpec
from fieldlab.domain.errors import BadInput, IllegalTransition
from fieldlab.domain.ids import fingerprint
from fieldlab.domain.policies import FailureGuard, RetryPolicy
from fieldlab.domain.trials import CampaignState, TrialState
from fieldlab.ports.store import Campaign
from tests.engine.campaigning import BREAKABLE, DOUBLE, TEN, Bench
from tests.store.staging import topics


def test_the_guard_stops_a_campaign_in_which_nothing_works(bench: Bench) -> None:
    for x in range(5, 100):
        (bench.folder / f"break{x}").touch()
    space = {"matrix": {"x": {"range": [1, 100]}}}
    definition = bench.define(BREAKABLE, space, slots=1, guard=FailureGuard(consecutive_failures=3))
    campaign = bench.lab.run(bench.lab.start(definition)).campaign
    bench.check(campaign)
    assert campaign.state is CampaignState.TRIPPED
    assert campaign.succeeded == 4
    assert 3 <= campaign.failed <= 6, "one batch may be under way when the guard trips"
    assert re.search(r"[3-6] attempts failed in a row .*: ValueError: \d+ is broken", campaign.note)
    assert topics(bench.lab.store) == ["campaign.tripped"]
    for x in range(5, 100):
        (bench.folder / f"break{x}").unlink()
    finished = bench.finish(definition)
    assert (finished.succeeded, finished.failed) == (100 - campaign.failed, campaign.failed)


def test_the_guard_counts_failures_in_a_row_only(bench: Bench) -> None:
    for x in range(1, 10, 2):
        (bench.folder / f"break{x}").touch()
    guard = FailureGuard(consecutive_failures=2)
    campaign = bench.finish(bench.define(BREAKABLE, TEN, slots=1, guard=guard))
    assert (campaign.succeeded, campaign.failed) == (5, 5)


#: x: how many times it fails before it works
STUBBORN = """
import pathlib
def work(x):
    tries = pathlib.Path(f"tries{x}")
    count = len(tries.read_text()) if tries.exists() else 0
    tries.write_text("." * (count + 1))
    if count < x:
        raise ValueError("not yet")
    return {"y": count}
"""


def test_failed_trials_are_tried_again_as_often_as_allowed(bench: Bench) -> None:
    space = {"matrix": {"x": [0, 1, 2, 3, 4]}}
    retry = RetryPolicy(attempts=3, delay_s=0.2, backoff=2.0)
    campaign = bench.finish(bench.define(STUBBORN, space, retry=retry))
    assert (campaign.succeeded, campaign.failed, campaign.attempts) == (3, 2, 1 + 2 + 3 + 3 + 3)
    attempts = bench.attempts(campaign)
    for before, after in itertools.pairwise(attempts):
        if before["trial_id"] == after["trial_id"]:
            waited = (after["started_at"] - before["ended_at"]).total_seconds()
            assert waited >= 0.2 * 2 ** (before["number"] - 1)
    rows = {row["x"]: row for row in bench.results(campaign)}
    assert {x: row["attempt"] for x, row in rows.items()} == {0: 1, 1: 2, 2: 3}


def test_the_infrastructures_failures_do_not_use_up_the_tries(bench: Bench) -> None:
    space = {"matrix": {"x": [1, 2]}}
    tool = ToolSpec(kind="command", options={"argv": ["true"]})
    retry = RetryPolicy(attempts=1, infrastructure_attempts=2)
    definition = bench.define("", space, tool=tool, retry=retry)
    campaign = bench.lab.start(definition)
    blocked = bench.lab.settings.attempts / campaign.name / fingerprint({"x": 1}, 1)
    blocked.parent.mkdir(parents=True)
    blocked.touch()
    campaign = bench.finish(definition)
    assert (campaign.succeeded, campaign.failed, campaign.attempts) == (1, 1, 4)
    [failed] = [each for each in bench.trials(campaign).values() if each["state"] == "failed"]
    assert (failed["attempts"], failed["used"], failed["lost"]) == (3, 0, 3)


def test_trials_that_take_too_long_fail(bench: Bench) -> None:
    source = "import time\ndef work(x):\n    time.sleep(300 if x == 2 else 0)"
    space = {"matrix": {"x": [1, 2, 3]}}
    campaign = bench.finish(bench.define(source, space, timeout_s=0.4, slots=1))
    assert (campaign.succeeded, campaign.failed) == (2, 1)
    [late] = [row for row in bench.attempts(campaign) if row["state"] == "failed"]
    assert (late["status"], late["failure"]) == ("timeout", "experiment")


def test_an_exclusion_that_cannot_decide_ends_the_engine_with_its_reason(bench: Bench) -> None:
    grid = {"x": {"range": [0, 99_999]}, "y": {"range": [0, 99_999]}}
    space = {"matrix": grid, "exclude": ["1 / (y - 20 + x * y % 2) > 7"]}
    campaign = bench.lab.start(bench.define("def work(x, y): ...", space))
    with pytest.raises(BadInput, match="can't be decided for x=0, y=20"):
        bench.lab.run(campaign)
    bench.check(bench.lab.store.campaign(campaign.id))
    assert 20 not in bench.trials(campaign)


def test_failed_trials_can_be_tried_again_by_hand(bench: Bench) -> None:
    for x in (2, 5):
        (bench.folder / f"break{x}").touch()
    definition = bench.define(BREAKABLE, TEN)
    campaign = bench.finish(definition)
    assert campaign.failed == 2
    (bench.folder / "break2").unlink()
    assert bench.lab.retry("probe", {TrialState.FAILED}) == 2
    again = bench.finish(definition)
    assert (again.succeeded, again.failed, again.attempts) == (9, 1, 12)
    assert bench.lab.retry("probe.1", {TrialState.CANCELLED}) == 0


def test_cancelling_ends_what_runs_and_what_waits(bench: Bench) -> None:
    source = """
import pathlib, time
def work(x):
    if x == 3:
        raise ValueError("later, then")
    if x > 3:
        time.sleep(300)
"""
    retry = RetryPolicy(attempts=2, delay_s=300)
    definition = bench.define(source, TEN, retry=retry)

    def listen(campaign: Campaign) -> None:
        """Act as another process would: on what the database says."""
        running = [row for row in bench.attempts(campaign) if row["state"] == "running"]
        if len(running) == 2 and bench.lab.find("probe").state is CampaignState.RUNNING:
            bench.lab.cancel("probe")

    began = time.monotonic()
    ended = bench.lab.run(bench.lab.start(definition), listener=listen)
    assert time.monotonic() - began < 20
    assert not ended.interrupted
    campaign = ended.campaign
    assert campaign.state is CampaignState.CANCELLED
    bench.check(campaign)
    assert (campaign.succeeded, campaign.failed, campaign.cancelled) == (2, 0, 3)
    assert topics(bench.lab.store) == ["campaign.cancelled"]
    statuses = [row["status"] for row in bench.attempts(campaign)]
    assert sorted(statuses) == [
        "ValueError: later, then",
        "cancelled",
        "cancelled",
        *["success"] * 2,
    ]
    assert bench.lab.retry("probe", {TrialState.CANCELLED}) == 3
    quick = bench.finish(bench.define("def work(x): ...", TEN))
    assert (quick.id, quick.succeeded, quick.cancelled) == (campaign.id, 10, 0)


def test_a_campaign_runs_for_a_given_time_and_goes_on_later(bench: Bench) -> None:
    source = "import time\ndef work(x):\n    time.sleep(0.01)\n    return {'y': x}"
    space = {"matrix": {"x": {"range": [1, 200]}}}
    definition = bench.define(source, space)
    ended = bench.lab.run(bench.lab.start(definition), for_s=0.5)
    assert not ended.interrupted
    assert ended.campaign.state is CampaignState.PAUSED
    assert ended.campaign.note == "ran for 0.5 s"
    assert 0 < ended.campaign.succeeded < 200
    bench.check(ended.campaign)
    assert bench.finish(definition).succeeded == 200


def test_a_campaign_that_ran_for_no_time_is_paused(bench: Bench) -> None:
    ended = bench.lab.run(bench.lab.start(bench.define(DOUBLE, TEN)), for_s=0.0)
    assert (ended.campaign.state, ended.campaign.note) == (CampaignState.PAUSED, "ran for 0 s")


def test_a_bad_tool_is_refused_before_anything_is_recorded(bench: Bench) -> None:
    definition = bench.define("def wrok(x): ...", TEN)
    with pytest.raises(BadInput, match="Did you mean 'wrok'"):
        bench.lab.check(definition)
    campaign = bench.lab.start(definition)
    with pytest.raises(BadInput, match="Did you mean 'wrok'"):
        bench.lab.run(campaign)
    assert bench.lab.store.campaign(campaign.id).state is CampaignState.CREATED
    other = replace(definition, executor=replace(definition.executor, kind="locl"))
    with pytest.raises(BadInput, match="Did you mean 'local'"):
        bench.lab.check(other)


def test_a_campaign_can_be_paused_only_while_it_runs(bench: Bench) -> None:
    bench.finish(bench.define(DOUBLE, TEN))
    with pytest.raises(IllegalTransition, match="cannot go from 'finished' to 'paused'"):
        bench.lab.pause("probe")
    with pytest.raises(BadInput, match=r"no experiment or campaign 'prob'.*Did you mean 'probe'"):
        bench.lab.pause("prob")
