"""What one message says of many things; what is noticed of progress and disks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from fieldlab.domain.definition import Definition, ToolSpec
from fieldlab.domain.messages import Envelope
from fieldlab.domain.notifying import disk_low
from fieldlab.domain.trials import CampaignState
from fieldlab.engine.digest import (
    MOST_LINES,
    Report,
    campaign_report,
    digest,
    disk_report,
    host_report,
)
from fieldlab.engine.milestones import DiskGauge, Milestones
from fieldlab.ports.notifier import Urgency
from fieldlab.ports.store import Campaign

GB = 10**9


def campaign(number: int = 1, **given: Any) -> Campaign:
    blank = dict.fromkeys(
        ("succeeded", "failed", "cancelled", "skipped", "excluded", "attempts", "cursor"), 0
    )
    made = Campaign(
        id=number, experiment_id=1, experiment="waves", version=1, number=number,
        state=CampaignState.RUNNING,
        definition=Definition(name="waves", tool=ToolSpec(kind="function", options={}), space={}),
        positions=200, wanted=None, consecutive_failures=0,
        created_at=datetime(2026, 1, 1, tzinfo=UTC), started_at=None, ended_at=None, note="",
        shares_trials=False, **blank,
    )  # fmt: skip
    return replace(made, **given)


def step(state: str, number: int = 1, at: float = 1.0, **given: Any) -> Report:
    body = {"entity": "campaign", "id": number, "state": state, "reason": ""}
    envelope = Envelope(topic=f"campaign.{state}", body=body, sent_at=at)
    return campaign_report(envelope, campaign(number, **given))


def host(state: str, name: str = "h2", at: float = 1.0, was: str = "quarantined") -> Report:
    body = {"entity": "host", "id": name, "from": was, "state": state, "reason": "no route"}
    found = host_report(Envelope(topic=f"host.{state}", body=body, sent_at=at), name)
    assert found is not None
    return found


def progress(percent: int, at: float = 1.0) -> Report:
    body = {"entity": "campaign", "id": 1, "percent": percent}
    envelope = Envelope(topic="campaign.progress", body=body, sent_at=at)
    return campaign_report(envelope, campaign(succeeded=2 * percent))


def title(*reports: Report) -> str:
    return digest(reports, "").title.removeprefix("fieldlab: ")


def test_many_things_are_one_message() -> None:
    told = digest([step("finished"), step("finished", 2, failed=3), host("lost")], "lab.db on box")
    assert told.title == "fieldlab: 2 campaigns finished, host h2 lost"
    assert told.urgency is Urgency.FAILURE
    lines = told.body.splitlines()
    assert [line[7:].split(":")[0] for line in lines[:3]] == [
        "waves.1 finished",
        "waves.2 finished",
        "host h2 is lost",
    ]
    assert lines[-1] == "lab.db on box"


def test_of_one_campaign_the_latest_is_told() -> None:
    assert title(step("paused", at=1), step("finished", at=2)) == "waves.1 finished"
    assert title(step("finished", at=1), progress(90, at=2)) == "waves.1 finished"
    assert title(progress(50, at=2), progress(90, at=3)) == "waves.1 90 % done"


def test_a_host_that_was_lost_and_is_back_is_one_line() -> None:
    told = digest([host("ready", at=2, was="lost"), host("lost", at=1)], "")
    assert told.title == "fieldlab: host h2 lost and back"
    assert told.body.count("\n") == 0
    assert told.urgency is Urgency.WARNING


def test_a_host_that_was_only_put_aside_is_no_news() -> None:
    body = {"entity": "host", "id": 1, "from": "quarantined", "state": "ready", "reason": ""}
    assert host_report(Envelope(topic="host.ready", body=body), "h2") is None
    assert host("ready", was="restarting").headline == "host h2 back"


def test_how_bad_it_is_shows() -> None:
    assert digest([step("finished", failed=1)], "").urgency is Urgency.WARNING
    assert digest([step("tripped")], "").urgency is Urgency.FAILURE
    assert digest([step("cancelled")], "").urgency is Urgency.INFO


def test_a_campaign_that_waits_for_hosts_needs_nobody_to_resume_it() -> None:
    body = {"entity": "campaign", "id": 1, "state": "paused"}
    for reason, urgency in (
        ("Too few hosts of 'lab' have been there for 5 min; away: h2 (lost)", Urgency.WARNING),
        ("paused by ada", Urgency.INFO),
    ):
        envelope = Envelope(topic="campaign.paused", body={**body, "reason": reason})
        told = campaign_report(envelope, campaign())
        waits = urgency is Urgency.WARNING
        assert told.urgency is urgency
        assert reason in told.text
        assert ("It goes on by itself when they are back" in told.text) == waits
        assert ("fieldlab resume" in told.text) != waits


def test_a_flood_is_still_one_readable_message() -> None:
    told = digest([step("finished", number) for number in range(1, 500)], "")
    assert told.title == "fieldlab: 499 campaigns finished"
    assert f"and {499 - MOST_LINES} more" in told.body
    assert len(told.body.splitlines()) == MOST_LINES + 1
    kinds = [step("finished", 1), step("paused", 2), step("tripped", 3), host("lost")]
    assert title(*kinds) == (
        "waves.1 finished, waves.2 paused, waves.3 stopped by its guard and 1 more"
    )


def test_a_disk_is_named_with_what_is_left() -> None:
    body = disk_low("host h2:/experiments", 3 * GB)
    found = disk_report(Envelope(topic="disk.low", body=body))
    assert found.text == "disk nearly full: host h2:/experiments has 3.0 GB free"


@pytest.mark.parametrize("start", [0, 100])
def test_each_share_is_one_message_whoever_sees_it(start: int) -> None:
    ids = set()
    for _ in range(2):  # two engines, or one and its successor
        milestones = Milestones((50, 90))
        found = [milestones.passed(campaign(succeeded=done)) for done in range(start, 201, 10)]
        sent = [each for each in found if each is not None]
        assert [each.body["percent"] for each in sent] == [50, 90]
        ids |= {each.id for each in sent}
    assert len(ids) == 2


def test_without_a_known_end_or_when_it_stands_there_is_no_progress() -> None:
    assert Milestones((50,)).passed(campaign(positions=None, succeeded=99)) is None
    assert Milestones((50,)).passed(campaign(positions=0)) is None
    stopped = campaign(state=CampaignState.PAUSED, succeeded=150)
    assert Milestones((50,)).passed(stopped) is None
    assert Milestones((50,)).passed(campaign(succeeded=200)) is None, "that it is over is enough"


def test_a_disk_is_told_of_again_only_after_it_had_room() -> None:
    gauge = DiskGauge("lab", 5.0, GB)
    assert gauge.read(10 * GB, 100 * GB) is None
    first = gauge.read(4 * GB, 100 * GB)
    assert first is not None
    assert first.body == disk_low("lab", 4 * GB)
    assert gauge.read(5 * GB + 1, 100 * GB) is None, "it wavers"
    assert gauge.read(4 * GB, 100 * GB) is None
    assert gauge.read(7 * GB, 100 * GB) is None
    again = gauge.read(4 * GB, 100 * GB)
    assert again is not None
    assert again.id != first.id
    other_process = DiskGauge("lab", 5.0, GB).read(4 * GB, 100 * GB)
    assert other_process is not None
    assert other_process.id == first.id, "the bus keeps it once"
