"""What a bus promises, wherever it keeps its messages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from fieldlab.bus import message_bus
from fieldlab.bus.listening import FEW
from fieldlab.bus.message_bus import MessageBus
from fieldlab.bus.subscription import Subscription
from fieldlab.domain.errors import BadInput, RequestFailed, RequestTimeout
from fieldlab.domain.messages import DeliveryPolicy, Envelope
from fieldlab.ports.bus import Claim
from tests.bus.places import DatabasePlace, Place, opened, soon
from tests.waiting import until

#: a consumer that isn't heard of for so long is taken for dead, s
SHORT = DeliveryPolicy(lease_s=0.15, attempts=3, delay_s=0.01)


def run(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Play a scene; one that hangs fails."""

    async def limited() -> None:
        async with asyncio.timeout(60):
            await scene()

    asyncio.run(limited())


async def take(subscription: Subscription) -> Claim:
    claim = await soon(subscription.next())
    assert claim is not None
    return claim


async def bodies(subscription: Subscription, number: int) -> list[Any]:
    """Take and acknowledge so many messages."""
    found = []
    for _ in range(number):
        claim = await take(subscription)
        found.append(claim.envelope.body)
        assert await subscription.acknowledge(claim)
    return found


async def is_empty(bus: MessageBus, subscription: Subscription) -> bool:
    """Say whether nothing waits for a group: a message sent now is the next that comes."""
    await bus.publish("marker", "marker")
    return (await bodies(subscription, 1)) == ["marker"]


# --- topics and groups -------------------------------------------------------------------------


def test_a_message_arrives_with_all_that_is_written_on_it(place: Place) -> None:
    async def scene() -> None:
        async with opened(place, "ada") as sender, opened(place) as receiver:
            inbox = await receiver.subscribe(["pipeline.process.*"], group="driver")
            body = {"ousUID": "uid://X1/X1/Xb0", "n": [1, 2.5, None, True], "größe": "é"}
            sent = await sender.publish("pipeline.process.EU", body, expires_in_s=60)
            claim = await take(inbox)
            got = claim.envelope
            assert (got.id, got.topic, got.body, got.sender) == (sent.id, sent.topic, body, "ada")
            assert got.sent_at == pytest.approx(sent.sent_at, abs=1e-5)
            assert got.expires_at == pytest.approx(sent.expires_at, abs=1e-5)
            assert (claim.number, claim.group) == (1, "driver")
            assert await inbox.acknowledge(claim)
            assert place.states() == {}

    run(scene)


def test_only_what_matches_the_patterns_arrives(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as bus:
            inbox = await bus.subscribe(["a.*.c", "b.#", "marker"], group="g")
            for topic in ("a.b", "a.b.c.d", "xa.b.c", "a.bb.c", "b", "b.x.y", "bb", "marker"):
                await bus.publish(topic, topic)
            assert await bodies(inbox, 4) == ["a.bb.c", "b", "b.x.y", "marker"]

    run(scene)


def test_one_group_shares_the_messages_and_each_group_gets_all(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as one, opened(place) as other:
            left, right = [await bus.subscribe(["t"], group="shared") for bus in (one, other)]
            alone = await other.subscribe(["t"], group="alone")
            for number in range(20):
                await one.publish("t", number)
            shared: list[int] = []

            async def drink(subscription: Subscription) -> None:
                while (claim := await subscription.next()) is not None:
                    shared.append(claim.envelope.body)
                    await subscription.acknowledge(claim)

            drinkers = [asyncio.create_task(drink(each)) for each in (left, right)]
            assert await bodies(alone, 20) == list(range(20))
            await until(lambda: len(shared) == 20, "all were drunk")
            left.drain()
            right.drain()
            await asyncio.gather(*drinkers)
            assert sorted(shared) == list(range(20))

    run(scene)


def test_consumers_without_a_group_each_get_all_as_long_as_they_listen(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as one, opened(place) as other:
            first, second = await one.subscribe(["t"]), await other.subscribe(["t"])
            await one.publish("t", 1)
            assert await bodies(first, 1) == await bodies(second, 1) == [1]
            await one.publish("t", 2)
            await second.close()
            assert await bodies(first, 1) == [2]
            assert place.states() == {"expired": 1}
            await one.publish("t", 3)
            assert await bodies(first, 1) == [3]
            assert place.states() == {"expired": 1}

    run(scene)


def test_messages_wait_for_a_group_whose_consumers_are_away(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as bus:
            await (await bus.subscribe(["t"], group="g")).close()
            await bus.publish("t", 1)
        async with opened(place) as later:
            inbox = await later.subscribe(["t"], group="g")
            assert await bodies(inbox, 1) == [1]

    run(scene)


def test_a_message_that_nobody_listens_to_waits_for_its_first_group(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as bus:
            await bus.publish("t.x", 1)
            await bus.publish("u", 2)
            await bus.publish("t.x", 3, expires_in_s=1e-6)
            first = await bus.subscribe(["t.*", "marker"], group="first")
            assert await bodies(first, 1) == [1]
            assert await is_empty(bus, first)
            late = await bus.subscribe(["t.*", "marker"], group="late")
            uninterested = await bus.subscribe(["u", "marker"], group="new", backlog=False)
            assert await is_empty(bus, late)
            assert await is_empty(bus, uninterested)

    run(scene)


def test_a_group_that_listens_to_something_else_now_gets_that(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as bus:
            await (await bus.subscribe(["old"], group="g")).close()
            inbox = await bus.subscribe(["new", "marker"], group="g")
            await bus.publish("old", 1)
            await bus.publish("new", 2)
            assert await bodies(inbox, 1) == [2]
            assert await is_empty(bus, inbox)

    run(scene)


def test_each_of_many_subscriptions_of_a_process_gets_its_own(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as sender, opened(place) as receiver:
            topics = [f"topic.{number}" for number in range(3 * FEW)]
            inboxes = [await receiver.subscribe([each], group=each) for each in topics]
            waiting = [asyncio.create_task(take(each)) for each in inboxes]
            for each in reversed(topics):
                await sender.publish(each, each)
            claims = await asyncio.gather(*waiting)
            assert [each.envelope.body for each in claims] == topics

    run(scene)


def test_the_groups_with_something_due_are_known(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as bus:
            store = place.store()
            inbox = await bus.subscribe(["t"], group="g")
            await bus.subscribe(["u"], group="idle")
            assert set(store.due(60)) == set()
            await bus.publish("t", 1)
            assert set(store.due(0)) == {"g"}
            assert await inbox.release(await take(inbox), delay_s=600)
            assert set(store.due(60)) == set()
            assert set(store.due(6_000)) == {"g"}

    run(scene)


def test_messages_of_one_sender_come_in_their_order(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as bus:
            inbox = await bus.subscribe(["t"], group="g")
            for number in range(200):
                await bus.publish("t", number)
            assert await bodies(inbox, 200) == list(range(200))

    run(scene)


# --- settling ----------------------------------------------------------------------------------


def test_a_released_message_comes_again_after_its_delay_with_its_next_number(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as bus:
            inbox = await bus.subscribe(["t"], group="g")
            await bus.publish("t", 1)
            claim = await take(inbox)
            began = time.time()
            assert await inbox.release(claim, error="not now", delay_s=0.2)
            assert place.errors() == ["not now"]
            again = await take(inbox)
            assert time.time() - began >= 0.19
            assert (again.envelope.id, again.number) == (claim.envelope.id, 2)

    run(scene)


def test_a_buried_message_stays_as_a_dead_letter(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as bus:
            inbox = await bus.subscribe(["t", "marker"], group="g")
            await bus.publish("t", 1)
            assert await inbox.bury(await take(inbox), "hopeless")
            assert place.states() == {"dead": 1}
            assert place.errors() == ["hopeless"]
            assert await is_empty(bus, inbox)

    run(scene)


def test_what_belongs_to_an_acknowledgement_happens_with_it(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as bus:
            inbox = await bus.subscribe(["t"], group="g")
            outcome = await bus.subscribe(["done"], group="h")
            await bus.publish("t", 1)
            happened: list[object] = []
            await inbox.acknowledge(
                await take(inbox),
                posts=[bus.envelope("done", "yes")],
                effects=[happened.append],
            )
            assert await bodies(outcome, 1) == ["yes"]
            assert len(happened) == 1

    run(scene)


def test_an_effect_that_fails_leaves_the_message_as_it_was(place: Place) -> None:
    def fail(_: object) -> None:
        raise ValueError("no")

    async def scene() -> None:
        async with opened(place) as bus:
            inbox = await bus.subscribe(["t"], group="g")
            outcome = await bus.subscribe(["done", "marker"], group="h")
            await bus.publish("t", 1)
            claim = await take(inbox)
            with pytest.raises(ValueError, match="no"):
                await inbox.acknowledge(claim, posts=[bus.envelope("done", "yes")], effects=[fail])
            assert place.states() == {"claimed": 1}
            assert await is_empty(bus, outcome)
            assert await inbox.release(claim)
            assert (await take(inbox)).number == 2

    run(scene)


def test_a_consumer_that_is_not_heard_of_loses_its_message(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as dying, opened(place) as living:
            lost = await dying.subscribe(["t"], group="g", policy=SHORT)
            outcome = await living.subscribe(["done", "marker"], group="h")
            await living.publish("t", 1)
            claim = await take(lost)
            fall_silent(lost)
            inbox = await living.subscribe(["t"], group="g", policy=SHORT)
            again = await take(inbox)
            assert (again.envelope.id, again.number) == (claim.envelope.id, 2)
            happened: list[object] = []
            done = await lost.acknowledge(
                claim, posts=[dying.envelope("done", 1)], effects=[happened.append]
            )
            assert not done
            assert not happened
            assert await inbox.acknowledge(again)
            assert await is_empty(living, outcome)

    run(scene)


def fall_silent(subscription: Subscription) -> None:
    """Let a consumer say no more that it lives, as if it were suspended."""
    for duty in subscription._duties:
        duty.cancel()


def test_a_message_whose_consumers_all_die_becomes_a_dead_letter(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as bus:
            await bus.publish("t", "poison")
            for number in (1, 2, 3):
                victim = await bus.subscribe(["t"], group="g", policy=SHORT)
                assert (await take(victim)).number == number
                fall_silent(victim)
            survivor = await bus.subscribe(["t", "marker"], group="g", policy=SHORT)
            waiting = asyncio.create_task(survivor.next())
            await until(lambda: place.states() == {"dead": 1}, "it is given up")
            assert "died" in place.errors()[0]
            waiting.cancel()

    run(scene)


def test_a_living_consumer_keeps_its_message_beyond_the_lease(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as bus, opened(place) as other:
            inbox = await bus.subscribe(["t", "marker"], group="g", policy=SHORT)
            await bus.publish("t", 1)
            claim = await take(inbox)
            rival = await other.subscribe(["t", "marker"], group="g", policy=SHORT)
            stolen = asyncio.create_task(rival.next())
            # the lease ends six times
            assert not (await asyncio.wait([stolen], timeout=6 * SHORT.lease_s))[0]
            assert await inbox.acknowledge(claim)
            stolen.cancel()

    run(scene)


def test_an_expired_message_is_put_away(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as bus:
            inbox = await bus.subscribe(["t", "marker"], group="g")
            await bus.publish("t", 1, expires_in_s=1e-6)
            assert await is_empty(bus, inbox)
            assert place.states() == {"expired": 1}
            assert place.errors() == ["nobody took it in time"]

    run(scene)


def test_a_message_sent_twice_is_kept_once(place: Place) -> None:
    if not isinstance(place, DatabasePlace):
        return  # nothing that is kept in memory can be cut off in the middle

    async def scene() -> None:
        async with opened(place) as bus:
            inbox = await bus.subscribe(["t", "marker"], group="g")
            envelope = bus.envelope("t", 1)
            await bus.send(envelope)
            await bus.send(envelope)
            assert await bodies(inbox, 1) == [1]
            assert await is_empty(bus, inbox)

    run(scene)


def test_closing_gives_back_what_nobody_settled(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as bus:
            inbox = await bus.subscribe(["t"], group="g")
            await bus.publish("t", 1)
            await take(inbox)
            await inbox.close()
            assert await inbox.next() is None
            assert place.states() == {"waiting": 1}
            again = await bus.subscribe(["t"], group="g")
            assert (await take(again)).number == 2

    run(scene)


def test_a_handler_that_gives_up_waiting_takes_no_message_with_it(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as bus:
            inbox = await bus.subscribe(["t"], group="g")
            for number in range(30):
                waiting = [asyncio.create_task(inbox.next()) for _ in range(3)]
                await bus.publish("t", number)
                for each in waiting:
                    each.cancel()
                found = await asyncio.gather(*waiting, return_exceptions=True)
                claims = [each for each in found if isinstance(each, Claim)]
                claim = claims[0] if claims else await take(inbox)
                assert claim.envelope.body == number
                assert await inbox.acknowledge(claim)
            assert place.states() == {}

    run(scene)


# --- request and reply -------------------------------------------------------------------------


async def serve(bus: MessageBus, answer: Callable[[Envelope], Envelope]) -> None:
    inbox = await bus.subscribe(["ask"], group="server")
    while (claim := await inbox.next()) is not None:
        await inbox.acknowledge(claim, posts=[answer(claim.envelope)])


def test_a_request_gets_its_own_answer(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as asking, opened(place) as answering:
            server = asyncio.create_task(
                serve(answering, lambda envelope: envelope.reply(envelope.body * 2))
            )
            asked = [asking.request("ask", number, timeout_s=20) for number in range(20)]
            assert await asyncio.gather(*asked) == [2 * number for number in range(20)]
            server.cancel()

    run(scene)


def test_an_answer_that_never_comes_is_a_timeout_and_the_request_expires(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as bus:
            with pytest.raises(RequestTimeout, match=r"'ask' within 0.05 s.*fieldlab actors"):
                await bus.request("ask", 1, timeout_s=0.05)
            inbox = await bus.subscribe(["ask", "marker"], group="late")
            assert await is_empty(bus, inbox)

    run(scene)


def test_a_failed_request_says_why(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as bus:
            server = asyncio.create_task(
                serve(bus, lambda envelope: envelope.reply("no such unit", failed=True))
            )
            with pytest.raises(RequestFailed, match="'ask' failed: no such unit"):
                await bus.request("ask", 1, timeout_s=20)
            server.cancel()

    run(scene)


def test_an_answer_that_comes_too_late_harms_nothing(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as bus:
            inbox = await bus.subscribe(["ask"], group="slow")
            with pytest.raises(RequestTimeout):
                await bus.request("ask", 1, timeout_s=0.3)
            waiting = asyncio.create_task(bus.request("ask", 2, timeout_s=20))
            claim = await take(inbox)
            while claim.envelope.body != 2:  # the first may have been taken in its last moment
                late = claim.envelope.reply("late")
                await inbox.acknowledge(claim, posts=[late])
                claim = await take(inbox)
            await inbox.acknowledge(claim, posts=[claim.envelope.reply("in time")])
            assert await soon(waiting) == "in time"

    run(scene)


# --- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "topic", ["", ".", "a..b", "a.", ".a", "a b", "a.*", "#", "ä", "a/b", "x" * 300, "a\n"]
)
def test_a_malformed_topic_is_refused(place: Place, topic: str) -> None:
    async def scene() -> None:
        async with opened(place) as bus:
            with pytest.raises(BadInput, match="is not a topic"):
                await bus.publish(topic)
            assert place.states() == {}

    run(scene)


@pytest.mark.parametrize("pattern", ["", "a..b", "#.a", "a.#.b", "a*", "a.**", "x" * 300])
def test_a_malformed_pattern_is_refused(place: Place, pattern: str) -> None:
    async def scene() -> None:
        async with opened(place) as bus:
            with pytest.raises(BadInput, match="is not a pattern"):
                await bus.subscribe([pattern], group="g")

    run(scene)


@pytest.mark.parametrize(
    "body", [object(), float("nan"), {1, 2}, b"bytes", "half \ud800", "nul \0", "x" * (17 << 20)]
)
def test_a_body_that_cannot_be_sent_is_refused(place: Place, body: object) -> None:
    async def scene() -> None:
        async with opened(place) as bus:
            await bus.subscribe(["t"], group="g")
            with pytest.raises(BadInput, match=r"[Bb]ody"):
                await bus.publish("t", body)
            assert place.states() == {}

    run(scene)


def test_a_body_of_ten_megabytes_arrives(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as bus:
            inbox = await bus.subscribe(["t"], group="g")
            body = {"report": "x" * 10_000_000, "literally": "\\u0000"}
            await bus.publish("t", body)
            assert await bodies(inbox, 1) == [body]

    run(scene)


def test_a_consumer_of_its_own_that_was_silent_for_too_long_listens_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_bus, "PRIVATE_LASTS_S", 0.3)

    async def scene() -> None:
        async with opened(place) as silent, opened(place) as other:
            alone = await silent.subscribe(["t"])
            await other.publish("t", 1)
            assert await bodies(alone, 1) == [1]
            place.store().unsubscribe(alone.group)  # as others do when they don't hear of it
            heard: list[Any] = []

            async def listen() -> None:
                while (claim := await alone.next()) is not None:
                    heard.append(claim.envelope.body)
                    await alone.acknowledge(claim)

            listening = asyncio.create_task(listen())
            while not heard:
                await other.publish("t", 2)
                await asyncio.sleep(0.05)  # until it has noticed, which takes a third of its time
            alone.drain()
            await soon(listening)

    run(scene)


def test_what_a_consumer_of_its_own_had_in_work_ends_with_it(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as bus:
            alone = await bus.subscribe(["t"])
            await bus.publish("t", 1)
            claim = await take(alone)
            fall_silent(alone)
            place.store().unsubscribe(alone.group)
            assert place.states() == {"expired": 1}
            assert not await alone.acknowledge(claim)

    run(scene)


def test_a_first_request_that_is_given_up_spoils_none_after_it(place: Place) -> None:
    async def scene() -> None:
        async with opened(place) as asking, opened(place) as answering:
            server = asyncio.create_task(
                serve(answering, lambda envelope: envelope.reply(envelope.body))
            )
            given_up = asyncio.create_task(asking.request("ask", 1, timeout_s=20))
            await asyncio.sleep(0)  # it has begun to open its inbox
            given_up.cancel()
            await asyncio.wait([given_up])
            assert await asking.request("ask", 2, timeout_s=20) == 2
            server.cancel()

    run(scene)
