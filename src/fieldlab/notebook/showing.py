"""A running campaign on the screen: a bar, a notebook's cell, or lines in a log."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Protocol, Self

from fieldlab.notebook.progress import Rate, progress_text, total_of

if TYPE_CHECKING:
    from fieldlab.ports.store import Campaign

#: without a terminal, progress is told this often, s
LINE_S = 10.0
#: a cell's bar changes this often, s
CELL_S = 0.5


class Progress(Protocol):
    """Shows a running campaign."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def update(self, campaign: Campaign) -> None:
        """Show the campaign as it stands."""
        ...

    def tell(self, text: str) -> None:
        """Show a message."""
        ...


def tell(text: str) -> None:
    """Tell people something, on stderr; that nobody reads it is no reason to stop."""
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _said(campaign: Campaign, rate: Rate) -> str:
    parts = (progress_text(campaign), rate.describe(campaign))
    return ", ".join(part for part in parts if part)


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
        self.tell(f"{campaign.name}: {_said(campaign, self._rate)}")

    def tell(self, text: str) -> None:
        tell(text)


class Quiet(Lines):
    """No progress; messages all the same."""

    def update(self, campaign: Campaign) -> None:
        return None


class Bar:
    """Progress as a bar that stays in place."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        from fieldlab.notebook.consoles import console

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
            said=_said(campaign, self._rate),
        )

    def tell(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)


class Cell:
    """Progress as a bar below a notebook's cell, which changes in place."""

    def __init__(self) -> None:
        from fieldlab.notebook.watching import NotebookScreen

        self._rate = Rate()
        self._screen = NotebookScreen()
        self._shown_at = -CELL_S
        self._last: Campaign | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._last is not None:
            self._show(self._last)

    def update(self, campaign: Campaign) -> None:
        self._rate.see(campaign)
        self._last = campaign
        if time.monotonic() - self._shown_at > CELL_S:
            self._show(campaign)

    def _show(self, campaign: Campaign) -> None:
        from fieldlab.notebook.watching import View

        self._shown_at = time.monotonic()
        state, pace = campaign.state.value, self._rate.describe(campaign)
        self._screen.show(View(campaign=campaign, state=state, pace=pace, running=(), picture=""))

    def tell(self, text: str) -> None:
        tell(text)


def make_progress(*, quiet: bool = False) -> Progress:
    """Choose how progress is shown: where somebody watches, in place."""
    from fieldlab.notebook.watching import is_notebook

    if quiet:
        return Quiet()
    if is_notebook():
        return Cell()
    return Bar() if sys.stderr.isatty() else Lines()
