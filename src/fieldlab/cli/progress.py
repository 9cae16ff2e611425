"""How far a campaign is, while it runs: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Protocol, Self

from fieldlab.cli.campaign_views import progress_text, total_of
from fieldlab.cli.output import is_terminal, joined, left_text, rate_text, say

if TYPE_CHECKING:
    from fieldlab.ports.store import Campaign

#: without a terminal, progress is told this often, s
LINE_S = 10.0
#: the rate is that of so many last seconds
WINDOW_S = 15.0


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
        left = total - campaign.done if total is not None else 0
        return joined(
            [
                f"{campaign.failed:,} failed" if campaign.failed else "",
                rate_text(rate) if rate else "",
                f"passing over {passed:,.0f}/s" if passed >= 1 else "",
                left_text(left / rate) if rate and left > 0 else "",
            ]
        )


class Progress(Protocol):
    """Shows a running campaign on stderr."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def update(self, campaign: Campaign) -> None:
        """Show the campaign as it stands."""
        ...

    def tell(self, text: str) -> None:
        """Show a message."""
        ...


class Lines:
    """Progress as plain lines, for logs."""

    def __init__(self, every_s: float = LINE_S) -> None:
        self._every_s = every_s
        self._rate = Rate()
        self._told_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, campaign: Campaign) -> None:
        now = time.monotonic()
        self._rate.see(campaign)
        if now - self._told_at < self._every_s:
            return
        self._told_at = now
        said = joined([progress_text(campaign), self._rate.describe(campaign)])
        self.tell(f"{campaign.name}: {said}")

    def tell(self, text: str) -> None:
        say(text)


class Bar:
    """Progress as a bar that stays in place."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        from fieldlab.cli.tables import console

        self._rate = Rate()
        # the terminal writes "^C" behind the bar; if that wrapped, the bar would be drawn twice
        self._console = console(stderr=True, margin=4)
        self._bar = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[said]}", markup=False),
            console=self._console,
            transient=True,
            expand=True,
        )
        self._task = self._bar.add_task("", total=None, said="starting")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, campaign: Campaign) -> None:
        self._rate.see(campaign)
        self._bar.update(
            self._task,
            description=campaign.name,
            completed=campaign.done,
            total=total_of(campaign),
            said=joined([progress_text(campaign), self._rate.describe(campaign)]),
        )

    def tell(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)


def make_progress() -> Progress:
    """Choose how progress is shown: a bar where somebody watches."""
    return Bar() if is_terminal() else Lines()
