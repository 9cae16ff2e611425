"""What attempts wrote: `logs`; and where that lies."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from fieldlab.cli.labs import Name, opened
from fieldlab.cli.output import Json, say, write_json
from fieldlab.cli.trial_words import TrialWords, Untouched, find_trial
from fieldlab.domain.durations import format_duration
from fieldlab.domain.errors import BadInput, UnknownName
from fieldlab.domain.trials import AttemptState, CampaignState

if TYPE_CHECKING:
    from fieldlab.app import Lab
    from fieldlab.ports.store import Campaign
    from fieldlab.store.queries import AttemptView

#: digits of a fingerprint that are shown
DIGITS = 8
#: what worker processes print, for functions that run inside them
WORKERS_LOG = "workers.log"
#: how often a followed file is looked at, s
LOOK_S = 0.2
CHUNK = 1 << 16


class Stream(StrEnum):
    """Which output of an attempt."""

    STDOUT = "stdout"
    STDERR = "stderr"
    BOTH = "both"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(logs)


@dataclass(slots=True)
class _Tail:
    """One file, shown as far as it has been written."""

    path: Path
    shown: int = 0

    def rest(self) -> Iterator[bytes]:
        """Give what has come since the last time; a file that isn't there yet is empty."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.shown)
                while part := file.read(CHUNK):
                    self.shown += len(part)
                    yield part
        except FileNotFoundError:
            return


@dataclass(slots=True)
class _Output:
    """Copies files to stdout, and says which one it is whenever another one comes."""

    tails: dict[Path, _Tail] = field(default_factory=dict)
    out: BinaryIO = field(default_factory=lambda: sys.stdout.buffer)
    _last: _Tail | None = None
    _at_line_start: bool = True

    def copy(self, paths: Iterable[Path]) -> None:
        """Copy what has come."""
        for path in paths:
            self.tails.setdefault(path, _Tail(path))
        for tail in self.tails.values():
            for part in tail.rest():
                if len(self.tails) > 1 and tail is not self._last:
                    self._head(tail)
                self.out.write(part)
                self._at_line_start = part.endswith(b"\n")
        self.out.flush()

    def _head(self, tail: _Tail) -> None:
        if not self._at_line_start:
            self.out.write(b"\n")
        self.out.write(f"==> {tail.path.name} <==\n".encode())
        self._last = tail


def logs(
    name: Name,
    trial: TrialWords = None,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on until the attempt has ended.")
    ] = False,
    stream: Annotated[Stream, typer.Option("--stream", help="Which output.")] = Stream.BOTH,
    attempt: Annotated[
        int | None, typer.Option("--attempt", min=1, help="Which attempt; the last if absent.")
    ] = None,
    json: Json = False,
) -> None:
    """Show what an attempt wrote: of what runs now, or ran last, unless a trial is named.

    Functions run inside worker processes, whose output is in one file for the whole campaign.
    """
    if follow and json:
        raise BadInput("--follow can't write one JSON document", remedy="Leave one of them out")
    with opened() as lab:
        campaign = lab.find(name)
        if campaign.definition.tool.kind == "function":
            _show_workers_log(lab, campaign, bool(trial), follow=follow, json=json)
            return
        if follow and not trial and attempt is None:
            _wait_for_attempt(lab, campaign)
        chosen = _choose(lab, campaign, trial or [], attempt)
        place = folder_of(lab, campaign, chosen)
        if place is None:
            raise UnknownName(
                f"Attempt {chosen.number} of trial {chosen.fingerprint[:DIGITS]} left no files",
                remedy=f"`fieldlab explain {campaign.name} {chosen.fingerprint[:DIGITS]}` says what"
                " is known of it",
            )
        streams = [Stream.STDOUT, Stream.STDERR] if stream is Stream.BOTH else [stream]
        if json:
            texts = {each.name: _text(each) for each in printed_files(place, streams)}
            write_json({**attempt_document(chosen), "folder": place, **texts})
            return
        output = _Output()
        output.copy(printed_files(place, streams))
        while follow and _is_running(lab, campaign, chosen):
            time.sleep(LOOK_S)
            output.copy(printed_files(place, streams))
        output.copy(printed_files(place, streams))


def printed_files(folder: Path, streams: Collection[str] = ("stdout", "stderr")) -> list[Path]:
    """List the files of what an attempt's processes print; several processes have their own."""
    plain = [folder / each for each in streams]
    own = [each for each in folder.glob("*.std???") if each.suffix[1:] in streams]
    return sorted(own) or plain


def _wait_for_attempt(lab: Lab, campaign: Campaign) -> None:
    """Wait for the first attempt to be recorded, as long as somebody works on the campaign.

    One that ends within a second is recorded when it has ended, others once they have run so long.
    """
    from fieldlab.store.queries import newest_attempts

    told = False
    while True:
        alive = _is_alive(lab, campaign)  # asked first: what it recorded last is seen then
        with lab.database.read() as connection:
            if newest_attempts(connection, campaign, limit=1) or not alive:
                return
        if not told:
            say(f"Waiting for the first attempt of {campaign.name} to be recorded")
            told = True
        time.sleep(LOOK_S)


def _choose(lab: Lab, campaign: Campaign, words: Sequence[str], number: int | None) -> AttemptView:
    """Find the attempt that is meant."""
    from fieldlab.store.queries import newest_attempts

    with lab.database.read() as connection:
        if not words and number is None:
            newest = newest_attempts(connection, campaign, limit=1)
            if newest:
                return newest[0]
            raise UnknownName(
                f"No attempt of {campaign.name} has been recorded yet",
                remedy=f"`fieldlab explain {campaign.name}` says why",
            )
        if not words:
            raise BadInput("--attempt needs a trial", remedy="Name it: its fingerprint's digits do")
        names = lab.sequence(campaign.definition).names
        trial = find_trial(connection, campaign, names, words)
    if isinstance(trial, Untouched) or not trial.attempts:
        raise UnknownName(
            f"Nothing of the trial '{' '.join(words)}' is recorded",
            remedy=f"`fieldlab explain {campaign.name} {' '.join(words)}` says why",
        )
    if number is None:
        return trial.attempts[-1]
    for each in trial.attempts:
        if each.number == number:
            return each
    raise UnknownName(
        f"There is no attempt {number} of trial {trial.fingerprint[:DIGITS]}",
        remedy=f"It has had {len(trial.attempts)}",
    )


def folder_of(lab: Lab, campaign: Campaign, attempt: AttemptView) -> Path | None:
    """Find an attempt's folder; an earlier campaign of the experiment may have made it."""
    base = campaign.name.rpartition(".")[0]
    for number in range(campaign.number, 0, -1):
        folder = attempts_folder(lab, f"{base}.{number}")
        place = folder / attempt.fingerprint / str(attempt.number)
        if place.is_dir():
            return place
    return None


def attempts_folder(lab: Lab, campaign: str) -> Path:
    """Give the folder of what a campaign's attempts write."""
    return lab.settings.attempts / campaign


def _is_running(lab: Lab, campaign: Campaign, attempt: AttemptView) -> bool:
    from fieldlab.store.queries import find_trial as find_by_digits

    with lab.database.read() as connection:
        trial = find_by_digits(connection, campaign, attempt.fingerprint)
    if trial is None:
        return False
    state = next(each.state for each in trial.attempts if each.number == attempt.number)
    return state == AttemptState.RUNNING


def _show_workers_log(
    lab: Lab, campaign: Campaign, one_trial: bool, *, follow: bool, json: bool
) -> None:
    path = attempts_folder(lab, campaign.name) / WORKERS_LOG
    if follow and not path.exists() and _is_alive(lab, campaign):
        say(f"Waiting for {campaign.name} to write its {WORKERS_LOG}")
        while not path.exists() and _is_alive(lab, campaign):
            time.sleep(LOOK_S)
    if not path.exists():
        raise UnknownName(
            f"{campaign.name} has written no {WORKERS_LOG} yet",
            remedy=f"`fieldlab explain {campaign.name}` says what it is doing",
        )
    if json:
        write_json({"campaign": campaign.name, "file": path, "text": _text(path)})
        return
    if one_trial:
        say(f"The output of all trials of a function is together in {path}")
    output = _Output()
    output.copy([path])
    if not output.tails[path].shown and not follow:
        say("Nothing was printed")
    while follow and _is_alive(lab, campaign):
        time.sleep(LOOK_S)
        output.copy([path])
    output.copy([path])


def _is_alive(lab: Lab, campaign: Campaign) -> bool:
    current = lab.store.campaign(campaign.id)
    return current.state is CampaignState.RUNNING and lab.engines_alive(campaign) > 0


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return None


def took(attempt: AttemptView) -> str:
    """Write how long an attempt took, or has been running."""
    end = attempt.ended_at or datetime.now().astimezone()
    text = format_duration(max((end - attempt.started_at).total_seconds(), 0.0))
    return text if attempt.ended_at else f"{text} so far"


def steps_lines(attempt: AttemptView) -> list[str]:
    """Write what was done in an attempt on hosts, a line to a step, with what came of it."""
    from json import loads

    steps = loads(attempt.steps or "[]")
    rows = [(each["name"], format_duration(each["s"]), each.get("note") or "") for each in steps]
    wide, long = (max((len(row[place]) for row in rows), default=0) for place in (0, 1))
    return [f"{name:<{wide}}  {took_:>{long}}  {note}".rstrip() for name, took_, note in rows]


def attempt_document(attempt: AttemptView) -> dict[str, Any]:
    """Write an attempt for programs."""
    from json import loads

    hosts = attempt.hosts.split(",") if attempt.hosts else []
    return {
        **asdict(attempt),
        "parameters": loads(attempt.parameters),
        "hosts": hosts,
        "steps": loads(attempt.steps or "[]"),
    }
