"""The command `watch`: a campaign as it goes, from any terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from fieldlab.cli.labs import opened
from fieldlab.cli.output import Json, is_terminal, joined, write_json
from fieldlab.cli.state import OptionalName
from fieldlab.domain.errors import UnknownName
from fieldlab.domain.ids import trial_name
from fieldlab.domain.trials import CampaignState

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from fieldlab.app import Lab
    from fieldlab.cli.campaign_views import CampaignView
    from fieldlab.ports.store import Campaign
    from fieldlab.store.queries import AttemptView

#: a terminal is redrawn this often, s
REDRAW_S = 1.0
#: attempts in the strip of the latest
_STRIP = 60
#: running trials that are shown
_MOST_RUNNING = 10
_SIGNS = {"succeeded": ("●", "green"), "failed": ("✗", "red"), "lost": ("?", "yellow")}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(watch)


def watch(
    name: OptionalName = None,
    every: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="How often to look: 1s on a terminal, else 10s."),
    ] = None,
    json: Json = False,
) -> None:
    """Watch a campaign as it goes, until it stops.

    Without a name it is the newest that runs.
    """
    from fieldlab.cli.campaign_views import campaign_document
    from fieldlab.domain.durations import parse_duration
    from fieldlab.notebook.showing import LINE_S

    live = is_terminal() and not json
    every_s = (REDRAW_S if live else LINE_S) if every is None else max(parse_duration(every), 0.05)
    with opened() as lab:
        campaign = lab.find(name) if name is not None else _newest(lab)
        view = _watch_live(lab, campaign, every_s) if live else _watch_lines(lab, campaign, every_s)
        if json:
            write_json(campaign_document(lab, view))


def _newest(lab: Lab) -> Campaign:
    """Choose what to watch: the newest campaign that runs, or the newest."""
    campaigns = lab.store.campaigns()
    running = [each for each in campaigns if each.state is CampaignState.RUNNING]
    if not campaigns:
        raise UnknownName("There is no campaign yet", remedy="Run one with `fieldlab run FILE`")
    return (running or campaigns)[-1]


def _is_over(view: CampaignView) -> bool:
    return not view.engines


def _watch_lines(lab: Lab, campaign: Campaign, every_s: float) -> CampaignView:
    """Write a line now and then, and one at the end."""
    from fieldlab.cli.campaign_views import look
    from fieldlab.cli.output import say
    from fieldlab.notebook.progress import Rate, progress_text

    rate = Rate()
    while True:
        view = look(lab, lab.store.campaign(campaign.id))
        rate.see(view.campaign)
        if _is_over(view):
            say(f"{view.campaign.name} is {view.state}: {progress_text(view.campaign)}")
            return view
        said = [progress_text(view.campaign), rate.describe(view.campaign)]
        say(f"{view.campaign.name}: {joined(said)}")
        time.sleep(every_s)


def _watch_live(lab: Lab, campaign: Campaign, every_s: float) -> CampaignView:
    """Keep one view on the screen up to date."""
    from rich.live import Live

    from fieldlab.cli.campaign_views import look
    from fieldlab.cli.tables import console
    from fieldlab.notebook.progress import Rate

    rate = Rate()
    with Live(console=console(stderr=True, margin=4), auto_refresh=False) as screen:
        while True:
            view = look(lab, lab.store.campaign(campaign.id))
            rate.see(view.campaign)
            screen.update(_drawn(lab, view, rate.describe(view.campaign)), refresh=True)
            if _is_over(view):
                return view
            time.sleep(every_s)


def _drawn(lab: Lab, view: CampaignView, pace: str) -> Table:
    from rich.progress_bar import ProgressBar

    from fieldlab.cli.tables import facts, styled_state
    from fieldlab.notebook.progress import progress_text, total_of
    from fieldlab.store.queries import ended_attempts, running_attempts

    campaign = view.campaign
    with lab.database.read() as connection:
        latest = ended_attempts(connection, campaign, limit=_STRIP)
        running = running_attempts(connection, campaign, limit=_MOST_RUNNING)
    heading = styled_state(view.state)
    heading.pad_left(2)
    total = total_of(campaign)
    bar = ProgressBar(
        total=total, completed=campaign.done, pulse=total is None and bool(view.engines)
    )
    return facts(
        [
            (campaign.name, styled_state(view.state)),
            ("done", joined([progress_text(campaign), pace])),
            ("", bar),
            ("latest", _strip(latest)),
            *_running_lines(running),
            ("why", campaign.note if not view.engines else ""),
        ]
    )


def _strip(latest: list[AttemptView]) -> Text:
    """Draw how the latest attempts ended, the newest to the right."""
    from rich.text import Text

    return Text.assemble(*(_SIGNS.get(each.state, ("·", "dim")) for each in reversed(latest)))


def _running_lines(running: list[AttemptView]) -> list[tuple[str, str]]:
    from fieldlab.domain.durations import format_duration

    now = time.time()
    return [
        (
            "" if place else "running",
            f"{trial_name(each.parameters, each.repeat)}"
            f" for {format_duration(round(now - each.started_at.timestamp()))}",
        )
        for place, each in enumerate(running)
    ]
