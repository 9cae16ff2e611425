"""How far a campaign is, while it runs: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol, Self

from fieldlab.cli.output import is_terminal, joined, say
from fieldlab.notebook.progress import Rate, progress_text, total_of

if TYPE_CHECKING:
    from fieldlab.ports.store import Campaign

#: without a terminal, progress is told this often, s
LINE_S = 10.0


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
