"""The command `doctor`: whether everything that fieldlab needs is here."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fieldlab.cli.errors import ExitCode
from fieldlab.cli.output import Json, show_facts, write_json
from fieldlab.domain.errors import FieldlabError, sentences

if TYPE_CHECKING:
    from fieldlab.settings import Settings

#: less free space than this is reported, bytes
_LITTLE_SPACE = 1 << 30
#: less than this is wrong, bytes
_NO_SPACE = 50 << 20
#: parts that are installed on demand: extra → a module of it, and what it is for
_EXTRAS = {
    "notebook": ("pandas", "results in DataFrames, export to Parquet, figures"),
    "polars": ("polars", "results in polars DataFrames"),
    "postgres": ("psycopg", "a PostgreSQL database"),
    "notify": ("apprise", "messages to people by mail, Slack, webhooks and more"),
    "sampling": ("scipy", "low-discrepancy samples (method: sobol)"),
}
#: a keeper without its engine ends within this time, s
_KEEPER_ENDS_S = 5.0
#: a clock before this is wrong, Unix time of 2025-01-01 in s
_LONG_AGO = 1_735_689_600


class Health(StrEnum):
    """What a check found."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check and what it found."""

    check: str
    health: Health
    said: str


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(json: Json = False) -> None:
    """Check this installation and this folder's lab.

    The exit code is 1 if something is wrong.
    """
    findings = list(_findings())
    if json:
        write_json([asdict(each) for each in findings])
    else:
        colours = {Health.OK: "green", Health.NOTE: "yellow", Health.WRONG: "red"}
        show_facts(
            (each.check, f"{typer.style(f'{each.health:<6}', fg=colours[each.health])} {each.said}")
            for each in findings
        )
    if any(each.health is Health.WRONG for each in findings):
        raise typer.Exit(ExitCode.SOME_FAILED)


def _findings() -> Iterator[Finding]:
    yield _python()
    yield from _lab()
    yield from _tools()
    yield from _extras()
    yield _git()
    yield _sandbox()
    yield _workers()
    yield _clock()


def _python() -> Finding:
    from fieldlab import __version__

    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", Health.OK, f"{version} at {sys.executable}; fieldlab {__version__}")


def _lab() -> Iterator[Finding]:
    from fieldlab.settings import load_settings

    try:
        settings = load_settings()
    except FieldlabError as error:
        yield Finding("settings", Health.WRONG, str(error))
        return
    yield _database(settings.database)
    yield _space(settings.home)
    yield from _notifications(settings)


def _database(url: str) -> Finding:
    import sqlalchemy as sa

    from fieldlab.store.database import Database
    from fieldlab.store.tables import SCHEMA_VERSION, campaigns

    place = "database"
    try:
        database = Database(url)
        if database.version() is None:
            return Finding(
                place, Health.NOTE, f"none in {database.place} yet; `fieldlab run` makes it"
            )
        database.require_current()
        with database.begin() as connection:  # taking the write lock shows that it can be written
            connection.execute(sa.select(campaigns.c.id).limit(1))
        database.close()
    except FieldlabError as error:
        return Finding(place, Health.WRONG, str(error))
    if database.is_sqlite and not os.access(database.place, os.W_OK):
        return Finding(place, Health.WRONG, f"{database.place} is read-only")
    return Finding(place, Health.OK, f"{database.place}, version {SCHEMA_VERSION}, writable")


def _space(home: Path) -> Finding:
    above = (home, *home.parents)
    folder = next(each for each in above if os.path.exists(each))  # noqa: PTH110 - never raises
    free = shutil.disk_usage(folder).free
    said = f"{free / 1e9:,.1f} GB free in {folder}"
    health = (
        Health.OK if free >= _LITTLE_SPACE else Health.NOTE if free >= _NO_SPACE else Health.WRONG
    )
    return Finding("disk", health, said)


def _notifications(settings: Settings) -> Iterator[Finding]:
    """Look whether everybody can be told whom the settings name; nothing is sent."""
    if not (settings.notify.urls or settings.notify.command):
        return
    from fieldlab.app.heralding import addresses

    for each in addresses(settings.notify):
        try:
            said = f"{each.notifier.check()}; `fieldlab notify test` sends a message"
            yield Finding("notify", Health.OK, said)
        except FieldlabError as error:
            yield Finding("notify", Health.WRONG, str(error))


def _tools() -> Iterator[Finding]:
    """Load what other packages add; one that can't be loaded is shown, and harms nothing else."""
    from importlib.metadata import entry_points

    for group in ("fieldlab.tools", "fieldlab.executors"):
        for each in entry_points(group=group):
            what = f"{group.rpartition('.')[2].removesuffix('s')} {each.name}"
            try:
                each.load()
            except Exception as error:  # noqa: BLE001 - whatever a plug-in does wrong is its finding
                said = f"{each.value} can't be loaded: {type(error).__name__}: {error}"
                yield Finding(what, Health.WRONG, said)
            else:
                yield Finding(what, Health.OK, each.value)


def _extras() -> Iterator[Finding]:
    from importlib.util import find_spec

    for extra, (module, purpose) in _EXTRAS.items():
        if find_spec(module):
            yield Finding(f"extra {extra}", Health.OK, purpose)
        else:
            said = (
                f"not installed; for {purpose}: `pip install '.[{extra}]'` in fieldlab's checkout"
            )
            yield Finding(f"extra {extra}", Health.NOTE, said)


def _git() -> Finding:
    program = shutil.which("git")
    if program is None:
        return Finding("git", Health.NOTE, "not installed; attempts don't record their commit")
    return Finding("git", Health.OK, f"{program}, to record the commit of every attempt")


def _sandbox() -> Finding:
    from fieldlab.sandbox import needs

    what, remedy = needs.missing()
    if what:
        return Finding("sandbox", Health.NOTE, f"can't run: {sentences(what, remedy)}")
    how = "in a user namespace" if needs.is_rootless() else "as root"
    return Finding("sandbox", Health.OK, f"virtual hosts can run, {how}")


def _workers() -> Finding:
    """Look for worker processes whose engine is gone. There are none, whatever happened.

    A keeper whose engine was killed a moment ago is just ending its workers, so it is waited for.
    """
    import psutil

    orphans = [
        process
        for process in psutil.process_iter(["ppid", "cmdline"])
        if "fieldlab.execution.keeper" in (process.info["cmdline"] or [])
        and process.info["ppid"] == 1
    ]
    _, stray = psutil.wait_procs(orphans, timeout=_KEEPER_ENDS_S)
    if stray:
        numbers = ", ".join(str(process.pid) for process in stray)
        said = f"without an engine: process {numbers}; end them with `kill`"
        return Finding("workers", Health.WRONG, said)
    return Finding("workers", Health.OK, "none without an engine")


def _clock() -> Finding:
    now = time.time()
    said = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now))
    if now < _LONG_AGO:
        return Finding("clock", Health.WRONG, f"{said} can't be right: attempts are dated by it")
    return Finding("clock", Health.OK, said)
