"""A running campaign on the screen: a bar, a cell's line that changes, or lines in a log."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol, Self

from fieldlab.notebook.progress import Rate, progress_text, total_of

if TYPE_CHECKING:
    from fieldlab.ports.store import Campaign

#: without a terminal, progress is told this often, s
LINE_S = 10.0
#: a cell's line changes this often, s
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


class CellLine:
    """Progress as one line below a notebook's cell, which changes in place."""

    def __init__(self) -> None:
        self._rate = Rate()
        self._shown_at = 0.0
        self._last: Campaign | None = None
        self._handle: Any = None

    def __enter__(self) -> Self:
        from IPython.display import display

        self._handle = display(_line("starting"), display_id=True)  # type: ignore[no-untyped-call]
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
        self._shown_at = time.monotonic()
        total = total_of(campaign)
        of = f"{100 * campaign.done / total:.0f} % " if total else ""
        state = campaign.state.value
        line = f"{campaign.name} {state}: {of}{_said(campaign, self._rate)}"
        if self._handle is not None:
            self._handle.update(_line(line))

    def tell(self, text: str) -> None:
        tell(text)


def _line(text: str) -> Any:
    from IPython.display import Pretty

    return Pretty(text)  # type: ignore[no-untyped-call]


def make_progress(*, quiet: bool = False) -> Progress:
    """Choose how progress is shown: where somebody watches, in place."""
    if quiet:
        return Quiet()
    if _in_notebook():
        return CellLine()
    return Bar() if sys.stderr.isatty() else Lines()


def _in_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None
