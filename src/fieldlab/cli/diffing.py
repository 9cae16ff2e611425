"""What differs between two campaigns, or two attempts: `diff`."""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from json import dumps, loads
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fieldlab.cli.labs import complete_name, opened
from fieldlab.cli.origins import command_text
from fieldlab.cli.output import Json, plain, show, write_json
from fieldlab.domain.differences import ABSENT, Difference, Several, differences, together
from fieldlab.domain.errors import BadInput, UnknownName

if TYPE_CHECKING:
    from fieldlab.app import Lab
    from fieldlab.domain.provenance import Origin
    from fieldlab.ports.store import Campaign
    from fieldlab.store.queries import AttemptView, TrialView

#: what is longer stands on lines of its own, characters
_LINE = 100
#: patches of more lines than this aren't compared line by line
_COMPARED_LINES = 5_000
_COUNTS = ("succeeded", "failed", "cancelled", "skipped", "excluded", "attempts")

Compared = Annotated[
    str,
    typer.Argument(
        metavar="CAMPAIGN[/TRIAL[/ATTEMPT]]",
        help="A campaign, such as waves.1, or an attempt at a trial, which first digits of its"
        " fingerprint name: waves.1/3babd6e5, waves.1/3babd6e5/2.",
        autocompletion=complete_name,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """One of the two that are compared."""

    name: str
    #: what it is about → plain data
    document: Mapping[str, Any]
    origins: Sequence[Origin]
    #: where its definition lies
    folder: Path
    is_campaign: bool

    @property
    def patch(self) -> str:
        """What wasn't committed; of several engines, one after the other."""
        return "".join(dict.fromkeys(origin.patch for origin in self.origins))

    @property
    def commits(self) -> list[str]:
        """The commits that it ran."""
        codes = [each.provenance.code for each in self.origins if each.provenance]
        return list(dict.fromkeys(code.commit for code in codes if code and code.commit))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(diff)


def diff(a: Compared, b: Compared, json: Json = False) -> None:
    """Say what differs between two campaigns or two attempts.

    Definition, code, environment, who ran it and where, and the outcome. What is equal isn't
    listed.
    """
    with opened() as lab:
        sides = (_side(lab, a), _side(lab, b))
    if sides[0].is_campaign != sides[1].is_campaign:
        raise BadInput(
            f"{a} and {b} can't be compared: only one of them is a campaign",
            remedy="Name two campaigns, or two attempts: CAMPAIGN/TRIAL or CAMPAIGN/TRIAL/ATTEMPT",
        )
    found = differences(sides[0].document, sides[1].document)
    files = _changed_files(*sides)
    if json:
        write_json(_document(sides, found, files))
    else:
        _show(sides, found, files)


# --- the two sides -----------------------------------------------------------------------------


def _side(lab: Lab, text: str) -> _Side:
    name, *rest = text.split("/")
    campaign = lab.find(name)
    if not rest:
        return _campaign_side(lab, campaign)
    if len(rest) > 2 or not all(rest) or not all(each.isdecimal() for each in rest[1:]):
        raise BadInput(
            f"'{text}' names no attempt", remedy="Write CAMPAIGN/TRIAL or CAMPAIGN/TRIAL/ATTEMPT"
        )
    return _attempt_side(lab, campaign, rest[0], int(rest[1]) if rest[1:] else None)


def _campaign_side(lab: Lab, campaign: Campaign) -> _Side:
    from fieldlab.store.provenances import origins_in

    with lab.database.read() as connection:
        origins = origins_in(connection, campaign)
    return _Side(
        name=campaign.name,
        document={
            "definition": campaign.definition.to_dict(),
            **together([each.document() for each in origins]),
            "outcome": {"state": campaign.state.value}
            | {name: getattr(campaign, name) for name in _COUNTS},
        },
        origins=origins,
        folder=Path(campaign.definition.folder),
        is_campaign=True,
    )


def _attempt_side(lab: Lab, campaign: Campaign, words: str, number: int | None) -> _Side:
    from fieldlab.store.extracts import attempt_results
    from fieldlab.store.provenances import origins_of

    with lab.database.read() as connection:
        trial = _trial(lab, connection, campaign, words)
        attempt = _attempt(trial, number)
        origins = list(origins_of(connection, {attempt.engine_id or ""}).values())
        rows = attempt_results(connection, campaign, trial.id, attempt.number)
    owner = lab.store.campaign(trial.campaign_id)
    point = {"parameters": loads(trial.parameters), "repeat": trial.repeat}
    return _Side(
        name=f"{owner.name}/{trial.fingerprint[:8]}/{attempt.number}",
        document={
            "trial": point,
            "definition": owner.definition.to_dict(),
            **together([each.document() for each in origins]),
            "outcome": _outcome(attempt, rows),
        },
        origins=origins,
        folder=Path(owner.definition.folder),
        is_campaign=False,
    )


def _trial(lab: Lab, connection: Any, campaign: Campaign, words: str) -> TrialView:
    from fieldlab.cli.trial_words import Untouched, find_trial

    names = lab.sequence(campaign.definition).names
    trial = find_trial(connection, campaign, names, [words])
    if isinstance(trial, Untouched):
        raise UnknownName(
            f"Nothing of the trial '{words}' is recorded",
            remedy=f"`fieldlab explain {campaign.name} {words}` says why",
        )
    return trial


def _attempt(trial: TrialView, number: int | None) -> AttemptView:
    for each in reversed(trial.attempts):
        if number in (None, each.number):
            return each
    raise UnknownName(
        f"There is no attempt {number or ''} of trial {trial.fingerprint[:8]}",
        remedy=f"It has had {len(trial.attempts)}",
    )


def _outcome(attempt: AttemptView, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    ended = attempt.ended_at
    return {
        "state": attempt.state,
        "status": attempt.status,
        "failure": attempt.failure,
        "exit_code": attempt.exit_code,
        "error": attempt.error,
        "duration_s": (ended - attempt.started_at).total_seconds() if ended else None,
        "results": rows[0] if len(rows) == 1 else {str(n): row for n, row in enumerate(rows)},
    }


def _changed_files(a: _Side, b: _Side) -> str:
    """Say which files differ between two commits, if a repository here has them."""
    if len(a.commits) != 1 or len(b.commits) != 1 or a.commits == b.commits:
        return ""
    from fieldlab.hosts.git import summary_of_changes

    for folder in dict.fromkeys((a.folder, b.folder, Path.cwd())):
        if said := summary_of_changes(folder, a.commits[0], b.commits[0]):
            return said
    return ""


# --- showing them ------------------------------------------------------------------------------


def _document(
    sides: tuple[_Side, _Side], found: Sequence[Difference], files: str
) -> dict[str, Any]:
    a, b = sides
    return {
        "a": a.name,
        "b": b.name,
        "differences": [
            {"part": each.key[0], "key": list(each.key[1:])}
            | {
                side: _plain(value)
                for side, value in (("a", each.a), ("b", each.b))
                if value is not ABSENT
            }
            for each in found
        ],
        "files": files or None,
        "patches": {"a": a.patch, "b": b.patch} if a.patch != b.patch else None,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Several):
        return {"several": [None if each is ABSENT else each for each in value.values]}
    return value


def _show(sides: tuple[_Side, _Side], found: Sequence[Difference], files: str) -> None:
    a, b = sides
    lines: list[str] = []
    for part, group in itertools.groupby(found, key=lambda each: each.key[0]):
        lines += ["", typer.style(part, bold=True)]
        for each in group:
            lines += _lines(each)
    if files:
        lines += ["", typer.style("files that differ between the commits", bold=True), files]
    if a.patch != b.patch:
        lines += ["", *_patch_lines(a, b)]
    if not lines:
        show(f"Nothing differs between {a.name} and {b.name}")
        return
    show("\n".join([f"{a.name} → {b.name}", *lines]))


def _lines(difference: Difference) -> Iterator[str]:
    key = ".".join(difference.key[1:])
    a, b = (_word(each, key) for each in (difference.a, difference.b))
    line = f"  {key}: {a} → {b}{_change(difference)}"
    if len(line) <= _LINE and line.isprintable():
        yield line
        return
    yield f"  {key}:"
    for sign, text in (("-", a), ("+", b)):
        yield from (f"    {sign} {each}" for each in text.splitlines() or [""])


def _word(value: Any, key: str) -> str:
    if value is ABSENT:
        return "nothing"
    if isinstance(value, Several):
        return " and ".join(_word(each, key) for each in value.values)
    if key == "command_line" and isinstance(value, list):
        return command_text(value)
    if isinstance(value, str):
        return value or "empty"
    return dumps(plain(value), ensure_ascii=False)


def _change(difference: Difference) -> str:
    """Say by how much a measured number has changed."""
    a, b = difference.a, difference.b
    if difference.key[:2] not in (("outcome", "results"), ("outcome", "duration_s")):
        return ""
    numbers = [each for each in (a, b) if isinstance(each, float | int) and math.isfinite(each)]
    if len(numbers) < 2 or isinstance(a, bool) or isinstance(b, bool) or not a:
        return ""
    return f" ({(b - a) / abs(a):+.1%})"


def _patch_lines(a: _Side, b: _Side) -> list[str]:
    """Compare what wasn't committed."""
    if not (a.patch and b.patch):
        side = a if a.patch else b
        title = f"changes that weren't committed, in {side.name} only"
        return [typer.style(title, bold=True), side.patch.rstrip("\n")]
    title = typer.style("changes that weren't committed, compared", bold=True)
    before, after = a.patch.splitlines(), b.patch.splitlines()
    if max(len(before), len(after)) > _COMPARED_LINES:
        sizes = f"{len(before):,} and {len(after):,} lines"
        return [title, f"  They differ, and are too long to be compared: {sizes}; see --json"]
    return [title, *difflib.unified_diff(before, after, a.name, b.name, lineterm="")]
