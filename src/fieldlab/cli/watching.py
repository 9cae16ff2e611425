"""The command `watch`: what runs, as it goes, from any terminal."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated

import typer

from fieldlab.cli.labs import opened
from fieldlab.cli.output import Json, is_terminal, joined, say, write_json
from fieldlab.cli.state import OptionalName
from fieldlab.domain.errors import UnknownName
from fieldlab.domain.trials import CampaignState

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fieldlab.app import Lab
    from fieldlab.cli.campaign_views import CampaignView
    from fieldlab.cli.frames import Frame
    from fieldlab.ports.store import Campaign

#: a terminal is redrawn this often, s
REDRAW_S = 1.0
#: how often it is looked whether other campaigns have begun, s
_OTHERS_S = 5.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(watch)


def watch(
    name: OptionalName = None,
    every: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="How often to look: 1s on a terminal, else 10s."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Show how it stands now, and end.")] = False,
    json: Json = False,
) -> None:
    """Watch campaigns as they go, until they stop: progress, machines, what the commands write.

    Without a name it is all that run, or the newest.
    """
    from fieldlab.domain.durations import parse_duration
    from fieldlab.notebook.showing import LINE_S

    live = is_terminal() and not json and os.environ.get("TERM") not in ("dumb", "unknown")
    every_s = (REDRAW_S if live else LINE_S) if every is None else max(parse_duration(every), 0.05)
    with opened() as lab:
        choice = _Choice(lab, name)
        if once:
            _show_once(lab, choice, as_json=json)
        elif live:
            _watch_live(lab, choice, every_s)
        else:
            views = _watch_lines(lab, choice, every_s)
            if json:
                from fieldlab.cli.campaign_views import campaign_document

                write_json(campaign_document(lab, views[-1]))


class _Choice:
    """What is watched: one campaign, or whatever runs, and those that ran when it began."""

    def __init__(self, lab: Lab, name: str | None) -> None:
        self._lab = lab
        self._follows = name is None
        self._chosen = [lab.find(name).id] if name is not None else []
        self._looked_at = -_OTHERS_S

    def campaigns(self) -> list[Campaign]:
        """Read them as they stand, the oldest first."""
        now = time.monotonic()
        if self._follows and now - self._looked_at >= _OTHERS_S:
            self._looked_at = now
            self._follow()
        return [self._lab.store.campaign(each) for each in self._chosen]

    def _follow(self) -> None:
        found = self._lab.store.campaigns()
        if not found:
            raise UnknownName("There is no campaign yet", remedy="Run one with `fieldlab run FILE`")
        running = [
            each
            for each in found
            if each.state is CampaignState.RUNNING and self._lab.engines_alive(each)
        ]
        new = [each.id for each in running if each.id not in self._chosen]
        if not (self._chosen or new):
            interrupted = [each for each in found if each.state is CampaignState.RUNNING]
            new = [(interrupted or found)[-1].id]
        self._chosen += new


def _frame(lab: Lab, choice: _Choice) -> Frame:
    from fieldlab.cli.frames import Frame, watched

    campaigns = [watched(lab, each) for each in choice.campaigns()]
    sites = {
        executor.options.get("site", "")
        for each in campaigns
        if (executor := each.view.campaign.definition.executor).kind == "ssh"
    }
    if not sites:
        return Frame(campaigns=campaigns)
    from fieldlab.store.holding import read_standing

    with lab.database.read() as connection:
        hosts = read_standing(connection)
    named = [each for each in hosts if "" in sites or each.site in sites]
    return Frame(campaigns=campaigns, hosts=named)


def _show_once(lab: Lab, choice: _Choice, *, as_json: bool) -> None:
    from fieldlab.cli.frames import draw, frame_document

    frame = _frame(lab, choice)
    if as_json:
        write_json(frame_document(lab, frame))
        return
    from fieldlab.cli.tables import console

    out = console()
    for line in draw(frame, out.width if out.is_terminal or "COLUMNS" in os.environ else 80):
        out.print(line, no_wrap=True, crop=False, overflow="ignore")


def _watch_lines(lab: Lab, choice: _Choice, every_s: float) -> list[CampaignView]:
    """Write a line for each campaign now and then, and one at the end of each."""
    from fieldlab.cli.campaign_views import look
    from fieldlab.notebook.progress import Rate, progress_text

    rates: dict[int, Rate] = {}
    over: set[int] = set()
    while True:
        views = [look(lab, each) for each in choice.campaigns()]
        for view in views:
            campaign = view.campaign
            rate = rates.setdefault(campaign.id, Rate())
            rate.see(campaign)
            if view.engines:
                over.discard(campaign.id)
                said = [progress_text(campaign), rate.describe(campaign)]
                say(f"{campaign.name}: {joined(said)}")
            elif campaign.id not in over:
                over.add(campaign.id)
                say(f"{campaign.name} is {view.state}: {progress_text(campaign)}")
        if not any(view.engines for view in views):
            return views
        time.sleep(every_s)


def _watch_live(lab: Lab, choice: _Choice, every_s: float) -> None:
    """Keep one view on the screen up to date; how it ended stays there."""
    from rich.live import Live

    from fieldlab.cli.tables import console

    screen = console(stderr=True)
    frame = None
    try:
        # a screen of its own: nothing is left of a frame that was drawn for another size
        with Live(console=screen, auto_refresh=False, screen=True) as live:
            while True:
                frame = _frame(lab, choice)
                live.update(_drawn(frame, screen.width, screen.height), refresh=True)
                if not any(each.view.engines for each in frame.campaigns):
                    break
                time.sleep(every_s)
    finally:
        if frame is not None:
            screen.print(_drawn(frame, screen.width, None))


def _drawn(frame: Frame, width: int, height: int | None) -> RenderableType:
    from rich.console import Group

    from fieldlab.cli.frames import draw

    return Group(*draw(frame, width, height))
