"""The herald: tells people by one notifier, many things in one message."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from fieldlab.domain.errors import BadInput, FieldlabError, UnknownName
from fieldlab.domain.messages import DeliveryPolicy, Envelope
from fieldlab.domain.notifying import PROGRESS_TOPIC
from fieldlab.domain.waiting import wait_at_most
from fieldlab.engine.digest import (
    Report,
    campaign_report,
    digest,
    disk_report,
    host_report,
    is_disk,
)
from fieldlab.ports.actor import Actor, Context
from fieldlab.ports.bus import Calls
from fieldlab.ports.notifier import Notifier
from fieldlab.ports.store import Campaign

T = TypeVar("T")

#: messages that one digest may hold; the others are in the next
MOST_AT_ONCE = 100
#: what comes so close together is one message even when nothing is waited for, s
GATHER_S = 0.2
#: a service that is away is tried for hours; what a process that died had is told after its lease
PATIENT = DeliveryPolicy(
    attempts=50, lease_s=10.0, timeout_s=0.0, delay_s=5.0, longest_delay_s=300.0
)


class Herald(Actor):
    """Gathers what is to be told, sends it as one message, and only then lets it be acknowledged.

    What was gathered when its process was killed is thus another's. Each notifier has a herald,
    with a group of its own: one that fails is tried again, and the others tell nothing twice.

    Parameters
    ----------
    campaigns, hosts
        Look up what a message is about by its id: a campaign, the name of a host.
    place
        Which lab it is, for people.
    """

    concurrency = MOST_AT_ONCE
    policy = PATIENT

    def __init__(
        self,
        notifier: Notifier,
        calls: Calls,
        campaigns: Callable[[int], Campaign],
        hosts: Callable[[int], str],
        *,
        digest_s: float,
        place: str = "",
    ) -> None:
        self._notifier = notifier
        self._calls = calls
        self._campaigns = campaigns
        self._hosts = hosts
        self._digest_s = digest_s
        self._place = place
        self._hurried = asyncio.Event()
        #: what is to be told, and of what that was made
        self._gathered: list[tuple[Envelope, Report]] = []
        self._sending: asyncio.Task[None] | None = None
        #: ids of what was told, should it come again
        self._told: set[str] = set()

    @classmethod
    def named(cls, group: str, topics: Sequence[str]) -> type[Herald]:
        """Make the class of the heralds of one group."""
        return type(cls.__name__, (cls,), {"name": group, "topics": tuple(topics)})

    def hurry(self) -> None:
        """Gather no longer: what is there is sent now."""
        self._hurried.set()

    async def handle(self, envelope: Envelope, context: Context) -> None:
        try:
            report = await self._report(envelope)
        except (LookupError, TypeError, ValueError) as error:  # somebody published it by hand
            raise BadInput(f"The body of {envelope.topic} isn't as it should be") from error
        if report is None or envelope.id in self._told:
            return
        if self._sending is None or self._sending.done():
            self._gathered = []
            self._sending = asyncio.create_task(self._send(envelope.sent_at))
        sending = self._sending
        self._gathered.append((envelope, report))
        try:
            await asyncio.shield(sending)
        except asyncio.CancelledError:  # all that was gathered is given back
            sending.cancel()
            raise
        self._told.add(envelope.id)

    async def _report(self, envelope: Envelope) -> Report | None:
        if is_disk(envelope):
            return disk_report(envelope)
        key = envelope.body["id"]
        if envelope.topic.startswith("host."):
            name = envelope.body.get("name")
            return host_report(envelope, name or await self._calls.call(lambda: self._hosts(key)))
        try:
            campaign = await self._calls.call(lambda: self._campaigns(key))
        except UnknownName:  # deleted meanwhile
            return None
        return campaign_report(envelope, campaign)

    async def _send(self, since: float) -> None:
        """Wait for more, then send what there is.

        Parameters
        ----------
        since
            When the first of it was sent (Unix time, s): what comes late isn't kept any longer.
        """
        left_s = since + self._digest_s - time.time()
        await wait_at_most(min(max(left_s, GATHER_S), self._digest_s), self._hurried)
        if self._hurried.is_set():
            await asyncio.sleep(GATHER_S)
        gathered, self._gathered, self._sending = self._gathered, [], None
        reports = [await self._as_it_stands(*each) for each in gathered]
        await self._notifier.send(digest(reports, self._place))

    async def _as_it_stands(self, envelope: Envelope, report: Report) -> Report:
        """Tell of a campaign's step with what is recorded by now: trials that ran have ended since.

        How far it is stands beside the share of its trials, and stays what it was.
        """
        if envelope.topic == PROGRESS_TOPIC or not envelope.topic.startswith("campaign."):
            return report
        with contextlib.suppress(FieldlabError):  # what was read before is good enough
            return await self._report(envelope) or report
        return report
