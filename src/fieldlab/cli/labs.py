"""Opening the lab that a command works on, and reading the definitions it is given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fieldlab.cli.output import say
from fieldlab.domain.errors import BadInput

if TYPE_CHECKING:
    from fieldlab.app import Lab
    from fieldlab.domain.definition import Definition
    from fieldlab.domain.parameters import TrialSequence


def complete_name(incomplete: str) -> list[str]:
    """Complete the name of a campaign or experiment from the database; nothing when that fails."""
    with contextlib.suppress(Exception), opened() as lab:
        campaigns = lab.store.campaigns()
        names = {name for each in campaigns for name in (each.experiment, each.name)}
        return sorted(name for name in names if name.startswith(incomplete))
    return []


#: the name of an experiment, which stands for its newest campaign, or of a campaign
Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="An experiment (its newest campaign is meant) or a campaign, such as dds.2.",
        autocompletion=complete_name,
    ),
]


def opened(*, create: bool = False) -> AbstractContextManager[Lab]:
    """Open the lab of this folder; see :func:`fieldlab.app.opened`."""
    from fieldlab import app

    return app.opened(create=create)


@contextlib.contextmanager
def opened_if_there() -> Iterator[Lab | None]:
    """Open the lab of this folder; None if there is none yet."""
    from fieldlab import app
    from fieldlab.settings import load_settings
    from fieldlab.store.database import Database

    settings = load_settings()
    database = Database(settings.database)
    try:
        there = database.version() is not None
    finally:
        database.close()
    if not there:
        yield None
        return
    with app.opened(settings) as lab:
        yield lab


@contextlib.contextmanager
def located(file: Path) -> Iterator[None]:
    """Say of what is wrong with a definition where in its file that stands."""
    try:
        yield
    except BadInput as error:
        from fieldlab.definitions import locate

        raise locate(file, error) from error


def warn_of_oversights(file: Path, definition: Definition, sequence: TrialSequence) -> list[str]:
    """Say what a definition hardly means, and give that as texts."""
    from fieldlab.app.executors import unread_parameters
    from fieldlab.domain.oversights import oversights

    with located(file):
        found = [*unread_parameters(definition), *oversights(definition.space, sequence)]
    if not found:
        return []
    from fieldlab.definitions import locate

    warnings = [str(each) for each in locate(file, BadInput.of(found)).problems]
    for each in warnings:
        say(f"Warning: {each}")
    return warnings


def check_names(definition: Definition) -> None:
    """Refuse names of projects, people and funding that aren't in the lab, if there is one."""
    if definition.project or definition.experimenter or definition.funding:
        with opened_if_there() as lab:
            if lab is not None:
                lab.check_names(definition)


def read_definition(path: Path) -> Definition:
    """Read and check an experiment's definition; see :func:`fieldlab.definitions.load`."""
    from fieldlab.app.definitions import load_definition

    try:
        return load_definition(path)
    except BadInput as error:
        raise _with_missing_program(path, error) from error


def _with_missing_program(path: Path, error: BadInput) -> BadInput:
    """Add that a command's program is missing, which otherwise shows when all else is right."""
    from fieldlab.definitions import locate
    from fieldlab.definitions.reader import read_file
    from fieldlab.execution.runners import check_program

    key = ("tool", "command", 0)
    try:
        tool = read_file(path).data["tool"]
        program, environment = tool["command"][0], tool.get("environment") or {}
    except (BadInput, LookupError, TypeError, AttributeError):
        return error  # said already
    texts = isinstance(environment, Mapping) and {**environment}.get("PATH", "")
    if not isinstance(program, str) or not isinstance(texts, str):
        return error
    if any(problem.key[: len(key)] == key for problem in error.problems):
        return error
    try:
        check_program(program, {"PATH": texts} if texts else {}, str(path.parent.resolve()))
    except BadInput as missing:
        problems = [*error.problems, *locate(path, missing).problems]
        return BadInput.of(sorted(problems, key=lambda problem: problem.line))
    return error
