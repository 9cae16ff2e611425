"""What commands say about a campaign: its numbers, how far it is, what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fieldlab.cli.earlier import failed_before, of_them_failed, retries
from fieldlab.cli.output import counted, joined
from fieldlab.domain.trials import CampaignState
from fieldlab.notebook.progress import (
    INTERRUPTED,
    is_bound,
    shown_state,
    total_of,
)

if TYPE_CHECKING:
    from fieldlab.app import Lab
    from fieldlab.ports.store import Campaign
    from fieldlab.store.queries import Activity


#: how the note of a campaign begins that was paused because they don't answer
_TOO_FEW_HOSTS = "Too few hosts"


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignView:
    """A campaign with what goes on in it."""

    campaign: Campaign
    #: processes that work on it
    engines: int
    #: None where it wasn't looked up
    activity: Activity | None
    #: failed trials that it leaves to other campaigns of the experiment: their names → how many
    failed_before: Mapping[str, int] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """Its state for people: running without an engine is interrupted."""
        return shown_state(self.campaign, self.engines)

    @property
    def rate(self) -> float:
        """Attempts that end in a second at the moment."""
        return self.activity.rate if self.activity and self.engines else 0.0

    @property
    def left_s(self) -> float | None:
        """Time until the end at this rate, s; None when nobody can say."""
        total = total_of(self.campaign)
        if total is None or not self.rate or is_bound(self.campaign):
            return None
        return max(total - self.campaign.done, 0) / self.rate


def look(lab: Lab, campaign: Campaign, *, closely: bool = True) -> CampaignView:
    """Look at a campaign, in time that doesn't grow with its trials.

    Parameters
    ----------
    closely
        Look into one that isn't running too.
    """
    from fieldlab.store.queries import activity

    running = campaign.state is CampaignState.RUNNING
    if not (running or closely):
        return CampaignView(campaign=campaign, engines=0, activity=None)
    engines = lab.engines_alive(campaign)
    with lab.database.read() as connection:
        found = activity(connection, campaign)
    failed = failed_before(lab, campaign) if campaign.skipped and closely else {}
    return CampaignView(campaign=campaign, engines=engines, activity=found, failed_before=failed)


def counts_text(view: CampaignView) -> str:
    """Say how the trials ended: ``3,190 trials succeeded, 10 failed``."""
    campaign = view.campaign
    failed = of_them_failed(campaign.skipped, view.failed_before)
    return joined(
        [
            f"{counted(campaign.succeeded, 'trial')} succeeded",
            f"{campaign.failed:,} failed" if campaign.failed else "",
            f"{campaign.cancelled:,} cancelled" if campaign.cancelled else "",
            f"{campaign.skipped:,} were recorded before{failed}" if campaign.skipped else "",
        ]
    )


def failure_lines(view: CampaignView) -> list[str]:
    """Say how failed trials ended, kind by kind: ``300 × ValueError``."""
    failures = view.activity.failures if view.activity else ()
    lines = [f"{each.number:,} × {each.title or 'no status'}" for each in failures]
    others = view.campaign.failed - sum(each.number for each in failures)
    return [*lines, f"and {others:,} more of other kinds"] if lines and others > 0 else lines


def waits_for_hosts(campaign: Campaign) -> bool:
    """Whether a campaign is paused until enough hosts answer; its process may wait for them."""
    paused = campaign.state is CampaignState.PAUSED
    return paused and campaign.note.startswith(_TOO_FEW_HOSTS)


def note_text(campaign: Campaign) -> str:
    """Say why a campaign has stopped, and what it goes on by if not by a command."""
    if not waits_for_hosts(campaign):
        return campaign.note
    return (
        f"{campaign.note}. It goes on by itself when they are back, as long as its process runs;"
        f" if that has ended, `fieldlab resume {campaign.name}` goes on"
    )


def next_steps(view: CampaignView) -> list[str]:
    """Write the commands that go on from here."""
    campaign = view.campaign
    name = campaign.name
    steps = []
    if waits_for_hosts(campaign):
        site = campaign.definition.executor.options.get("site", "")
        steps.append(f"fieldlab site check {site}".rstrip())
    if view.state in (INTERRUPTED, CampaignState.PAUSED, CampaignState.TRIPPED):
        steps.append(f"fieldlab resume {name}")
    elif view.state == CampaignState.CREATED:
        steps.append(f"fieldlab run {name}")
    elif view.state == CampaignState.RUNNING:
        steps.append(f"fieldlab watch {name}")
    elif view.activity and view.activity.queued:
        steps.append(f"fieldlab resume {name}")
    elif view.state == CampaignState.CANCELLED:
        steps.append(f"fieldlab retry {name} --cancelled")
    if campaign.failed:
        steps.append(f"fieldlab explain {name}")
    if campaign.failed and campaign.state is not CampaignState.CANCELLED:
        steps.append(f"fieldlab retry {name}")
    steps += retries(view.failed_before)
    if campaign.succeeded:
        steps.append(f"fieldlab results {name}")
    return steps


def campaign_document(lab: Lab, view: CampaignView) -> dict[str, Any]:
    """Write a campaign for programs."""
    campaign = view.campaign
    plain = {name: getattr(campaign, name) for name in ("name", "experiment", "version", "number")}
    counts = {
        name: getattr(campaign, name)
        for name in ("done", "succeeded", "failed", "cancelled", "skipped", "excluded", "attempts")
    }
    moments = {name: getattr(campaign, name) for name in ("created_at", "started_at", "ended_at")}
    document = {
        **plain,
        "state": view.state,
        "total": None if is_bound(campaign) else total_of(campaign),
        "at_most": total_of(campaign),
        **counts,
        "failed_before": view.failed_before,
        "consecutive_failures": campaign.consecutive_failures,
        "engines": view.engines,
        "rate_per_s": view.rate,
        "left_s": view.left_s,
        **moments,
        "note": campaign.note,
        "sheet": str(lab.settings.sheet(campaign.name)),
    }
    if view.activity is not None:
        document |= {
            "running": view.activity.running,
            "queued": view.activity.queued,
            "failures": [
                {"status": each.title, "count": each.number} for each in view.activity.failures
            ],
        }
    return document


def results_table(lab: Lab, campaign: Campaign) -> str:
    """Name the database's table that holds the results of a campaign's experiment."""
    from fieldlab.store.sql_store import results_of

    with lab.database.read() as connection:
        return results_of(connection, campaign).name
