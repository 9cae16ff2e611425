"""Engines as processes: signalled, paused from outside, side by side, taken for dead."""

from __future__ import annotations

import signal
import time
from collections import Counter
from pathlib import Path

from fieldlab.domain.errors import Conflict
from fieldlab.domain.policies import FailureGuard
from fieldlab.domain.trials import CampaignState
from fieldlab.ports.store import Campaign
from tests.engine.campaigning import Bench
from tests.engine.processes import MarkedProcesses
from tests.store.staging import topics
from tests.waiting import wait_until

#: waits for a file `go`, so that a test says when a trial ends
PATIENT = """
import pathlib, time
def work(x):
    pathlib.Path(f"began{x}").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    return {"y": x}
"""
QUICK = "import time\ndef work(x):\n    time.sleep(0.01)\n    return {'y': x}\n"


def space(trials: int) -> dict[str, object]:
    return {"matrix": {"x": {"range": [1, trials]}}}


def began(folder: Path) -> int:
    return len(list(folder.glob("began*")))


def campaign_of(bench: Bench) -> Campaign:
    """Read the campaign that another process has made."""
    return bench.lab.find("probe")


def running(bench: Bench, campaign: Campaign) -> list[dict[str, object]]:
    return [row for row in bench.attempts(campaign) if row["state"] == "running"]


def test_one_signal_lets_the_running_trials_end(bench: Bench, marked: MarkedProcesses) -> None:
    definition = bench.define(PATIENT, space(10))
    campaign = bench.lab.start(definition)
    engine = marked.start(definition)
    wait_until(lambda: began(bench.folder) == 2, "two trials run")
    engine.send_signal(signal.SIGINT)
    wait_until(lambda: "once more stops them" in marked.told(), "it says what it does")
    assert engine.poll() is None
    (bench.folder / "go").touch()
    assert engine.wait(30) == 1
    assert began(bench.folder) == 2, "a further trial was begun"
    paused = bench.lab.store.campaign(campaign.id)
    assert (paused.state, paused.note, paused.succeeded) == (CampaignState.PAUSED, "interrupted", 2)
    bench.check(paused)
    assert marked.gone()
    assert bench.finish(definition).succeeded == 10


def test_long_trials_are_seen_running_and_two_signals_end_them(
    bench: Bench, marked: MarkedProcesses
) -> None:
    definition = bench.define(PATIENT, space(5), guard=FailureGuard(consecutive_failures=1))
    campaign = bench.lab.start(definition)
    engine = marked.start(definition)
    wait_until(lambda: began(bench.folder) == 2, "two trials run")
    seen = time.time()
    wait_until(lambda: len(running(bench, campaign)) == 2, "they are recorded as running")
    assert time.time() - seen < 4
    states = Counter(trial["state"] for trial in bench.trials(campaign).values())
    assert states == {"running": 2}
    engine.send_signal(signal.SIGTERM)
    wait_until(lambda: "once more stops them" in marked.told(), "the first signal is noticed")
    engine.send_signal(signal.SIGINT)
    assert engine.wait(20) == 1
    assert marked.gone()
    paused = bench.lab.store.campaign(campaign.id)
    assert (paused.state, paused.succeeded, paused.failed) == (CampaignState.PAUSED, 0, 0)
    assert [row["state"] for row in bench.attempts(paused)] == ["lost", "lost"]
    assert [row["status"] for row in bench.attempts(paused)] == ["stopped", "stopped"]
    assert {trial["state"] for trial in bench.trials(paused).values()} == {"queued"}
    bench.check(paused)
    (bench.folder / "go").touch()
    finished = bench.finish(definition)
    assert (finished.succeeded, finished.attempts) == (5, 7)


def test_a_campaign_is_paused_from_another_process_and_goes_on(
    bench: Bench, marked: MarkedProcesses
) -> None:
    definition = bench.define(QUICK, space(250))
    campaign = bench.lab.start(definition)
    engine = marked.start(definition)
    wait_until(lambda: campaign_of(bench).succeeded > 20, "some trials are recorded")
    bench.lab.pause("probe")
    assert engine.wait(20) == 1
    paused = bench.lab.store.campaign(campaign.id)
    assert paused.state is CampaignState.PAUSED
    assert 20 < paused.succeeded < 250
    assert {row["state"] for row in bench.attempts(paused)} == {"succeeded"}, "a trial was cut off"
    bench.check(paused)
    finished = bench.finish(definition)
    assert (finished.succeeded, finished.attempts) == (250, 250)
    assert topics(bench.lab.store) == ["campaign.paused", "campaign.finished"]


def test_two_engines_share_a_campaign(bench: Bench, marked: MarkedProcesses) -> None:
    definition = bench.define(QUICK, space(400), slots=1)
    campaign = bench.lab.start(definition)
    engines = [marked.start(definition), marked.start(definition)]
    assert [engine.wait(60) for engine in engines] == [0, 0], marked.told()
    finished = bench.lab.store.campaign(campaign.id)
    assert (finished.state, finished.succeeded) == (CampaignState.FINISHED, 400)
    assert finished.attempts == 400, "a trial was run twice"
    bench.check(finished)
    shares = Counter(row["engine_id"] for row in bench.attempts(finished))
    assert len(shares) == 2
    assert min(shares.values()) > 50, "one engine did nearly all"
    assert topics(bench.lab.store) == ["campaign.finished"]


def test_an_engine_that_was_taken_for_dead_keeps_nothing_twice(
    bench: Bench, marked: MarkedProcesses
) -> None:
    definition = bench.define(PATIENT, space(6))
    campaign = bench.lab.start(definition)
    engine = marked.start(definition)
    wait_until(lambda: len(running(bench, campaign)) == 2, "two trials run")
    [sign] = bench.lab.store.live_engines(campaign.id)
    assert bench.lab.store.recover(campaign.id, [sign.engine.id]) == 2
    (bench.folder / "go").touch()
    bench.lab.run(campaign)
    assert engine.wait(30) != 0
    assert Conflict.__name__ in marked.told()
    assert "took this one for dead" in marked.told()
    wait_until(marked.gone, "its processes end")
    finished = bench.lab.store.campaign(campaign.id)
    assert finished.state is CampaignState.FINISHED
    assert (finished.succeeded, finished.attempts) == (6, 8)
    bench.check(finished)


def test_an_engine_is_not_taken_for_dead_while_its_process_lives(
    bench: Bench, marked: MarkedProcesses
) -> None:
    definition = bench.define(PATIENT, space(2))
    campaign = bench.lab.start(definition)
    engine = marked.start(definition)
    wait_until(lambda: len(running(bench, campaign)) == 2, "two trials run")
    assert bench.lab.engines_alive(campaign) == 1
    bench.lab.pause("probe")
    assert len(running(bench, campaign)) == 2, "what runs may end"
    engine.kill()
    engine.wait()
    assert bench.lab.engines_alive(campaign) == 0
    wait_until(marked.gone, "its processes end")
    (bench.folder / "go").touch()
    assert bench.finish(definition).attempts == 4


def test_a_dead_engines_work_is_taken_over_by_a_living_one(
    bench: Bench, marked: MarkedProcesses
) -> None:
    definition = bench.define(PATIENT, space(12))
    campaign = bench.lab.start(definition)
    engines = [marked.start(definition)]
    wait_until(lambda: len(running(bench, campaign)) == 2, "its trials are recorded as running")
    engines.append(marked.start(definition))
    wait_until(lambda: len(bench.lab.store.live_engines(campaign.id)) == 2, "the second is there")
    engines[0].kill()
    engines[0].wait()
    (bench.folder / "go").touch()
    assert engines[1].wait(30) == 0, marked.told()
    finished = bench.lab.store.campaign(campaign.id)
    assert (finished.state, finished.succeeded) == (CampaignState.FINISHED, 12)
    bench.check(finished)
    assert "lost" in {row["state"] for row in bench.attempts(finished)}
