"""Hosts that pass from attempt to attempt: seldom asked for, and never kept from others."""

from __future__ import annotations

import pytest

from fieldlab.domain.trials import CampaignState
from fieldlab.ports.ledger import Hold
from fieldlab.store.holding import SqlHostLedger
from tests.execution.remote.rehearsal import Rehearsal


def test_short_attempts_follow_each_other_without_asking_for_hosts(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Hold] = []
    hold = SqlHostLedger.hold

    def noted(ledger: SqlHostLedger, each: Hold) -> bool:
        asked.append(each)
        return hold(ledger, each)

    monkeypatch.setattr(SqlHostLedger, "hold", noted)
    space = {"matrix": {"x": {"range": [1, 90]}}}
    campaign = rehearsal.run(rehearsal.define(["true", "{x}"], space)).campaign
    assert campaign.succeeded == 90
    assert len(asked) < 45


def test_a_campaign_of_many_short_attempts_lets_another_one_in(rehearsal: Rehearsal) -> None:
    many = {"matrix": {"x": {"range": [1, 100_000]}}}
    long = rehearsal.begin(rehearsal.define(["true", "{x}"], many, name="long"))
    long.until(lambda campaign: campaign.succeeded, "it runs")
    one = {"matrix": {"x": [1]}}
    short = rehearsal.begin(rehearsal.define(["hostname"], one, name="short"))
    short.until(lambda campaign: campaign.state is CampaignState.FINISHED, "the short one is done")
    assert rehearsal.lab.store.campaign(long.campaign.id).state is CampaignState.RUNNING
    long.thread.interrupt()
    assert long.end().campaign.state is CampaignState.PAUSED
