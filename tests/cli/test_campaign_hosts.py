"""What status and explain say of the hosts of a campaign over ssh."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fieldlab.domain.definition import Definition, ExecutorSpec
from fieldlab.domain.sites import HostSpec, HostState
from fieldlab.domain.trials import CampaignState
from fieldlab.ports.ledger import Hold
from fieldlab.ports.store import Campaign
from fieldlab.store.database import Database
from fieldlab.store.holding import SqlHostLedger
from fieldlab.store.sql_store import SqlStore
from tests.cli.program import document, invoke
from tests.store.staging import HandEngine, definition, running

SITES = """
[[sites.bench.hosts]]
name = "h1"
address = "10.0.0.1"
tags = ["fast"]

[[sites.bench.hosts]]
name = "h2"
address = "10.0.0.2"
tags = ["fast"]

[[sites.bench.hosts]]
name = "h3"
address = "10.0.0.3"
tags = ["fast"]

[[sites.bench.hosts]]
name = "slow"
address = "10.0.0.4"
"""
SPECS = [
    HostSpec(name=name, address=f"10.0.0.{n}")
    for n, name in enumerate(("h1", "h2", "h3", "slow", "gone"), 1)
]
QUARANTINED = "h2: it does not answer"
TOO_FEW = "Too few hosts of 'bench' have been there for 10 s; away: h2 (no answer)"


@pytest.fixture
def store(folder: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlStore]:
    """Stand in a lab on either database, with a site of four hosts."""
    (folder / "fieldlab.toml").write_text(SITES)
    monkeypatch.setenv("FIELDLAB_DATABASE", database_url)
    database = Database(database_url)
    yield SqlStore(database)
    database.close()


@pytest.fixture
def ledger(store: SqlStore) -> SqlHostLedger:
    made = SqlHostLedger(store.database)
    made.enroll("bench", SPECS)
    made.enroll("other", [HostSpec(name="far", address="10.1.0.1")])
    return made


def over_ssh(name: str, **options: object) -> Definition:
    return replace(definition(name), executor=ExecutorSpec(kind="ssh", options=options))


def begun(store: SqlStore, name: str, **options: object) -> tuple[Campaign, HandEngine]:
    campaign = running(store, over_ssh(name, **options))
    return campaign, HandEngine(store, campaign)


def take(ledger: SqlHostLedger, engine: HandEngine, place: int) -> None:
    purpose = f"{engine.campaign.name} 0f1e2d3c/1"
    identities = (SPECS[place].identity,)
    hold = Hold(token=f"{place}", engine_id=engine.id, identities=identities, purpose=purpose)
    assert ledger.hold(hold)


def lose(ledger: SqlHostLedger, place: int) -> None:
    identity = SPECS[place].identity
    ready, quarantined, lost = HostState.READY, HostState.QUARANTINED, HostState.LOST
    assert ledger.change(identity, ready, quarantined, by="ada", why=QUARANTINED)
    assert ledger.change(identity, quarantined, lost, by="ada", why="no answer")


def line(text: str, label: str) -> str:
    [found] = [each for each in text.splitlines() if each.startswith(label + " ")]
    return found.removeprefix(label).strip()


def test_a_campaign_says_which_hosts_it_waits_for(store: SqlStore, ledger: SqlHostLedger) -> None:
    begun(store, "mine", site="bench", tags=["fast"])
    _, other = begun(store, "other")
    take(ledger, other, 2)
    lose(ledger, 1)
    lose(ledger, 3)  # it has no such tag
    lose(ledger, 4)  # no longer part of the site
    waits = "waits for hosts: h2 lost (no answer), h3 held by other.1"
    assert line(invoke("status", "mine").stdout, "hosts") == waits
    assert document(invoke("explain", "mine", "--json"))["why"] == f"1 process at work; {waits}"
    found = document(invoke("status", "mine", "--json"))
    assert [(each["name"], each["held_by"], each["fault"]) for each in found["hosts"]] == [
        ("h1", None, ""),
        ("h2", None, "lost (no answer)"),
        ("h3", "other.1", "held by other.1"),
    ]


def test_explain_tells_what_happened_to_the_hosts(store: SqlStore, ledger: SqlHostLedger) -> None:
    lose(ledger, 0)  # before the campaign began
    assert ledger.change(
        SPECS[0].identity, HostState.LOST, HostState.READY, by="ada", why="it answers"
    )
    _, engine = begun(store, "mine", site="bench")
    take(ledger, engine, 2)
    lose(ledger, 1)
    text = invoke("explain", "mine").stdout
    assert line(text, "state") == "running: 1 process at work", "it has a host"
    assert line(text, "hosts").startswith("h1    ready, free")
    assert "h2    lost (no answer)\n" in text
    assert "h3    ready, held by mine.1 for 0f1e2d3c/1 since 20" in text
    assert f"h2: ready → quarantined  by ada  {QUARANTINED}\n" in text
    assert "h1: " not in text
    found = document(invoke("explain", "mine", "--json"))
    steps = [(each["host"], each["source"], each["target"]) for each in found["host_events"]]
    assert steps == [("h2", "ready", "quarantined"), ("h2", "quarantined", "lost")]
    assert found["host_events"][1]["reason"] == "no answer"
    assert [each["target"] for each in found["events"]] == ["created", "running"]


def test_only_the_last_steps_of_hosts_are_told(store: SqlStore, ledger: SqlHostLedger) -> None:
    begun(store, "mine")
    identity, ready, away = SPECS[0].identity, HostState.READY, HostState.QUARANTINED
    for number in range(12):
        assert ledger.change(identity, ready, away, by="ada", why=f"failure {number}")
        assert ledger.change(identity, away, ready, by="ada", why="it answers")
    found = document(invoke("explain", "mine", "--json"))["host_events"]
    assert len(found) == 20
    assert (found[0]["reason"], found[-1]["reason"]) == ("failure 2", "it answers")


def test_too_few_hosts_need_no_command_while_the_process_runs(
    store: SqlStore, ledger: SqlHostLedger
) -> None:
    campaign, engine = begun(store, "mine", site="bench")
    lose(ledger, 1)
    store.change_state(campaign.id, CampaignState.PAUSED, by="tester", why=TOO_FEW)
    store.retire(campaign.id, engine.id)  # its process waits, and looks after the hosts
    shown = invoke("status", "mine").stdout
    assert "It goes on by itself when they are back, as long as its process runs" in shown
    assert "if that has ended, `fieldlab resume mine.1` goes on" in shown
    assert line(shown, "next") == "fieldlab site check bench"
    assert line(shown, "hosts").startswith("waits for hosts: h2 lost (no answer)")
    text = invoke("explain", "mine").stdout
    assert "It goes on by itself when they are back" in text
    assert "; waits for hosts: h2 lost (no answer)" in text
    assert "goes on by itself" in document(invoke("explain", "mine", "--json"))["why"]


def test_a_campaign_elsewhere_has_no_hosts(store: SqlStore, ledger: SqlHostLedger) -> None:
    running(store, definition("local"))
    lose(ledger, 1)
    assert "hosts" not in invoke("status", "local").stdout
    found = document(invoke("explain", "local", "--json"))
    assert (found["hosts"], found["host_events"]) == ([], [])
