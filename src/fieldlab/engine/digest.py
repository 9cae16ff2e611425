"""What is told of campaigns, hosts and disks, and how many things become one message."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fieldlab.domain.durations import format_duration
from fieldlab.domain.errors import HostsLost, sentences
from fieldlab.domain.messages import Envelope
from fieldlab.domain.notifying import DISK_TOPIC, PROGRESS_TOPIC
from fieldlab.domain.sites import HostState
from fieldlab.domain.trials import CampaignState
from fieldlab.ports.notifier import Notice, Urgency
from fieldlab.ports.store import Campaign

#: things that one message tells in full; it says how many more there are
MOST_LINES = 50
#: kinds of things that a title names
_MOST_HEADLINES = 3
_SEVERITY = (Urgency.INFO, Urgency.SUCCESS, Urgency.WARNING, Urgency.FAILURE)
_VERBS = {CampaignState.TRIPPED: "stopped by its guard"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One thing to tell."""

    #: what it is about: of two about the same, the later one is told
    subject: str
    #: in a few words; how several of them are said, with their number in front
    headline: str
    several: str
    #: in a line
    text: str
    urgency: Urgency = Urgency.INFO
    #: Unix time, s
    at: float


def campaign_report(envelope: Envelope, campaign: Campaign) -> Report:
    """Tell of a step that a campaign took, or how far it is."""
    name, at = campaign.name, envelope.sent_at
    subject = f"campaign {campaign.id}"
    if envelope.topic == PROGRESS_TOPIC:
        said = f"{envelope.body['percent']} % done"
        text = f"{name} is {said}: {_counts(campaign)}"
        return Report(
            subject=subject, headline=f"{name} {said}", several="campaigns go on", text=text, at=at
        )
    state = CampaignState(envelope.body["state"])
    verb = _VERBS.get(state, state.value)
    reason = str(envelope.body.get("reason") or "")
    urgency = Urgency.INFO
    remedy = f"Go on with `fieldlab resume {name}`"
    if state is CampaignState.FINISHED:
        urgency = Urgency.WARNING if campaign.failed else Urgency.SUCCESS
        remedy = f"See why with `fieldlab explain {name}`" if campaign.failed else ""
    elif state is CampaignState.TRIPPED:
        urgency = Urgency.FAILURE
        remedy = f"See why with `fieldlab explain {name}`, and go on with `fieldlab resume {name}`"
    elif state is CampaignState.CANCELLED:
        remedy = ""
    elif state is CampaignState.PAUSED and reason.startswith(HostsLost.opening):
        urgency = Urgency.WARNING
        remedy = "It goes on by itself when they are back"
    first = f"{name} {verb}: {'; '.join(filter(None, [reason, _counts(campaign)]))}"
    return Report(
        subject=subject,
        headline=f"{name} {verb}",
        several=f"campaigns {verb.replace('its', 'their')}",
        text=sentences(first, remedy),
        urgency=urgency,
        at=at,
    )


def _counts(campaign: Campaign) -> str:
    known = [each for each in (campaign.total, campaign.wanted) if each is not None]
    of = f" of {min(known):,}" if known and min(known) != campaign.done else ""
    said = [f"{campaign.done:,}{of} trials done"]
    said += [f"{campaign.failed:,} failed"] if campaign.failed else []
    if campaign.started_at is not None and campaign.ended_at is not None:
        took_s = (campaign.ended_at - campaign.started_at).total_seconds()
        said.append(f"in {format_duration(max(round(took_s), 1))}")
    return ", ".join(said)


def host_report(envelope: Envelope, name: str) -> Report | None:
    """Tell that a host is lost or back; nothing if it had only been put aside for a moment."""
    body: dict[str, Any] = envelope.body
    reason = str(body.get("reason") or "")
    is_lost = body["state"] == HostState.LOST
    if not is_lost and body.get("from") == HostState.QUARANTINED:
        return None
    verb = "lost" if is_lost else "back"
    return Report(
        subject=f"host {body['id']}",
        headline=f"host {name} {verb}",
        several=f"hosts {verb}",
        text=f"host {name} is {verb}{f': {reason}' if reason else ''}",
        urgency=Urgency.FAILURE if is_lost else Urgency.SUCCESS,
        at=envelope.sent_at,
    )


def disk_report(envelope: Envelope) -> Report:
    """Tell that a disk is nearly full."""
    where, free = envelope.body["where"], envelope.body["free_bytes"]
    return Report(
        subject=f"disk {where}",
        headline=f"disk nearly full: {where}",
        several="disks nearly full",
        text=f"disk nearly full: {where} has {free / 1e9:,.1f} GB free",
        urgency=Urgency.WARNING,
        at=envelope.sent_at,
    )


def is_disk(envelope: Envelope) -> bool:
    """Whether a message is about a disk."""
    return envelope.topic == DISK_TOPIC


def merged(reports: Iterable[Report]) -> list[Report]:
    """Keep one report a subject, the latest; a host that was lost and is back says both."""
    kept: dict[str, Report] = {}
    for each in sorted(reports, key=lambda report: report.at):
        before = kept.get(each.subject)
        if before is not None and each.several == "campaigns go on" != before.several:
            continue  # how far it was is no news any more
        if before is not None and (before.several, each.several) == ("hosts lost", "hosts back"):
            each = Report(  # noqa: PLW2901 - it takes the place of both
                subject=each.subject,
                headline=each.headline.replace(" back", " lost and back"),
                several="hosts lost and back",
                text=each.text.replace("is back", "was lost and is back", 1),
                urgency=Urgency.WARNING,
                at=each.at,
            )
        kept[each.subject] = each
    return list(kept.values())


def digest(reports: Sequence[Report], place: str) -> Notice:
    """Make one message of what is to be told.

    Parameters
    ----------
    place
        Which lab it is, for the last line.
    """
    told = merged(reports)
    kinds: dict[str, list[Report]] = {}
    for each in told:
        kinds.setdefault(each.several, []).append(each)
    headlines = [
        found[0].headline if len(found) == 1 else f"{len(found)} {several}"
        for several, found in kinds.items()
    ]
    left = len(headlines) - _MOST_HEADLINES
    title = ", ".join(headlines[:_MOST_HEADLINES]) + (f" and {left} more" if left > 0 else "")
    lines = [
        f"{time.strftime('%H:%M', time.localtime(each.at))}  {each.text}"
        for each in told[:MOST_LINES]
    ]
    if len(told) > MOST_LINES:
        lines.append(f"and {len(told) - MOST_LINES:,} more")
    urgency = max((each.urgency for each in told), key=_SEVERITY.index)
    return Notice(
        title=f"fieldlab: {title}", body="\n".join([*lines, "", place]).strip(), urgency=urgency
    )
