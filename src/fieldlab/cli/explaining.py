"""Why things are as they are: `explain`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fieldlab.cli.campaign_views import (
    CampaignView,
    campaign_document,
    counts_text,
    look,
    next_steps,
    note_text,
)
from fieldlab.cli.journal import DIGITS, attempt_document, folder_of, steps_lines, took
from fieldlab.cli.labs import Name, opened
from fieldlab.cli.origins import (
    code_texts,
    origin_document,
    origin_lines,
    people_texts,
    place_text,
)
from fieldlab.cli.output import Json, counted, joined, local_time, show, show_facts, write_json
from fieldlab.cli.trial_words import TrialWords, Untouched, find_trial
from fieldlab.domain.durations import format_duration
from fieldlab.domain.ids import trial_name
from fieldlab.domain.trials import STOPPED, AttemptState, CampaignState, TrialState
from fieldlab.notebook.progress import progress_text

if TYPE_CHECKING:
    from fieldlab.app import Lab
    from fieldlab.cli.whereabouts import Whereabouts
    from fieldlab.domain.provenance import Origin
    from fieldlab.ports.store import Campaign
    from fieldlab.store.extracts import Failure, FailureKind, Waiting
    from fieldlab.store.host_views import HostEvent
    from fieldlab.store.queries import AttemptView, EventView, TrialView

#: trials that are listed of those that run
LISTED = 5
#: lines of an error that are shown of each kind of failure
ERROR_LINES = 12
#: of these, from its beginning
FIRST_LINES = 4
#: characters that are shown of each of these lines
LINE_WIDTH = 400


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)


def explain(name: Name, trial: TrialWords = None, json: Json = False) -> None:
    """Say why a campaign or a trial is as it is, and what to do next."""
    with opened() as lab:
        campaign = lab.find(name)
        view = look(lab, campaign)
        if not trial:
            _explain_campaign(lab, view, json=json)
            return
        sequence = lab.sequence(campaign.definition)
        with lab.database.read() as connection:
            found = find_trial(connection, campaign, sequence.names, trial)
        if isinstance(found, Untouched):
            from fieldlab.cli.whereabouts import whereabouts

            place = whereabouts(campaign, sequence, found.readings, found.repeat)
            _explain_untouched(view, place, found.repeat, json=json)
        else:
            _explain_trial(lab, view, found, json=json)


# --- a campaign --------------------------------------------------------------------------------


def _explain_campaign(lab: Lab, view: CampaignView, *, json: bool) -> None:
    from fieldlab.cli.campaign_hosts import hosts_of
    from fieldlab.store import extracts, provenances, queries

    campaign = view.campaign
    assert view.activity is not None
    hosts = hosts_of(lab, campaign)
    why = joined([_why(view), hosts.waited_for(view)], "; ")
    with lab.database.read() as connection:
        events = queries.events_of(connection, "campaign", campaign.id)
        waiting = extracts.waiting_trials(connection, campaign)
        newest = queries.newest_attempts(connection, campaign, limit=LISTED)
        failures = extracts.failure_kinds(connection, campaign, limit=LISTED)
        origins = provenances.origins_in(connection, campaign)
    running = [each for each in newest if each.ended_at is None]
    steps = [step for step in next_steps(view) if not step.startswith("fieldlab explain")]
    if json:
        write_json(
            {
                **campaign_document(lab, view),
                "why": why,
                "events": [asdict(each) for each in events],
                **hosts.document(),
                "running_trials": [attempt_document(each) for each in running],
                "waiting": asdict(waiting),
                "failures": [_failure_document(each) for each in failures],
                "origins": [origin_document(each) for each in origins],
                "next": steps,
            }
        )
        return
    show_facts(
        [
            ("campaign", campaign.name),
            ("state", f"{view.state}: {why}"),
            ("trials", f"{progress_text(campaign)} done; {counts_text(view)}"),
            ("running", "\n".join(_running_lines(running, view.activity.running))),
            ("waiting", _waiting_text(waiting, submitted=campaign.definition.takes_points)),
            ("hosts", "\n".join(hosts.lines())),
            ("code", "\n".join(code_texts(origins))),
            ("run by", "\n".join(people_texts(origins))),
            ("history", "\n".join(_story([*events, *hosts.events]))),
        ]
    )
    for each in failures:
        show("\n".join(["", *_failure_lines(each)]))
    _show_steps(steps)


def _why(view: CampaignView) -> str:
    """Say in a sentence why the campaign is in its state."""
    campaign = view.campaign
    if view.state == CampaignState.CREATED:
        return "it hasn't been run yet"
    if view.state == CampaignState.RUNNING:
        return f"{counted(view.engines, 'process', 'processes')} at work"
    if campaign.state is CampaignState.RUNNING:
        return "no process works on it; the last one ended without saying so"
    if view.state == CampaignState.FINISHED:
        queued = view.activity.queued if view.activity else 0
        return f"{counted(queued, 'trial')} queued since" if queued else "nothing is left to run"
    return note_text(campaign) or "nobody said why"


def _running_lines(running: Sequence[AttemptView], number: int) -> list[str]:
    lines = [f"{_named(each)} ({took(each)})" for each in running]
    return lines + ([f"and {number - len(running):,} more"] if number > len(running) else [])


def _named(attempt: AttemptView | Failure | TrialView) -> str:

    text = trial_name(attempt.parameters, attempt.repeat)
    return f"{attempt.fingerprint[:DIGITS]} {text}"


def _waiting_text(waiting: Waiting, *, submitted: bool) -> str:
    if not waiting.count:
        return ""
    what = "submitted, or to be tried again" if submitted else "to be tried again"
    text = f"{counted(waiting.count, 'trial')} {what}"
    if waiting.next_due_at is None:
        return f"{text}, as soon as there is a free slot"
    some = f"{waiting.later:,} of them " if waiting.later < waiting.count else ""
    return f"{text}, {some}not before {_due(waiting.next_due_at)}"


def _due(moment: datetime) -> str:
    left_s = (moment - datetime.now().astimezone()).total_seconds()
    in_ = f" (in {format_duration(left_s)})" if left_s > 0 else ""
    return f"{local_time(moment)}{in_}"


def _event_line(event: EventView, actor: str = "") -> str:
    step = f"{event.source} → {event.target}" if event.source else event.target
    if event.source == event.target:
        step = f"still {event.target}"
    host = getattr(event, "host", "")
    step = f"{host}: {step}" if host else step
    words = [local_time(event.at), step, f"by {actor or _actor(event)}", event.reason]
    return "  ".join(word for word in words if word)


def _story(events: Sequence[EventView | HostEvent]) -> list[str]:
    """Write the steps of a campaign and of its hosts, in their order."""
    return [_event_line(each) for each in sorted(events, key=lambda each: each.at)]


def _actor(event: EventView) -> str:
    """Name who did it: a person, or an engine by the end of its id."""
    parts = event.actor.split("-")
    return f"engine …{parts[-1][-6:]}" if len(parts) == 5 else event.actor


def _failure_lines(kind: FailureKind) -> list[str]:
    lines = [f"{counted(kind.count, 'trial')} failed with: {kind.title or 'no status'}"]
    lines.append(f"  such as {_named(kind.example)}")
    return lines + [f"    {each}" for each in _shortened(kind.example.error)]


def _shortened(text: str) -> list[str]:
    """Show how a reason begins and how it ends: what is wrong, and what was said last.

    Command lines and other long ones in between are cut.
    """
    from fieldlab.cli.tables import shortened

    lines = [shortened(line, LINE_WIDTH) for line in text.rstrip().splitlines()]
    if len(lines) <= ERROR_LINES:
        return lines
    return [*lines[:FIRST_LINES], "…", *lines[FIRST_LINES + 1 - ERROR_LINES :]]


def _failure_document(kind: FailureKind) -> dict[str, Any]:
    example = asdict(kind.example) | {"parameters": _loads(kind.example.parameters)}
    return {"status": kind.title, "count": kind.count, "example": example}


def _loads(text: str) -> Any:
    from json import loads

    return loads(text)


def _show_steps(steps: Iterable[str]) -> None:
    listed = [f"  {step}" for step in steps]
    if listed:
        show("\n".join(["", "Next:", *listed]))


# --- a trial -----------------------------------------------------------------------------------


def _explain_trial(lab: Lab, view: CampaignView, trial: TrialView, *, json: bool) -> None:
    from fieldlab.store.provenances import origins_of

    campaign = view.campaign
    with lab.database.read() as connection:
        origins = origins_of(
            connection, {each.engine_id for each in trial.attempts if each.engine_id}
        )
    engines = {id_: place_text(origin) for id_, origin in origins.items()}
    owner = lab.store.campaign(trial.campaign_id)
    folders = {each.number: folder_of(lab, campaign, each) for each in trial.attempts}
    steps = _steps_of(view, trial, folders)
    if json:
        write_json(
            {
                **asdict(trial),
                "parameters": _loads(trial.parameters),
                "campaign": owner.name,
                "why": _why_trial(view, owner, trial),
                "attempts": [
                    {
                        **attempt_document(each),
                        "engine": engines.get(each.engine_id or ""),
                        "origin": origin_document(origin)
                        if (origin := origins.get(each.engine_id or ""))
                        else None,
                        "folder": folders[each.number],
                    }
                    for each in trial.attempts
                ],
                "next": steps,
            }
        )
        return
    show_facts(
        [
            ("trial", _named(trial)),
            ("fingerprint", trial.fingerprint),
            ("state", f"{trial.state}: {_why_trial(view, owner, trial)}"),
            ("position", f"{trial.position + 1:,} in {owner.name}"),
            ("history", "\n".join(_history(trial, engines))),
        ]
    )
    for each in trial.attempts:
        show("\n".join(["", *attempt_lines(each, origins, folders[each.number])]))
    _show_steps(steps)


def _why_trial(view: CampaignView, owner: Campaign, trial: TrialView) -> str:
    campaign = view.campaign
    tries = counted(len(trial.attempts), "attempt")
    last = trial.attempts[-1].status if trial.attempts else ""
    match trial.state:
        case TrialState.QUEUED if not trial.attempts:
            idle = "" if view.engines else f"; but no process works on {campaign.name}"
            why = f"submitted, and run as soon as there is a free slot{idle}"
        case TrialState.QUEUED if not view.engines:
            why = f"to be tried again after {tries}; but no process works on {campaign.name}"
        case TrialState.QUEUED if trial.due_at and trial.due_at > datetime.now().astimezone():
            why = f"to be tried again after {tries}, not before {_due(trial.due_at)}"
        case TrialState.QUEUED:
            why = f"to be tried again after {tries}, as soon as there is a free slot"
        case TrialState.RUNNING if not view.engines:
            why = "its process died with it; `fieldlab resume` tries it again"
        case TrialState.RUNNING:
            why = f"attempt {len(trial.attempts)} is at work"
        case TrialState.FAILED:
            reason = next((each.reason for each in reversed(trial.events) if each.reason), "")
            why = f"{last} after {tries}" + (f"; {reason}" if reason else "")
        case TrialState.CANCELLED:
            why = trial.events[-1].reason or "it was cancelled with its campaign"
        case _:
            why = f"with {tries}"
    if owner.id != campaign.id:
        why += f"; {owner.name} ran it, so {campaign.name} need not"
    return why


def _history(trial: TrialView, engines: dict[str, str]) -> list[str]:
    return [_event_line(each, engines.get(each.actor, "")) for each in trial.events]


def attempt_lines(
    attempt: AttemptView, origins: dict[str, Origin], folder: Path | None
) -> list[str]:
    """Write what came of an attempt, and where: a line to a fact, a line to a step on hosts."""
    head = f"Attempt {attempt.number}: {attempt.status or attempt.state}"
    fault = f", a fault of the {attempt.failure}" if attempt.failure else ""
    if attempt.state == AttemptState.LOST and attempt.status == STOPPED:
        fault = " with its process: somebody ended that, or it couldn't go on; it is no failure"
    lines = [f"{head}{fault}"]
    lines.append(f"  began {local_time(attempt.started_at)}, {took(attempt)}")
    if attempt.hosts:
        lines.append(f"  on {attempt.hosts.replace(',', ', ')}")
        lines += [f"    {each}" for each in steps_lines(attempt)]
    if attempt.engine_id in origins:
        lines += [f"  {each}" for each in origin_lines(origins[attempt.engine_id])]
    if attempt.exit_code is not None:
        lines.append(f"  exit code {attempt.exit_code}")
    lines += [f"    {each}" for each in (attempt.error or "").rstrip().splitlines()]
    if folder is not None:
        lines.append(f"  files in {folder}")
    return lines


def _steps_of(view: CampaignView, trial: TrialView, folders: dict[int, Path | None]) -> list[str]:
    name, digits = view.campaign.name, trial.fingerprint[:DIGITS]
    steps = []
    if any(folders.values()):
        steps.append(f"fieldlab logs {name} {digits}")
    if trial.state is TrialState.FAILED:
        steps.append(f"fieldlab retry {name}")
    elif trial.state is TrialState.CANCELLED:
        steps.append(f"fieldlab retry {name} --cancelled")
    elif trial.state is not TrialState.SUCCEEDED and not view.engines:
        steps.append(f"fieldlab resume {name}")
    return steps


# --- a trial that nothing has touched ------------------------------------------------------------


def _explain_untouched(view: CampaignView, found: Whereabouts, repeat: int, *, json: bool) -> None:
    from fieldlab.cli.whereabouts import Place
    from fieldlab.domain.ids import canonical, fingerprint

    campaign = view.campaign
    waits = found.place in (Place.AHEAD, Place.TAKEN)
    steps = next_steps(view)[:1] if waits and not view.engines else []
    print_ = fingerprint(found.point, repeat)
    if json:
        write_json(
            {
                "parameters": found.point,
                "repeat": repeat,
                "fingerprint": print_,
                "state": TrialState.PLANNED if waits else None,
                "place": found.place,
                "why": found.why,
                "position": found.position,
                "cursor": campaign.cursor,
                "positions": campaign.positions,
                "next": steps,
            }
        )
        return
    idle = waits and not view.engines
    show_facts(
        [
            ("trial", trial_name(canonical(found.point), repeat)),
            ("fingerprint", print_),
            ("state", f"{found.place.value}: {found.why}"),
            ("campaign", f"{campaign.name} is {view.state}: {_why(view)}" if idle else ""),
        ]
    )
    _show_steps(steps)
