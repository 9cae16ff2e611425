"""How far a campaign is and how fast it goes, in words and numbers: one way of saying it."""

from __future__ import annotations

import time
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING

from fieldlab.domain.durations import format_duration
from fieldlab.domain.trials import CampaignState

if TYPE_CHECKING:
    from fieldlab.ports.store import Campaign

#: shown instead of "running" when no engine is alive
INTERRUPTED = "interrupted"
#: exclusions of fewer positions are always counted before a campaign begins
_COUNTED = 100_000
#: campaigns that were looked at: id and when it was made → whether positions may be left out
_bounds: dict[tuple[int, datetime], bool] = {}
#: the rate is that of so many last seconds
WINDOW_S = 15.0


def shown_state(campaign: Campaign, engines: int) -> str:
    """Say a campaign's state for people: running without an engine is interrupted."""
    if campaign.state is CampaignState.RUNNING and not engines:
        return INTERRUPTED
    return campaign.state.value


def total_of(campaign: Campaign) -> int | None:
    """How many trials the campaign will have in all, as far as is known; None if it has no end."""
    known = [each for each in (campaign.total, campaign.wanted) if each is not None]
    return min(known) if known else None


def is_bound(campaign: Campaign) -> bool:
    """Whether its total only says how many trials there are at most.

    That is so while positions are left that may turn out to be excluded.
    """
    positions = campaign.positions
    if positions is None or positions < _COUNTED or campaign.cursor >= positions:
        return False
    if campaign.wanted is not None and campaign.wanted < positions - campaign.excluded:
        return False
    if campaign.excluded:
        return True
    from fieldlab.domain.assembly import may_leave_out

    key = (campaign.id, campaign.created_at)
    if key not in _bounds:  # asked again and again while it runs
        _bounds[key] = may_leave_out(campaign.definition.space, positions)
    return _bounds[key]


def progress_text(campaign: Campaign) -> str:
    """Say how far a campaign is: ``1,200/3,200``; ``1,200/≤3,200`` where that is a bound."""
    total = total_of(campaign)
    if total is None:
        return f"{campaign.done:,}"
    return f"{campaign.done:,}/{'≤' if is_bound(campaign) else ''}{total:,}"


def rate_text(rate: float) -> str:
    """Write a rate in trials per second, or per minute or hour when it is low."""
    for scale, unit in ((1, "s"), (60, "min"), (3600, "h")):
        if rate * scale >= 1 or unit == "h":
            return (
                f"{rate * scale:,.0f}/{unit}"
                if rate * scale >= 10
                else f"{rate * scale:.1f}/{unit}"
            )
    raise AssertionError("unreachable")


def left_text(seconds: float) -> str:
    """Say how long something will still take: nobody knows that to the millisecond."""
    return f"{format_duration(max(round(seconds), 1))} left"


class Rate:
    """How fast trials end, from what was seen in the last seconds."""

    def __init__(self) -> None:
        #: when, attempts that had ended, positions that had been passed over
        self._seen: deque[tuple[float, int, int]] = deque()

    def see(self, campaign: Campaign) -> None:
        """Take in how many attempts have ended by now, and what needed none."""
        now = time.monotonic()
        self._seen.append((now, campaign.attempts, campaign.skipped + campaign.excluded))
        while len(self._seen) > 2 and now - self._seen[1][0] > WINDOW_S:
            self._seen.popleft()

    @property
    def per_s(self) -> float:
        """Attempts in a second; 0 as long as nobody can say."""
        return self._growth(1)

    @property
    def passed_per_s(self) -> float:
        """Positions in a second that need no attempt: excluded ones, and recorded ones."""
        return self._growth(2)

    def _growth(self, column: int) -> float:
        if len(self._seen) < 2:
            return 0.0
        first, last = self._seen[0], self._seen[-1]
        return (last[column] - first[column]) / (last[0] - first[0]) if last[0] > first[0] else 0.0

    def describe(self, campaign: Campaign) -> str:
        """Say how many failed, how fast it goes, how long it will take."""
        rate, passed = self.per_s, self.passed_per_s
        total = total_of(campaign)
        left = 0 if total is None or is_bound(campaign) else total - campaign.done
        said = [
            f"{campaign.failed:,} failed" if campaign.failed else "",
            rate_text(rate) if rate else "",
            f"passing over {passed:,.0f}/s" if passed >= 1 else "",
            left_text(left / rate) if rate and left > 0 else "",
        ]
        return ", ".join(each for each in said if each)
