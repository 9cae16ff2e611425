"""People are told what happens, in few messages, whatever dies or is away in between."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa

from fieldlab.app import heralding, messaging
from fieldlab.domain.messages import DeliveryPolicy
from fieldlab.domain.notifying import NotifySettings
from fieldlab.domain.policies import FailureGuard
from fieldlab.domain.trials import CampaignState
from fieldlab.engine.herald import Herald
from fieldlab.engine.supervisor import Manner, Supervisor
from fieldlab.ports.store import Campaign
from fieldlab.store.actors import SqlActors
from fieldlab.store.bus_tables import actors, deliveries
from fieldlab.store.messaging import SqlMessages
from tests.bus.places import DatabasePlace, opened
from tests.engine.campaigning import DOUBLE, TEN, Bench
from tests.engine.processes import MarkedProcesses
from tests.outlets.receivers import HttpReceiver, SmtpSink, teller, text_of
from tests.waiting import PATIENCE_S, until, wait_until

#: far longer than any test waits: a digest that comes before was hurried
LONG_S = 600.0
FAIL = "def work(x):\n    raise ValueError('never')\n"
SLOW = "import time\ndef work(x):\n    time.sleep(0.1)\n    return {'y': x}\n"


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a busy machine take its time at the end of a run."""
    monkeypatch.setattr(heralding, "END_S", PATIENCE_S)


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    with HttpReceiver() as receiver:
        yield receiver


def notify(bench: Bench, *urls: str, **given: object) -> NotifySettings:
    """Let the lab tell these addresses."""
    made = replace(NotifySettings(urls=urls, digest_s=LONG_S), **given)  # type: ignore[arg-type]
    bench.lab.settings = replace(bench.lab.settings, notify=made)
    return made


def run(bench: Bench, source: str = DOUBLE, **given: object) -> tuple[Campaign, list[str]]:
    """Run a campaign; give what was told of troubles, too."""
    troubles: list[str] = []
    definition = bench.define(source, TEN, **given)  # type: ignore[arg-type]
    ended = bench.lab.run(bench.lab.start(definition), on_trouble=troubles.append)
    return ended.campaign, troubles


def tell_the_rest(bench: Bench) -> None:
    """Run heralds alone until nothing is left to tell."""
    messaging.run_actors(bench.lab, [], lambda _: None, Manner(until_idle=True), and_heralds=True)


def states(bench: Bench) -> list[str]:
    with bench.lab.database.read() as connection:
        return list(connection.scalars(sa.select(deliveries.c.state)))


def test_a_finished_campaign_is_one_message_to_everybody(bench: Bench, http: HttpReceiver) -> None:
    with SmtpSink() as sink:
        notify(bench, http.url, sink.url, command=tuple(teller(bench.folder, "cat >> told")),
               folder=str(bench.folder), progress=(10, 50))  # fmt: skip
        campaign, troubles = run(bench)
    assert campaign.state is CampaignState.FINISHED
    assert not troubles
    (got,) = http.received
    assert (got["title"], got["type"]) == ("fieldlab: probe.1 finished", "success")
    assert "probe.1 finished: 10 trials done, in " in got["message"]
    (mail,) = sink.received
    assert mail["Subject"] == "fieldlab: probe.1 finished"
    assert text_of(mail).strip() == got["message"].strip()
    assert (bench.folder / "told").read_text().strip() == got["message"].strip()
    assert set(states(bench)) == {"acknowledged"}
    tell_the_rest(bench)
    assert len(http.received) == 1


def test_a_tripped_guard_is_told_with_its_reason(bench: Bench, http: HttpReceiver) -> None:
    notify(bench, http.url)
    run(bench, FAIL, guard=FailureGuard(consecutive_failures=3))
    (got,) = http.received
    assert (got["title"], got["type"]) == ("fieldlab: probe.1 stopped by its guard", "failure")
    assert "guard: 3 attempts failed in a row (the last: ValueError: never); " in got["message"]
    assert "`fieldlab resume probe.1`" in got["message"]


def test_a_notice_counts_what_ended_until_it_is_sent(bench: Bench, http: HttpReceiver) -> None:
    notify(bench, http.url)
    source = (
        "import time\n"
        "def work(x):\n"
        "    if x > 1:\n"
        "        raise ValueError('never')\n"
        "    time.sleep(1.5)  # it ends long after the guard has stopped the campaign\n"
        "    return {'y': x}\n"
    )
    campaign, _ = run(bench, source, guard=FailureGuard(consecutive_failures=3))
    assert (campaign.state, campaign.succeeded) == (CampaignState.TRIPPED, 1)
    (got,) = http.received
    counts = f"{campaign.done} of 10 trials done, {campaign.failed} failed"
    assert counts in got["message"]


def test_events_that_nobody_wants_are_not_told(bench: Bench, http: HttpReceiver) -> None:
    notify(bench, http.url, events=("tripped",))
    run(bench)
    assert not http.received
    assert not states(bench)


def test_how_far_it_is_is_told_once_also_when_it_is_resumed(
    bench: Bench, http: HttpReceiver
) -> None:
    notify(bench, http.url, events=("progress",), progress=(20, 40), digest_s=0.0)
    definition = bench.define(SLOW, TEN, slots=1)
    campaign = bench.lab.start(definition)
    seen: list[Campaign] = []

    def listener(each: Campaign) -> None:
        if each.done >= 5 and not seen:
            seen.append(each)
            bench.lab.pause(each.name)

    ended = bench.lab.run(campaign, listener=listener).campaign
    assert ended.state is CampaignState.PAUSED
    assert "fieldlab: probe.1 40 % done" in http.titles
    told = list(http.titles)
    assert bench.lab.run(ended).campaign.state is CampaignState.FINISHED
    assert http.titles == told


def test_a_receiver_that_was_down_is_told_when_it_is_back_and_the_others_not_again(
    bench: Bench, http: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Herald, "policy", DeliveryPolicy(attempts=50, timeout_s=0, delay_s=0.05))
    monkeypatch.setattr(heralding, "END_S", 1.0)
    with HttpReceiver() as other:
        notify(bench, http.url, other.url)
        other.down()
        campaign, troubles = run(bench)
        assert campaign.state is CampaignState.FINISHED
        assert http.titles == ["fieldlab: probe.1 finished"]
        assert any(f"localhost:{other.port}" in each for each in troubles)
        other.up()
        notify(bench, http.url, other.url, digest_s=0.1)
        tell_the_rest(bench)
        assert other.titles == http.titles
    assert set(states(bench)) == {"acknowledged"}


def test_what_hangs_keeps_no_campaign_from_ending(
    bench: Bench, http: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heralding, "END_S", 0.5)
    http.answers.clear()
    command = tuple(teller(bench.folder, "sleep 1000"))
    notify(bench, http.url, command=command, folder=str(bench.folder), digest_s=0.0)
    began = time.monotonic()
    campaign, _ = run(bench)
    assert campaign.state is CampaignState.FINISHED
    assert time.monotonic() - began < 20
    assert set(states(bench)) == {"waiting"}, "it is for the next process"


def test_an_address_that_can_not_be_used_is_said_and_harms_nothing(
    bench: Bench, http: HttpReceiver
) -> None:
    notify(bench, "nonsense://secretword", http.url)
    campaign, troubles = run(bench)
    assert campaign.state is CampaignState.FINISHED
    assert len(http.received) == 1
    (told,) = troubles
    assert "nonsense" in told
    assert "secretword" not in told


def test_a_nearly_full_disk_is_told_once(bench: Bench, http: HttpReceiver) -> None:
    notify(bench, http.url, events=("disk",), free_percent=100.0)
    run(bench)
    run(bench)
    (got,) = http.received
    assert got["title"].startswith("fieldlab: disk nearly full: ")
    assert str(bench.lab.settings.home) in got["message"]


def test_what_was_gathered_when_its_process_was_killed_is_told_by_the_next(
    bench: Bench, http: HttpReceiver, marked: MarkedProcesses
) -> None:
    (bench.folder / "fieldlab.toml").write_text(
        f'[notify]\nurls = ["{http.url}"]\ndigest = {LONG_S}\n'
    )
    teller_ = marked.start_program([sys.executable, "-m", "fieldlab", "actors", "run", "--notify"])

    def is_heard() -> bool:
        with bench.lab.database.read() as connection:
            return bool(connection.scalar(sa.select(sa.func.count()).select_from(actors)))

    wait_until(is_heard, "the herald runs")
    run(bench)
    wait_until(lambda: states(bench) == ["claimed"], "it is gathered")
    teller_.kill()
    teller_.wait()
    assert not http.received
    with bench.lab.database.begin() as connection:  # as if the time of the lease had passed
        connection.execute(sa.update(deliveries).values(leased_until=deliveries.c.due_at))
    notify(bench, http.url, digest_s=0.1)
    tell_the_rest(bench)
    assert http.titles == ["fieldlab: probe.1 finished"]


def test_processes_share_what_is_to_be_told(bench: Bench, http: HttpReceiver) -> None:
    given = notify(bench, http.url, digest_s=0.5)
    lab, names = bench.lab, [f"h{number}" for number in range(40)]
    heralding.subscribe(given, SqlMessages(lab.database))

    def lost(name: str, state: str = "lost") -> dict[str, str]:
        return {"entity": "host", "id": name, "from": "quarantined", "state": state, "reason": ""}

    async def scene() -> None:
        async with (
            opened(DatabasePlace(lab.database)) as one,
            opened(DatabasePlace(lab.database)) as two,
        ):
            running = []
            for bus in (one, two):
                heralds = heralding.make_heralds(
                    lab.settings, lab.store, bus._calls, heralding.addresses(given)
                )
                registry = SqlActors(lab.database)
                made = Supervisor(bus, registry, bus._calls, heralds, lambda _: None)
                running.append((made, asyncio.create_task(made.run())))
            for name in names:
                await one.publish("host.lost", lost(name))
            await one.publish("host.ready", lost("h0", "ready"))  # was never lost: not told
            await until(lambda: set(states(bench)) == {"acknowledged"}, "all is told")
            for supervisor, task in running:
                supervisor.drain()
                await task

    asyncio.run(scene())
    assert len(http.received) < len(names) / 2
    for name in names:
        assert http.text.count(f"host {name} is lost") == 1
    assert "back" not in http.text
