"""What no lifecycle tells: how far a campaign is, and that a disk is nearly full."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence

from fieldlab.domain.messages import Envelope
from fieldlab.domain.notifying import DISK_TOPIC, PROGRESS_TOPIC, disk_low
from fieldlab.domain.trials import CampaignState
from fieldlab.ports.store import Campaign

#: a disk is no longer nearly full with so many times the floor free
_CLEAR = 1.2


def _id_of(*parts: object) -> str:
    """Make a message's id of what it says: sent again, it is kept once."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "fieldlab:" + "/".join(map(str, parts))))


class Milestones:
    """Notices when a campaign passes shares of its trials.

    Whoever runs the campaign, and however often it is resumed, each share is one message: its id
    says so.

    Parameters
    ----------
    percent
        In ascending order.
    """

    def __init__(self, percent: Sequence[int]) -> None:
        self._percent = percent
        self._last = 0

    def passed(self, campaign: Campaign) -> Envelope | None:
        """Make the message on the largest share that it has passed since the last call."""
        known = [each for each in (campaign.total, campaign.wanted) if each is not None]
        if campaign.state is not CampaignState.RUNNING or not known or not min(known):
            return None
        done = 100 * campaign.done / min(known)
        reached = max((each for each in self._percent if each <= done), default=0)
        if reached <= self._last or done >= 100:
            return None
        self._last = reached
        return Envelope(
            topic=PROGRESS_TOPIC,
            body={"entity": "campaign", "id": campaign.id, "percent": reached},
            id=_id_of(PROGRESS_TOPIC, campaign.id, campaign.created_at.isoformat(), reached),
        )


class DiskGauge:
    """Notices when a disk is nearly full; again only after it had more room, or the next day.

    Parameters
    ----------
    where
        Which disk, for people.
    percent, free_bytes
        It is nearly full with less free than either.
    """

    def __init__(self, where: str, percent: float, free_bytes: int) -> None:
        self._where = where
        self._percent = percent
        self._free_bytes = free_bytes
        self._is_low = False
        self._times = 0

    def read(self, free: int, total: int) -> Envelope | None:
        """Take in what is free, bytes; make the message if it is nearly full now and wasn't."""
        floor = max(self._percent / 100 * total, self._free_bytes)
        if free >= floor * _CLEAR:
            self._is_low = False
        if free >= floor or self._is_low:
            return None
        self._is_low = True
        self._times += 1
        day = time.strftime("%Y-%m-%d", time.gmtime())
        return Envelope(
            topic=DISK_TOPIC,
            body=disk_low(self._where, free),
            id=_id_of(DISK_TOPIC, self._where, day, self._times),
        )
