"""Opening the lab that a command works on, and reading the definitions it is given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fieldlab.app import Lab
    from fieldlab.domain.definition import Definition


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


@contextlib.contextmanager
def opened(*, create: bool = False) -> Iterator[Lab]:
    """Open the lab of this folder.

    Parameters
    ----------
    create
        Make it if there is none.
    """
    from fieldlab.app import Lab, keep_from_git
    from fieldlab.settings import load_settings

    settings = load_settings()
    if create:
        keep_from_git(settings)
    lab = Lab(settings, create=create)
    try:
        yield lab
    finally:
        lab.close()


@contextlib.contextmanager
def opened_if_there() -> Iterator[Lab | None]:
    """Open the lab of this folder; None if there is none yet."""
    from fieldlab.app import Lab
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
    lab = Lab(settings)
    try:
        yield lab
    finally:
        lab.close()


@contextlib.contextmanager
def located(file: Path) -> Iterator[None]:
    """Say of what is wrong with a definition where in its file that stands."""
    from fieldlab.domain.errors import BadInput

    try:
        yield
    except BadInput as error:
        from fieldlab.definitions import locate

        raise locate(file, error) from error


def read_definition(path: Path) -> Definition:
    """Read and check an experiment's definition; see :func:`fieldlab.definitions.load`."""
    from importlib.metadata import entry_points

    from fieldlab.app import EXECUTORS
    from fieldlab.definitions import load
    from fieldlab.definitions.loading import TOOLS
    from fieldlab.execution.sequences import quasi_sequence

    installed = {each.name for each in entry_points(group="fieldlab.tools")}
    return load(path, quasi=quasi_sequence, tools=TOOLS | installed, executors=EXECUTORS.keys())
