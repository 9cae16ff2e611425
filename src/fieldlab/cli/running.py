"""Commands that run trials: run, resume, retry."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fieldlab.cli.errors import ExitCode
from fieldlab.cli.labs import Name, located, opened, read_definition, warn_of_oversights
from fieldlab.cli.output import Json, counted, say, write_json
from fieldlab.domain.definition import MOST_SLOTS
from fieldlab.domain.errors import IllegalTransition, NoLab, UnknownName
from fieldlab.domain.trials import CampaignState, TrialState

if TYPE_CHECKING:
    from fieldlab.app import Ended, Lab
    from fieldlab.cli.campaign_views import CampaignView
    from fieldlab.domain.definition import Definition
    from fieldlab.ports.store import Campaign
    from fieldlab.settings import Settings

#: endings that show that a file is meant, not a name
_SUFFIXES = (".yaml", ".yml", ".json", ".toml")

For = Annotated[
    str | None,
    typer.Option("--for", metavar="DURATION", help="Stop after so long, such as 90s, 8h, 1h30m."),
]
Slots = Annotated[
    int | None,
    typer.Option(
        "--slots",
        min=1,
        max=MOST_SLOTS,
        metavar="N",
        help="Trials at a time, whatever the definition says.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(run)
    app.command()(resume)
    app.command()(retry)


def run(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A definition, or the NAME of a campaign to go on with."
        ),
    ],
    missing: Annotated[  # noqa: ARG001 - the default, for who wants to say it
        bool, typer.Option("--missing", help="Only what no campaign has recorded (default).")
    ] = False,
    for_: For = None,
    slots: Slots = None,
    json: Json = False,
) -> None:
    """Run an experiment until all its trials are recorded.

    Running a definition again goes on where it stopped. Ctrl-C once lets the running trials end,
    twice ends them; either way `fieldlab resume` goes on.
    """
    from fieldlab.domain.durations import parse_duration

    for_s = None if for_ is None else parse_duration(for_)
    if not _is_file(file):
        with _opened_for(file) as lab:
            _go_on(lab, _find_or_explain(lab, file), for_s, slots, json)
        return
    run_definition(read_definition(file), file, for_s, slots, json)


def run_definition(
    definition: Definition,
    file: Path,
    for_s: float | None,
    slots: int | None,
    as_json: bool,
    settings: Settings | None = None,
) -> None:
    """Run a definition until its trials are recorded, and exit with the code that says how.

    Parameters
    ----------
    file
        Where it was read, for what is wrong with it.
    settings
        Of the lab; the current folder's if absent.
    """
    from fieldlab import app
    from fieldlab.cli.links import changed_links

    with located(file):
        app.Lab.check(definition, settings=settings)
    warn_of_oversights(file, definition, app.Lab.sequence(definition))
    with app.opened(settings, create=True) as lab:
        with located(file):
            campaign = lab.start(definition)
        for line in changed_links(lab, definition, campaign.version):
            say(f"{line[0].upper()}{line[1:]}")
        _go_on(lab, campaign, for_s, slots, as_json)


def _is_file(file: Path) -> bool:
    there = os.path.exists(file)  # noqa: PTH110 - false, too, for what no file can be called
    return file.suffix.lower() in _SUFFIXES or len(file.parts) > 1 or there


@contextlib.contextmanager
def _opened_for(file: Path) -> Iterator[Lab]:
    """Open the lab to find a campaign in, which may as well be a file that isn't there."""
    try:
        with opened() as lab:
            yield lab
    except NoLab as error:
        raise NoLab(
            f"There is neither a file '{file}' nor a lab here",
            remedy="`fieldlab init` writes an experiment, and makes the lab that records it",
        ) from error


def _find_or_explain(lab: Lab, file: Path) -> Campaign:
    try:
        return lab.find(str(file))
    except UnknownName as error:
        raise UnknownName(
            f"There is no file '{file}' and no campaign of that name", remedy=error.remedy
        ) from None


def resume(name: Name, for_: For = None, slots: Slots = None, json: Json = False) -> None:
    """Go on with a campaign that stopped.

    Whether it was paused, interrupted, killed, or stopped by its failure guard: what is recorded
    stays, and what is missing is run.
    """
    from fieldlab.domain.durations import parse_duration

    for_s = None if for_ is None else parse_duration(for_)
    with opened() as lab:
        _go_on(lab, lab.find(name), for_s, slots, json)


def retry(
    name: Name,
    failed: Annotated[bool, typer.Option("--failed", help="Trials that failed (default).")] = False,
    cancelled: Annotated[
        bool, typer.Option("--cancelled", help="Trials that were cancelled.")
    ] = False,
    no_run: Annotated[
        bool, typer.Option("--no-run", help="Queue them, and run nothing now.")
    ] = False,
    for_: For = None,
    slots: Slots = None,
    json: Json = False,
) -> None:
    """Try failed or cancelled trials again.

    Whatever else is missing of the campaign is run too.
    """
    from fieldlab.domain.durations import parse_duration

    for_s = None if for_ is None else parse_duration(for_)
    states = [TrialState.CANCELLED] if cancelled else []
    if failed or not cancelled:
        states.append(TrialState.FAILED)
    with opened() as lab:
        campaign = lab.find(name)
        if not cancelled:
            _refuse_cancelled(campaign)
        if not no_run:
            from fieldlab.engine.origin import check_code

            check_code(campaign.definition, lab.settings.provenance)
        queued = lab.retry(campaign.name, states)
        say(_queued_text(campaign, queued, states, goes_on=not no_run))
        if not no_run:
            _go_on(lab, lab.find(campaign.name), for_s, slots, json, revive=cancelled)
        elif json:
            write_json({"name": campaign.name, "queued": queued})
        elif queued:
            say(f"Run them with `fieldlab resume {campaign.name}`")
        elif campaign.state is CampaignState.CANCELLED:
            say(f"`fieldlab retry {campaign.name} --cancelled` runs what it hasn't come to yet")


def _queued_text(
    campaign: Campaign, queued: int, states: Collection[TrialState], *, goes_on: bool
) -> str:
    """Say what is tried again, and what else a campaign goes on with."""
    from fieldlab.notebook.progress import is_bound, total_of

    text = (
        f"Queued {counted(queued, 'trial')} of {campaign.name} again"
        if queued
        else f"{campaign.name} has no {' or '.join(states)} trials"
    )
    if not goes_on or campaign.state is CampaignState.FINISHED:
        return text
    total = total_of(campaign)
    if total is None or is_bound(campaign):
        return f"{text}; it goes on with those that it hasn't come to yet"
    left = total - campaign.done
    return f"{text}; it goes on with {left:,} that it hasn't come to yet" if left > 0 else text


def _refuse_cancelled(campaign: Campaign) -> None:
    if campaign.state is CampaignState.CANCELLED:
        raise IllegalTransition(
            f"{campaign.name} was cancelled",
            remedy=f"Take it up again with `fieldlab retry {campaign.name} --cancelled`",
        )


def _go_on(
    lab: Lab,
    campaign: Campaign,
    for_s: float | None,
    slots: int | None,
    as_json: bool,
    *,
    revive: bool = False,
) -> None:
    """Run a campaign until it ends, say how it went, exit with the code that says so."""
    from fieldlab.cli.campaign_views import look
    from fieldlab.cli.summary import ending_document, say_ending, say_nothing_to_do

    before = look(lab, campaign)
    queued = before.activity.queued if before.activity else 0
    if not (revive or queued):
        _refuse_cancelled(campaign)
    if campaign.state is CampaignState.FINISHED and not queued:
        if as_json:
            write_json(ending_document(lab, before, 0.0, 0))
        else:
            say_nothing_to_do(before)
        raise typer.Exit(_code(before))
    if slots is not None:
        definition = campaign.definition
        executor = replace(definition.executor, slots=slots)
        campaign = replace(campaign, definition=replace(definition, executor=executor))
    if before.engines:
        others = counted(before.engines, "other process", "other processes")
        say(f"{campaign.name} is run by {others} too")
    started = time.monotonic()
    ended = _run_shown(lab, campaign, for_s)
    duration_s = time.monotonic() - started
    after = look(lab, ended.campaign)
    attempts = ended.campaign.attempts - campaign.attempts
    if as_json:
        write_json(ending_document(lab, after, duration_s, attempts, interrupted=ended.interrupted))
    else:
        say_ending(lab, after, duration_s, attempts, interrupted=ended.interrupted)
    raise typer.Exit(ExitCode.INTERRUPTED if ended.interrupted else _code(after))


def _run_shown(lab: Lab, campaign: Campaign, for_s: float | None) -> Ended:
    from fieldlab.notebook.showing import make_progress

    with make_progress() as progress:
        return lab.run(campaign, listener=progress.update, on_trouble=progress.tell, for_s=for_s)


def _code(view: CampaignView) -> ExitCode:
    if view.campaign.state is CampaignState.TRIPPED:
        return ExitCode.TRIPPED
    failed = view.campaign.failed or view.failed_before
    return ExitCode.SOME_FAILED if failed else ExitCode.DONE
