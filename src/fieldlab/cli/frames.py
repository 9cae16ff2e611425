"""One look at what runs, and how it is drawn: on a terminal of 80 columns, or as plain text."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldlab.cli.campaign_views import CampaignView, campaign_document, look
from fieldlab.cli.machines import machine_document, machine_lines
from fieldlab.cli.output import STATE_COLOURS, counted, joined
from fieldlab.domain.durations import format_duration
from fieldlab.domain.ids import trial_name
from fieldlab.domain.trials import STOPPED, AttemptState
from fieldlab.notebook.progress import is_bound, left_text, progress_text, rate_text, total_of

if TYPE_CHECKING:
    from rich.text import Text

    from fieldlab.app import Lab
    from fieldlab.ports.ledger import HostStanding
    from fieldlab.ports.store import Campaign
    from fieldlab.store.queries import AttemptView

#: attempts in the strip of the latest
STRIP = 100
#: running attempts that are looked at, of each campaign
_MOST_RUNNING = 12
#: bytes at the end of an output that are looked at, and lines that are shown
_TAIL_BYTES = 4096
_MOST_LINES = 3
#: width of the words to the left
_INDENT = 9
#: columns that a frame needs at least
_NARROWEST = 40
#: an attempt's state, or the class of its failure → how it is drawn: told apart without colour, too
_SIGNS = {
    "succeeded": ("·", "green"),
    "experiment": ("x", "red"),
    "verdict": ("v", "magenta"),
    "infrastructure": ("i", "yellow"),
    "lost": ("?", "yellow"),
    "stopped": ("s", "bright_black"),
    "cancelled": ("c", "bright_black"),
}
_LEGEND = {
    "·": "success",
    "x": "failed",
    "v": "bad data",
    "i": "infrastructure",
    "?": "lost",
    "s": "stopped",
    "c": "cancelled",
}
#: what moves a cursor or colours text (ECMA-48), and other characters that aren't for people
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A campaign as it stands, with its latest attempts and those that run."""

    view: CampaignView
    #: ended, the newest first
    latest: Sequence[AttemptView]
    running: Sequence[AttemptView]
    #: place in `running` → the last lines of its output
    output: dict[int, list[str]] = field(default_factory=dict)
    #: the last lines that functions have printed, which share one file
    printed: Sequence[str] = ()

    @property
    def elapsed_s(self) -> float | None:
        """Since it was started first, s."""
        campaign = self.view.campaign
        if campaign.started_at is None:
            return None
        end = campaign.ended_at or datetime.now(UTC)
        return max((end - campaign.started_at).total_seconds(), 0.0)

    @property
    def rate(self) -> float:
        """Attempts that end in a second at the moment.

        While few have ended, that is told by when the first of them began: those that run side by
        side end in the same moment.
        """
        if not self.view.engines or len(self.latest) >= STRIP:
            return self.view.rate
        at_work = {each.engine_id for each in (*self.running, *self.latest[:1])}
        known = [each for each in self.latest if each.engine_id in at_work and each.ended_at]
        if not known:
            return 0.0
        began = min(each.started_at for each in known)
        span_s = max(each.ended_at or began for each in known) - began
        return len(known) / max(span_s.total_seconds(), 1e-3)

    @property
    def left_s(self) -> float | None:
        """Time until the end at this rate, s; None when nobody can say."""
        total, rate = total_of(self.view.campaign), self.rate
        if total is None or not rate or is_bound(self.view.campaign):
            return None
        return max(total - self.view.campaign.done, 0) / rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One look."""

    campaigns: Sequence[Watched]
    hosts: Sequence[HostStanding] = ()


def _newest(paths: Sequence[Path]) -> Path:
    """Choose the file that was written to last; standard output where nothing was."""

    def written(path: Path) -> float:
        try:
            status = path.stat()
        except OSError:
            return 0.0
        return status.st_mtime if status.st_size else 0.0

    return max(sorted(paths, key=lambda path: path.suffix != ".stdout"), key=written)


def watched(lab: Lab, campaign: Campaign) -> Watched:
    """Look at a campaign, in time that doesn't grow with its trials."""
    from fieldlab.cli.journal import WORKERS_LOG, printed_files
    from fieldlab.store.queries import ended_attempts, running_attempts

    view = look(lab, campaign)
    with lab.database.read() as connection:
        latest = ended_attempts(connection, campaign, limit=STRIP)
        running = running_attempts(connection, campaign, limit=_MOST_RUNNING)
    folder = lab.settings.attempts / campaign.name
    output = {
        place: last_lines(_newest(printed_files(folder / each.fingerprint / str(each.number))))
        for place, each in enumerate(running)
    }
    printed = last_lines(folder / WORKERS_LOG) if view.engines else []
    return Watched(view=view, latest=latest, running=running, output=output, printed=printed)


def last_lines(path: Path) -> list[str]:
    """Read the last lines of an output, as text that can't do anything to a terminal."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - _TAIL_BYTES, 0))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    lines = [_shown(line) for line in text.replace("\r\n", "\n").split("\n")]
    if size > _TAIL_BYTES:
        lines = lines[1:]  # it may begin in the middle
    return [line for line in lines if line][-_MOST_LINES:]


def _shown(line: str) -> str:
    last = line.rstrip("\r").rpartition("\r")[2]  # a bar that was drawn over
    return _CONTROLS.sub(" ", _ESCAPES.sub("", last)).rstrip()


# --- drawing ------------------------------------------------------------------------------------


def draw(frame: Frame, width: int, height: int | None = None) -> list[Text]:
    """Draw a frame, a text for each line of the screen.

    Parameters
    ----------
    height
        Lines that there are; what is least wanted is left out. None: as many as it takes.
    """
    from rich.text import Text

    width = max(width, _NARROWEST)
    blocks = [_campaign_lines(each, width) for each in frame.campaigns]
    blocks += [[each] for each in _labelled("machines", machine_lines(frame.hosts))]
    blocks += [block for each in frame.campaigns for block in _running_blocks(each, frame)]
    lines: list[Text] = []
    for number, block in enumerate(blocks):
        left = len(blocks) - number
        spare = left > 1  # a line to say how much is left out
        if height is not None and len(lines) + len(block) + spare > height:
            if not lines:  # no screen is too small for its beginning
                lines, left = block[: max(height - 1, 1)], left - 1
            lines.append(Text(f"{'':{_INDENT}}and {left:,} more", style="dim"))
            break
        lines += block
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines[:height]


def _labelled(label: str, lines: Sequence[Text]) -> list[Text]:
    from rich.text import Text

    return [
        Text.assemble((f"{'' if place else label:<{_INDENT}}", "dim"), line)
        for place, line in enumerate(lines)
    ]


def _campaign_lines(each: Watched, width: int) -> list[Text]:
    from rich.text import Text

    view, campaign = each.view, each.view.campaign
    done = progress_text(campaign)
    total = total_of(campaign)
    state = Text(view.state, style=STATE_COLOURS.get(view.state, ""))
    heading = Text.assemble((campaign.name, "bold"), "  ", state, "  ")
    room = width - len(heading.plain) - len(done) - 7
    if total and room >= 8:
        heading.append_text(_bar(campaign.done / total, room))
        heading.append(f" {min(campaign.done / total, 1):4.0%}")
    heading.append(f"  {done}" if total else done)
    lines = [heading, *_labelled("pace", [Text(_pace(each))])]
    if not view.engines and campaign.note:
        lines += _labelled("why", [Text(campaign.note)])
    return lines + _labelled("latest", _strip(each.latest, width - _INDENT))


def _bar(share: float, width: int) -> Text:
    from rich.text import Text

    full = round(min(share, 1.0) * width)
    return Text.assemble(("━" * full, "cyan"), ("─" * (width - full), "dim"))


def _pace(each: Watched) -> str:
    """Say how it goes: how many failed, how fast, how long it has taken and will take."""
    view = each.view
    elapsed, left = each.elapsed_s, each.left_s
    took = "" if elapsed is None else f"{format_duration(max(round(elapsed), 1))}"
    if took and left is not None and elapsed is not None:
        took += f" of about {format_duration(max(round(elapsed + left), 1))}, {left_text(left)}"
    activity = view.activity
    return joined(
        [
            f"{view.campaign.failed:,} failed" if view.campaign.failed else "",
            rate_text(each.rate) if each.rate else "",
            took,
            counted(view.engines, "engine") if view.engines else "",
            f"{activity.running:,} running" if activity and activity.running else "",
            f"{activity.queued:,} queued" if activity and activity.queued else "",
        ]
    )


def sign_of(attempt: AttemptView) -> tuple[str, str]:
    """Give the sign of how an attempt ended, and its colour."""
    known = attempt.failure if attempt.state == AttemptState.FAILED else attempt.state
    if attempt.state == AttemptState.LOST and attempt.status == STOPPED:
        known = STOPPED
    return _SIGNS.get(known or "", ("x", "red"))


def _strip(latest: Sequence[AttemptView], width: int) -> list[Text]:
    """Draw how the latest attempts ended, the newest last; a line says what the signs mean."""
    from rich.text import Text

    signs = [sign_of(each) for each in reversed(latest)]
    if not signs:
        return [Text("nothing has ended yet", style="dim")]
    lines = [Text.assemble(*signs[at : at + width]) for at in range(0, len(signs), width)]
    met = dict(signs)
    legend = [(f"{sign} {word}", met[sign]) for sign, word in _LEGEND.items() if sign in met]
    return [*lines, Text("  ").join(Text(text, style=style) for text, style in legend)]


def _running_blocks(each: Watched, frame: Frame) -> list[list[Text]]:
    """Draw what runs: a line for the attempt, and the last ones that it has written."""
    from rich.text import Text

    now = time.time()
    several = len(frame.campaigns) > 1
    blocks = []
    for place, attempt in enumerate(each.running):
        told = f"{each.view.campaign.name} " if several else ""
        told += trial_name(attempt.parameters, attempt.repeat)
        since = format_duration(max(round(now - attempt.started_at.timestamp()), 0))
        where = f" on {attempt.host}" if attempt.host else ""
        label = "running" if not place else ""
        heading = Text(f"{told} for {since}{where}")
        written = [Text(f"  {line}", style="dim") for line in each.output.get(place, ())]
        blocks.append(_labelled(label, [heading, *written]))
    printed = [Text(line, style="dim") for line in each.printed]
    return [*blocks, _labelled("printed", printed)] if printed else blocks


def frame_document(lab: Lab, frame: Frame) -> dict[str, Any]:
    """Write a frame for programs."""
    from fieldlab.cli.journal import attempt_document

    return {
        "campaigns": [
            {
                **campaign_document(lab, each.view),
                "rate_per_s": each.rate,
                "elapsed_s": each.elapsed_s,
                "left_s": each.left_s,
                "printed": each.printed,
                "latest": "".join(sign_of(attempt)[0] for attempt in reversed(each.latest)),
                "attempts_running": [
                    {**attempt_document(attempt), "output": each.output.get(place, [])}
                    for place, attempt in enumerate(each.running)
                ],
            }
            for each in frame.campaigns
        ],
        "machines": [machine_document(each) for each in frame.hosts],
    }
