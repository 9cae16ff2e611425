"""What a run says when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fieldlab.cli.campaign_views import (
    CampaignView,
    campaign_document,
    counts_text,
    next_steps,
    results_table,
)
from fieldlab.cli.earlier import retry_text
from fieldlab.cli.output import counted, joined, say
from fieldlab.domain.durations import format_duration
from fieldlab.domain.trials import CampaignState
from fieldlab.notebook.progress import rate_text, total_of

if TYPE_CHECKING:
    from fieldlab.app import Lab


def say_nothing_to_do(view: CampaignView) -> None:
    """Say that a finished campaign has nothing left."""
    campaign = view.campaign
    text = f"Nothing to do: all {counted(campaign.done, 'trial')} of {campaign.name} are recorded"
    failed = {campaign.name: campaign.failed} if campaign.failed else {}
    failed |= view.failed_before
    if failed:
        text += f"; {retry_text(failed)} for the {sum(failed.values()):,} failed"
    say(text)


def ending_document(
    lab: Lab, view: CampaignView, duration_s: float, attempts: int, *, interrupted: bool = False
) -> dict[str, Any]:
    """Write for programs how a run ended."""
    return campaign_document(lab, view) | {
        "interrupted": interrupted,
        "run": {
            "duration_s": duration_s,
            "attempts": attempts,
            "rate_per_s": attempts / duration_s if duration_s else 0.0,
        },
        "results_table": results_table(lab, view.campaign),
        "database": lab.database.place,
    }


def say_ending(
    lab: Lab, view: CampaignView, duration_s: float, attempts: int, *, interrupted: bool
) -> None:
    """Tell people how a run ended, where things are, and what to do next."""
    pace = joined(
        [
            format_duration(duration_s),
            rate_text(attempts / duration_s) if attempts and duration_s else "",
        ]
    )
    say(f"{_headline(view, interrupted)} ({pace})")
    for name, said in _details(lab, view):
        say(f"  {name:<12}{said}")


def _headline(view: CampaignView, interrupted: bool) -> str:
    campaign = view.campaign
    total = total_of(campaign)
    counts = counts_text(view)
    of = "" if total is None or total == campaign.done else f" of {total:,}"
    if campaign.state is CampaignState.FINISHED:
        return f"{campaign.name} is finished: {counts}"
    if campaign.state is CampaignState.TRIPPED:
        return (
            f"{campaign.name} was paused by its guard: {campaign.note}; {campaign.done:,}{of}"
            f" done: {counts}"
        )
    if campaign.state is CampaignState.RUNNING:
        return f"{campaign.name} goes on elsewhere; {campaign.done:,}{of} done: {counts}"
    how = "was interrupted" if interrupted else f"is {campaign.state}"
    return f"{campaign.name} {how}; {campaign.done:,}{of} done: {counts}"


def _details(lab: Lab, view: CampaignView) -> Iterator[tuple[str, str]]:
    campaign = view.campaign
    failures = view.activity.failures if view.activity else ()
    for place, (status, number) in enumerate(failures):
        yield "" if place else "failures", f"{number:,} × {status}"
    table = results_table(lab, campaign)
    yield "results", f"table {table} in {lab.database.place}"
    yield "spreadsheet", str(lab.settings.sheet(campaign.name))
    for place, step in enumerate(next_steps(view)):
        yield "" if place else "next", step
