"""What a definition would run, compared with what the database has."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import typer

from fieldlab.app.executors import slots_of
from fieldlab.cli.campaign_views import results_table
from fieldlab.cli.earlier import failed_before, retry_text
from fieldlab.cli.labs import opened_if_there
from fieldlab.cli.links import changed_links
from fieldlab.cli.output import counted, local_time
from fieldlab.domain.definition import Definition
from fieldlab.domain.ids import canonical, trial_name
from fieldlab.domain.parameters import TrialSequence
from fieldlab.ports.store import Campaign

if TYPE_CHECKING:
    from fieldlab.app import Lab

#: so many trials are looked up one by one to tell which are missing
MOST_LOOKED_UP = 100_000
#: how many trials of either end are shown
SHOWN = 3
#: positions that are tried to find trials that aren't excluded
_TRIED = 1_000


def summary(definition: Definition, sequence: TrialSequence) -> dict[str, Any]:
    """Say for programs what a definition would run."""
    repeat = sequence.repeat
    return {
        "experiment": definition.name,
        "tool": tool_text(definition),
        "parameters": list(sequence.names),
        "points": None if sequence.total is None else sequence.total // repeat,
        "repeat": repeat,
        "trials": sequence.total,
        "at_most": _at_most(sequence),
        "slots": slots_of(definition),
    }


def _at_most(sequence: TrialSequence) -> int | None:
    bounds = [each for each in (sequence.positions, sequence.limit) if each is not None]
    return min(bounds) if bounds else None


def tool_text(definition: Definition) -> str:
    """Say in a few words what a trial runs."""
    kind, options = definition.tool.kind, definition.tool.options
    if kind == "function":
        return str(options["call"])
    if kind == "command":
        return " ".join(str(word) for word in options["argv"])
    return kind


def trials_text(document: dict[str, Any]) -> str:
    """Say how many trials there are, and of what: ``400 trials: 50 points × 8 repeats``."""
    names = ", ".join(document["parameters"])
    over = f" over {names}" if names else ""
    most = document["at_most"]
    if most is None:
        return f"trials{over} without an end: `--for 8h` stops them, or give the sample a count"
    if document["trials"] is None:
        return (
            f"at most {most:,} trials{over}; the exclusions are decided while running, so the"
            " number of trials is not known in advance"
        )
    text = counted(document["trials"], "trial") + over
    if document["repeat"] > 1:
        text += f": {counted(document['points'], 'point')} × {document['repeat']:,} repeats"
    return text


def make_plan(definition: Definition, sequence: TrialSequence) -> dict[str, Any]:
    """Compare a definition with the lab of this folder; there may be none yet."""
    found = summary(definition, sequence) | {
        "streams": sequence.streams,
        "first": list(_some(sequence, range(min(_TRIED, sequence.positions or _TRIED)))),
        "last": _last(sequence),
        "campaign": None,
        "version": 1,
        "recorded": 0,
        "missing": sequence.total,
        "changed_since": None,
        "earlier_results": None,
        "failed_before": {},
        "notes": [],
    }
    with opened_if_there() as lab:
        if lab is not None:
            found |= _compared(lab, definition, sequence)
    return found


def _some(sequence: TrialSequence, positions: range) -> Iterator[dict[str, Any]]:
    trials = ((position, sequence[position]) for position in positions)
    kept = (
        {
            "position": position,
            "trial": trial_name(canonical(trial.parameters), trial.repeat),
            "parameters": trial.parameters,
            "repeat": trial.repeat,
            "fingerprint": trial.fingerprint,
        }
        for position, trial in trials
        if trial is not None
    )
    return itertools.islice(kept, SHOWN)


def _last(sequence: TrialSequence) -> list[dict[str, Any]]:
    """Show the last trials, where they are known and not among the first."""
    total = sequence.total
    if total is None or total <= SHOWN or sequence.limit is not None:
        return []
    return list(_some(sequence, range(max(total - SHOWN, SHOWN), total)))


def _compared(lab: Lab, definition: Definition, sequence: TrialSequence) -> dict[str, Any]:
    """Say what the database has of the experiment."""
    campaigns = [each for each in lab.store.campaigns() if each.experiment == definition.name]
    if not campaigns:
        return {}
    same = [each for each in campaigns if each.definition.identity == definition.identity]
    if not same:
        newest = max(campaigns, key=lambda each: each.version)
        return {
            "version": newest.version + 1,
            "changed_since": newest.name,
            "changed_since_at": newest.created_at,
            "earlier_results": results_table(lab, newest),
        }
    newest = same[-1]
    found: dict[str, Any] = {
        "version": newest.version,
        "notes": changed_links(lab, definition, newest.version),
    }
    if _is_the_same(newest, definition):
        total = sequence.total
        return found | {
            "campaign": newest.name,
            "state": newest.state,
            "recorded": newest.done,
            "failed": newest.failed,
            "failed_before": failed_before(lab, newest) if newest.skipped else {},
            "missing": None if total is None else max(total - newest.done, 0),
        }
    return found | {
        "recorded": sum(each.succeeded + each.failed + each.cancelled for each in same),
        "failed_before": {each.name: each.failed for each in same if each.failed},
        "missing": _missing(lab, newest.experiment_id, sequence),
    }


def _is_the_same(campaign: Campaign, definition: Definition) -> bool:
    return canonical(campaign.definition.space) == canonical(definition.space)


def _missing(lab: Lab, experiment_id: int, sequence: TrialSequence) -> int | None:
    """Count the trials that the database doesn't have; None when they are too many to look at."""
    if sequence.positions is None or sequence.positions > MOST_LOOKED_UP:
        return None
    trials = sequence.run(0, sequence.positions)
    prints = {trial.fingerprint for _, trial in trials if trial is not None}
    return len(prints) - len(lab.store.known(experiment_id, prints))


def show_plan(definition: Definition, found: dict[str, Any]) -> None:
    """Write a plan for people."""
    lines = [f"{definition.name} runs {found['tool']}", f"  {trials_text(found)}"]
    site = definition.executor.options.get("site", "")
    remote = definition.executor.kind == "ssh"
    where = f"the hosts of {site or 'the site'}" if remote else "this machine"
    lines.append(f"  {counted(found['slots'], 'slot')} on {where}")
    lines += [f"  {line}" for line in (*_comparison(found), *found["notes"])]
    if found["first"]:
        lines.append("Trials:")
        lines += [f"  {each['position'] + 1:>8,}  {each['trial']}" for each in found["first"]]
    elif found["streams"]:
        lines.append(f"No trial is left among the first {_TRIED:,} positions")
    if found["last"]:
        lines += ["         …"] if found["last"][0]["position"] > SHOWN else []
        lines += [f"  {each['position'] + 1:>8,}  {each['trial']}" for each in found["last"]]
    typer.echo("\n".join(lines))


def _comparison(found: dict[str, Any]) -> Iterator[str]:
    if found["changed_since"]:
        yield (
            f"the tool changed since {found['changed_since']}"
            f" ({local_time(found['changed_since_at'])}): version {found['version']}; the results"
            f" of version {found['version'] - 1} stay in table {found['earlier_results']}"
        )
    elif found["campaign"]:
        missing = found["missing"]
        left = "" if missing is None else f", {missing:,} missing"
        yield (
            f"goes on with {found['campaign']} ({found['state']}): {found['recorded']:,}"
            f" recorded{left}"
        )
        own = {found["campaign"]: found["failed"]} if found["failed"] else {}
        yield from _failures(own | found["failed_before"])
    elif found["recorded"]:
        yield (
            f"the space changed: a new campaign, beside {counted(found['recorded'], 'trial')} that"
            " are recorded"
        )
        yield from _failures(found["failed_before"])
        missing = found["missing"]
        yield (
            f"{counted(missing, 'trial')} of this space {'is' if missing == 1 else 'are'} missing"
            if missing is not None
            else "the space is large: which of its trials are missing is found while running"
        )
    else:
        yield "nothing of it is recorded yet"


def _failures(failed: Mapping[str, int]) -> Iterator[str]:
    if failed:
        yield f"{sum(failed.values()):,} of them failed: {retry_text(failed)} tries them again"
