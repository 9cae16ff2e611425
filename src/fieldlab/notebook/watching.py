"""Watching a campaign: redrawn in place in a notebook, lines of text elsewhere.

Each look is a few short reads; nothing is held open between two of them, so a watched SQLite
database can be tidied up as if nobody watched.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

from fieldlab.domain.ids import trial_name
from fieldlab.domain.trials import CampaignState
from fieldlab.notebook.progress import Rate, progress_text, shown_state, total_of

if TYPE_CHECKING:
    from fieldlab.app import Lab
    from fieldlab.notebook.picture import ProgressMap
    from fieldlab.ports.store import Campaign

#: running trials that are listed
MOST_RUNNING = 5
#: pauses are at least so many times as long as a look took
PATIENCE = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A campaign as it was at one look: text, or HTML in a notebook."""

    campaign: Campaign
    state: str
    #: how many failed, how fast it goes, how long it will take
    pace: str
    #: names of trials that run
    running: Sequence[str]
    #: SVG; empty where there is nothing to draw
    picture: str

    def __repr__(self) -> str:
        said = [progress_text(self.campaign), self.pace]
        line = f"{self.campaign.name}: {self.state}, {', '.join(each for each in said if each)}"
        return f"{line} ({self.campaign.note})" if self.campaign.note else line

    def _repr_html_(self) -> str:
        campaign, total = self.campaign, total_of(self.campaign)
        lines = [
            f"<strong>{escape(campaign.name)}</strong> {escape(self.state)}"
            f" <em>{escape(campaign.note)}</em>",
            f'<progress max="{total}" value="{campaign.done}" style="width:20em"></progress>'
            if total
            else "",
            escape(", ".join(each for each in (progress_text(campaign), self.pace) if each)),
            f"running: {escape(', '.join(self.running))}" if self.running else "",
            self.picture,
        ]
        return "".join(f"<div>{line}</div>" for line in lines if line)


class Screen(Protocol):
    """Shows views, each in the place of the one before."""

    def show(self, view: View) -> None: ...


class NotebookScreen:
    """One output of a notebook's cell, redrawn in place."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, view: View) -> None:
        from IPython.display import display

        if self._handle is None:
            self._handle = display(view, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(view)


class TextScreen:
    """Lines on standard output, one whenever something has changed."""

    def __init__(self) -> None:
        self._last = ""

    def show(self, view: View) -> None:
        changed = f"{view.state} {view.campaign.done}"
        if changed != self._last:
            sys.stdout.write(f"{view!r}\n")
            sys.stdout.flush()
        self._last = changed


def watch(lab: Lab, name: str, *, every_s: float, for_s: float | None) -> None:
    """Show a campaign until it is over or the time is; see LabReader.watch."""
    campaign = lab.find(name)
    in_notebook = is_notebook()
    screen: Screen = NotebookScreen() if in_notebook else TextScreen()
    drawn = _map_of(lab, campaign) if in_notebook else None
    rate = Rate()
    end = None if for_s is None else time.monotonic() + for_s
    while True:
        began = time.monotonic()
        engines = lab.engines_alive(campaign)
        # read afterwards: one that has just finished isn't taken for interrupted then
        campaign = lab.store.campaign(campaign.id)
        rate.see(campaign)
        screen.show(_look(lab, campaign, engines, rate, drawn))
        now = time.monotonic()
        if not engines or (end is not None and now >= end):
            return
        pause = max(every_s, PATIENCE * (now - began))
        time.sleep(pause if end is None else min(pause, end - now))


def is_notebook() -> bool:
    """Whether a notebook's kernel runs this, and not a terminal or a script."""
    shell = sys.modules.get("IPython")
    return shell is not None and hasattr(shell.get_ipython(), "kernel")


def _map_of(lab: Lab, campaign: Campaign) -> ProgressMap | None:
    from fieldlab.notebook.picture import MOST_POSITIONS, progress_map

    if campaign.positions is None or campaign.positions > MOST_POSITIONS:
        return None
    return progress_map(lab.sequence(campaign.definition))


def _look(
    lab: Lab, campaign: Campaign, engines: int, rate: Rate, drawn: ProgressMap | None
) -> View:
    from fieldlab.store import queries

    goes = engines and campaign.state is CampaignState.RUNNING
    failed = f"{campaign.failed:,} failed" if campaign.failed else ""
    with lab.database.read() as connection:
        running = queries.running_attempts(connection, campaign, limit=MOST_RUNNING)
        counts = queries.point_counts(connection, campaign) if drawn else []
    return View(
        campaign=campaign,
        state=shown_state(campaign, engines),
        pace=rate.describe(campaign) if goes else failed,
        running=[trial_name(each.parameters, each.repeat) for each in running if engines],
        picture=drawn.svg(counts) if drawn else "",
    )
