"""The group `perftest`: AutoPerf's configurations, and rows of benchmarks."""

from __future__ import annotations

import contextlib
import os
import shlex
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fieldlab.cli import benchmarks
from fieldlab.cli import ess as sheets
from fieldlab.cli.errors import ExitCode
from fieldlab.cli.output import Json, counted, say, write_json
from fieldlab.domain.errors import BadInput, MachineError, Problem

if TYPE_CHECKING:
    from fieldlab.workflows.perftest.importing import ImportedCampaign
    from fieldlab.workflows.perftest.parameters import TestName

SITES = "sites.toml"

Config = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="A configuration of AutoPerf: JSON or TOML.")
]
Ess = Annotated[
    Path | None,
    typer.Option(
        "--ess",
        metavar="FILE",
        help="A status spreadsheet of AutoPerf or fieldlab: what succeeded isn't run again.",
    ),
]
Interface = Annotated[
    str,
    typer.Option(
        "--interface",
        metavar="NAME",
        help="Network interface that tests use, for noise: eth0 if absent.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        name="perftest",
        help="Campaigns of AutoPerf, and benchmarks with RTI Perftest.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command("import")(import_)
    group.command()(run)
    benchmarks.register(group)
    sheets.register(group)
    app.add_typer(group)


def import_(
    config: Config,
    into: Annotated[
        Path, typer.Option("--into", metavar="FOLDER", help="Where; made if absent.")
    ] = Path(),
    ess: Ess = None,
    interface: Interface = "",
    force: Annotated[
        bool, typer.Option("--force", help="Write over files that are there already.")
    ] = False,
    json: Json = False,
) -> None:
    """Make a definition of every campaign of a configuration, and the site of its machines."""
    from fieldlab.workflows.perftest.writing import definition_text, sites_text

    campaigns = _read(config, ess, interface)
    wanted = [each for each in campaigns if not each.complete]
    files = {f"{each.name}.yaml": definition_text(each) for each in wanted}
    if wanted:
        files[SITES] = sites_text(wanted)
    written = _write(into, files, force=force)
    for problem in _unreadable_keys(config, wanted):
        say(f"Warning: {problem}")
    if json:
        write_json(
            {
                "files": [str(path) for path in written],
                "campaigns": [
                    {
                        "name": each.name,
                        "title": each.title,
                        "site": each.site.name,
                        "done": each.done,
                        "complete": each.complete,
                        "notes": list(each.notes),
                    }
                    for each in campaigns
                ],
            }
        )
        return
    for path in written:
        say(f"Wrote {path}")
    if wanted:
        _say_next(into, wanted)


def _say_next(into: Path, wanted: Collection[ImportedCampaign]) -> None:
    profile = into / "fieldlab.toml"
    say("Next:")
    say(f"  cat {shlex.quote(str(into / SITES))} >> {shlex.quote(str(profile))}")
    for name in sorted({each.site.name for each in wanted}):
        say(f"  fieldlab site check {name}")
    for each in wanted:
        say(f"  fieldlab run {shlex.quote(str(into / f'{each.name}.yaml'))}")


def run(
    config: Config,
    ess: Ess = None,
    interface: Interface = "",
    for_: Annotated[
        str | None,
        typer.Option("--for", metavar="DURATION", help="Stop after so long, such as 8h."),
    ] = None,
    json: Json = False,
) -> None:
    """Run the campaigns of a configuration one after the other, as `fieldlab run` runs one.

    Run again, it goes on where it stopped. The configuration says it all, the machines too.
    """
    from fieldlab.app.definitions import read_definition
    from fieldlab.cli.running import run_definition
    from fieldlab.domain.durations import parse_duration
    from fieldlab.settings import load_settings

    for_s = None if for_ is None else parse_duration(for_)
    campaigns = _read(config, ess, interface)
    if problems := _unreadable_keys(config, campaigns):
        raise BadInput.of(problems)
    settings = load_settings()
    sites = {**settings.sites, **{each.site.name: each.site for each in campaigns}}
    definitions = [
        read_definition(each.definition, config.parent, "perftest")
        for each in campaigns
        if not each.complete
    ]
    worst = ExitCode.DONE
    for definition in definitions:
        try:
            run_definition(
                definition, config, for_s, None, json, settings=replace(settings, sites=sites)
            )
        except typer.Exit as ended:
            worst = max(worst, ExitCode(ended.exit_code))
            if ended.exit_code == ExitCode.INTERRUPTED:
                break
    raise typer.Exit(worst)


def _read(config: Path, ess: Path | None, interface: str) -> list[ImportedCampaign]:
    """Read a configuration and, if there is one, its status spreadsheet; say what is notable."""
    from fieldlab.workflows.perftest.importing import read_autoperf

    campaigns = read_autoperf(config, _done(ess) if ess is not None else (), interface)
    for each in campaigns:
        for note in each.notes:
            say(f"{each.title}: {note}")
        if each.complete:
            say(f"{each.title}: all its tests are done")
        elif each.done:
            say(f"{each.title}: {counted(each.done, 'test')} are done and left out")
    return campaigns


def _done(ess: Path) -> set[TestName]:
    from fieldlab.workflows.perftest.ess import read_ess

    found = read_ess(ess)
    for problem in found.problems:
        say(f"Warning: {problem}")
    return found.done()


def _unreadable_keys(config: Path, campaigns: Collection[ImportedCampaign]) -> tuple[Problem, ...]:
    """Find private keys that can't be read here, each with its place in the configuration."""
    from fieldlab.workflows.perftest.configs import locate
    from fieldlab.workflows.perftest.machines import unreadable_keys

    problems = [each for campaign in campaigns for each in unreadable_keys(campaign.machines)]
    return locate(config, problems).problems if problems else ()


def _write(folder: Path, files: Mapping[str, str], *, force: bool) -> list[Path]:
    """Write files: all, or none."""
    paths = {folder / name: text for name, text in files.items()}
    there = [str(path) for path in paths if os.path.lexists(path)]
    if there and not force:
        raise BadInput(
            f"{' and '.join(there)} {'are' if len(there) > 1 else 'is'} there already; nothing was"
            " written",
            remedy="Choose another folder with --into, or write over them with --force",
        )
    made: list[tuple[Path, Path]] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in paths.items():
            number, name = tempfile.mkstemp(dir=folder, prefix=f".{path.name}-")
            made.append((Path(name), path))
            os.close(number)
            Path(name).write_text(text, encoding="utf-8")
        mask = os.umask(0)
        os.umask(mask)
        for new, path in made:
            new.chmod(0o666 & ~mask)
            new.replace(path)
    except OSError as error:
        raise MachineError(
            f"{error.filename or folder} can't be written: {error.strerror}",
            remedy="Choose another folder with --into",
        ) from error
    finally:
        for new, _ in made:
            with contextlib.suppress(OSError):
                new.unlink()
    return list(paths)
