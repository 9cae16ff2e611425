"""Commands about campaigns' states: status, pause, cancel."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fieldlab.cli.labs import Name, complete_name, opened
from fieldlab.cli.output import (
    Json,
    counted,
    in_colour,
    joined,
    local_time,
    say,
    show,
    show_facts,
    write_json,
)
from fieldlab.domain.errors import IllegalTransition
from fieldlab.domain.ids import trial_name
from fieldlab.domain.trials import CAMPAIGN, CampaignState
from fieldlab.notebook.progress import left_text, progress_text, rate_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fieldlab.app import Lab
    from fieldlab.cli.campaign_views import CampaignView
    from fieldlab.ports.store import Campaign, EngineSign
    from fieldlab.store.queries import AttemptView

#: running trials that are listed
_MOST_RUNNING = 20
#: states that somebody will ask the reason of
_EXPLAINED = (CampaignState.PAUSED, CampaignState.TRIPPED, CampaignState.CANCELLED)

OptionalName = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME",
        help="An experiment (its newest campaign is meant) or a campaign; all if absent.",
        autocompletion=complete_name,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command()(pause)
    app.command()(cancel)


def status(name: OptionalName = None, json: Json = False) -> None:
    """Show every campaign, or one of them in detail."""
    with opened() as lab:
        if name is not None:
            _show_one(lab, lab.find(name), json)
        else:
            _show_all(lab, json)


def _show_all(lab: Lab, as_json: bool) -> None:
    from fieldlab.cli.campaign_views import campaign_document, look

    views = [look(lab, each, closely=False) for each in lab.store.campaigns()]
    if as_json:
        write_json([campaign_document(lab, each) for each in views])
        return
    if not views:
        say("No campaigns yet. Run one with `fieldlab run FILE`")
        return
    from fieldlab.cli.tables import print_fitted, styled_state

    print_fitted(
        ("name", "state", "done", "failed", "rate", "left", "started"),
        [(each.campaign.name, styled_state(each.state), *_cells(each)) for each in views],
        right=("done", "failed", "rate", "left"),
        spare=("started", "rate", "left"),
    )
    interrupted = [each.campaign.name for each in views if each.state == "interrupted"]
    for campaign in interrupted:
        say(f"{campaign} was interrupted: go on with `fieldlab resume {campaign}`")


def _cells(view: CampaignView) -> tuple[str, ...]:
    campaign, left = view.campaign, view.left_s
    return (
        progress_text(campaign),
        f"{campaign.failed:,}",
        rate_text(view.rate) if view.rate else "",
        "" if left is None else left_text(left).removesuffix(" left"),
        local_time(campaign.started_at)[:16],
    )


def _show_one(lab: Lab, campaign: Campaign, as_json: bool) -> None:
    from fieldlab.cli.campaign_hosts import hosts_of
    from fieldlab.cli.campaign_views import campaign_document, look, results_table
    from fieldlab.store.queries import running_attempts

    view = look(lab, campaign)
    hosts = hosts_of(lab, campaign)
    signs = lab.store.live_engines(campaign.id)
    with lab.database.read() as connection:
        running = running_attempts(connection, campaign, limit=_MOST_RUNNING)
    table = results_table(lab, campaign)
    if as_json:
        write_json(
            campaign_document(lab, view)
            | {
                "results_table": table,
                "database": lab.database.place,
                "live_engines": [_engine_document(each) for each in signs],
                "running_trials": [_running_document(each) for each in running],
                **hosts.document(),
            }
        )
        return
    show(f"{campaign.name}  {in_colour(view.state)}")
    show_facts(
        [
            *_figures(view),
            ("hosts", hosts.wanting(view)),
            *_engines(signs, view),
            *_running(running),
            ("started", local_time(campaign.started_at)),
            ("ended", local_time(campaign.ended_at)),
            ("results", f"table {table} in {lab.database.place}"),
            ("spreadsheet", str(lab.settings.sheet(campaign.name))),
            *_next(view),
        ]
    )


def _figures(view: CampaignView) -> Iterator[tuple[str, str]]:
    from fieldlab.cli.campaign_views import counts_text, failure_lines, note_text

    campaign, activity = view.campaign, view.activity
    yield "why", note_text(campaign) if view.state in _EXPLAINED else ""
    yield "done", f"{progress_text(campaign)}: {counts_text(view)}"
    if activity is not None:
        again = "" if campaign.definition.takes_points else " to be tried again"
        waiting = [
            f"{activity.running:,} running" if activity.running else "",
            f"{activity.queued:,} queued{again}" if activity.queued else "",
        ]
        yield "now", ", ".join(each for each in waiting if each)
    if view.rate:
        left = view.left_s
        yield "rate", rate_text(view.rate) + ("" if left is None else f", {left_text(left)}")
    for place, line in enumerate(failure_lines(view)):
        yield "" if place else "failures", line


def _engines(signs: list[EngineSign], view: CampaignView) -> Iterator[tuple[str, str]]:
    for sign in signs if view.engines else ():
        engine = sign.engine
        yield (
            "engine",
            f"process {engine.pid} on {engine.host}, {counted(engine.slots, 'slot')}",
        )


def _running(attempts: list[AttemptView]) -> Iterator[tuple[str, str]]:
    from fieldlab.domain.durations import format_duration

    for place, each in enumerate(attempts):
        elapsed = format_duration(round(time.time() - each.started_at.timestamp(), 1))
        yield (
            "" if place else "running",
            f"{trial_name(each.parameters, each.repeat)} for {elapsed}",
        )


def _next(view: CampaignView) -> Iterator[tuple[str, str]]:
    from fieldlab.cli.campaign_views import next_steps

    for place, step in enumerate(next_steps(view)):
        yield "" if place else "next", step


def _engine_document(sign: EngineSign) -> dict[str, Any]:
    engine = sign.engine
    return {
        "id": engine.id,
        "host": engine.host,
        "pid": engine.pid,
        "slots": engine.slots,
        "silent_s": sign.silent_s,
    }


def _running_document(attempt: AttemptView) -> dict[str, Any]:
    import json

    return {
        "fingerprint": attempt.fingerprint,
        "parameters": json.loads(attempt.parameters),
        "repeat": attempt.repeat,
        "attempt": attempt.number,
        "started_at": attempt.started_at,
    }


def pause(name: Name, json: Json = False) -> None:
    """Let the running trials end, and start no more.

    It works from any terminal, wherever the campaign runs; `fieldlab resume` goes on.
    """
    _change(name, CampaignState.PAUSED, json)


def cancel(name: Name, json: Json = False) -> None:
    """End a campaign; what is recorded stays.

    The trials that run are ended at once, those that wait are cancelled.
    """
    _change(name, CampaignState.CANCELLED, json)


def _refuse(view: CampaignView, target: CampaignState) -> None:
    """Refuse what can't be done in this state, and say what can."""
    from fieldlab.cli.campaign_views import next_steps

    campaign = view.campaign
    if target not in CAMPAIGN.allowed(campaign.state):
        steps = joined(f"`{each}`" for each in next_steps(view))
        raise IllegalTransition(
            f"{campaign.name} is {campaign.state} and can't be {target}",
            remedy=steps and f"What can be done: {steps}",
        )


def _change(name: str, target: CampaignState, as_json: bool) -> None:
    from fieldlab.cli.campaign_views import campaign_document, look

    with opened() as lab:
        campaign = lab.find(name)
        if campaign.state is not target:
            _refuse(look(lab, campaign), target)
            change = lab.pause if target is CampaignState.PAUSED else lab.cancel
            campaign = change(campaign.name)
        view = look(lab, campaign)
        engines = lab.engines_alive(view.campaign)
        if as_json:
            write_json(campaign_document(lab, view))
            return
    say(f"{campaign.name} is {campaign.state}")
    if engines and target is CampaignState.PAUSED:
        works = "works on it and lets its" if engines == 1 else "work on it and let their"
        say(f"{counted(engines, 'process', 'processes')} {works} running trials end")
    again = (
        f"fieldlab resume {campaign.name}"
        if target is CampaignState.PAUSED
        else f"fieldlab retry {campaign.name} --cancelled"
    )
    say(f"Go on with `{again}`")
