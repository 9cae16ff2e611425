"""Commands about definitions, before anything runs: init, validate, plan, schema."""

from __future__ import annotations

import os
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fieldlab.cli.labs import (
    check_names,
    located,
    read_definition,
    warn_of_oversights,
)
from fieldlab.cli.output import Json, counted, say, write_json
from fieldlab.domain.errors import BadInput

#: a definition's file; the command itself says what is wrong with it
File = Annotated[Path, typer.Argument(metavar="FILE", help="An experiment's definition.")]


class Kind(StrEnum):
    """What the trials of a new experiment run."""

    FUNCTION = "function"
    COMMAND = "command"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(init)
    app.command()(validate)
    app.command()(plan)
    app.command()(schema)


def init(
    name: Annotated[
        str | None, typer.Argument(help="Name of the experiment; the folder's if absent.")
    ] = None,
    kind: Annotated[Kind, typer.Option(help="What a trial runs.")] = Kind.FUNCTION,
    folder: Annotated[Path, typer.Option("--dir", help="Where; made if absent.")] = Path(),
    bare: Annotated[
        bool, typer.Option("--bare", help="Make the lab without an experiment.")
    ] = False,
    json: Json = False,
) -> None:
    """Write a new experiment, and make the lab that records it."""
    from fieldlab.app import opened
    from fieldlab.definitions import template
    from fieldlab.settings import load_settings

    name = name or _name_of(folder)
    files = {} if bare else template(name, kind.value)
    written = _write_new(folder, files)
    settings = load_settings(folder)
    with opened(settings, create=True) as lab:
        place = lab.database.place
    if json:
        write_json({"files": [str(path) for path in written], "database": place})
        return
    for path in written:
        say(f"Wrote {path}")
    say(f"The lab is {place}")
    if written:
        say("Next:")
        if load_settings() != settings:
            say(f"  {shlex.join(('cd', str(folder)))}")
            written = [Path(path.name) for path in written]
        say(f"  {shlex.join(('fieldlab', 'run', str(written[0])))}")
        say(f"  fieldlab results {name}")


def _name_of(folder: Path) -> str:
    from fieldlab.domain.definition import is_name

    name = folder.resolve().name
    return name if is_name(name) else "experiment"


def _write_new(folder: Path, files: dict[str, str]) -> list[Path]:
    """Write files that don't exist yet: all, or none."""
    paths = {folder / name: text for name, text in files.items()}
    there = [str(path) for path in paths if os.path.lexists(path)]
    if there:
        raise BadInput(
            f"{' and '.join(there)} {'are' if len(there) > 1 else 'is'} there already; nothing was"
            " written",
            remedy="Choose another folder with --dir, or make the lab alone with --bare",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in paths.items():
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise BadInput(
            f"{error.filename or folder} can't be written: {error.strerror}",
            remedy="Choose another folder with --dir",
        ) from error
    return list(paths)


def validate(file: File, json: Json = False) -> None:
    """Check a definition and its tool; run nothing."""
    from fieldlab.app import Lab
    from fieldlab.cli.planning import summary, trials_text

    definition = read_definition(file)
    with located(file):
        check_names(definition)
        Lab.check(definition)
    sequence = Lab.sequence(definition)
    with located(file):
        document = summary(definition, sequence)
    warnings = warn_of_oversights(file, definition, sequence)
    if json:
        write_json({"file": str(file), **document, "warnings": warnings})
        return
    typer.echo(f"{file} is right: {definition.name} runs {document['tool']}")
    typer.echo(f"  {trials_text(document)}, {counted(document['slots'], 'slot')}")


def plan(file: File, json: Json = False) -> None:
    """Say what a definition would run, and what is missing."""
    from fieldlab.app import Lab
    from fieldlab.cli.planning import make_plan, show_plan

    definition = read_definition(file)
    with located(file):
        check_names(definition)
    sequence = Lab.sequence(definition)
    with located(file):
        found = make_plan(definition, sequence)
    found["warnings"] = warn_of_oversights(file, definition, sequence)
    if json:
        write_json(found)
    else:
        show_plan(definition, found)


def schema() -> None:
    """Print the JSON Schema of definitions, for editors."""
    import json as json_module

    from fieldlab.definitions import schema as definition_schema

    typer.echo(json_module.dumps(definition_schema(), indent=2, ensure_ascii=False))
