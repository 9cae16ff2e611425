"""The disk, the database and the folder fail: a clear message, nothing corrupt, resume works."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from fieldlab.domain.definition import Definition, ExecutorSpec, ToolSpec
from fieldlab.domain.errors import FieldlabError
from fieldlab.domain.policies import RetryPolicy
from fieldlab.store.database import Database
from tests.engine.processes import MarkedProcesses
from tests.engine.test_chaos import assert_recorded_once
from tests.postgres import PostgresServer
from tests.waiting import wait_until

STUDY = """
import time

def work(x):
    time.sleep(0.005)
    return {"text": "x" * 2000}
"""

Start = Callable[[Path, str], MarkedProcesses]


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Start:
    """Make marked processes that end with the test."""

    def make(home: Path, database: str) -> MarkedProcesses:
        marked = MarkedProcesses(home, database)
        request.addfinalizer(marked.end)
        return marked

    return make


def definition(folder: Path, trials: int) -> Definition:
    (folder / "study.py").write_text(STUDY)
    return Definition(
        name="chaos",
        tool=ToolSpec(kind="function", options={"call": "study.py:work"}),
        space={"matrix": {"x": {"range": [1, trials]}}},
        executor=ExecutorSpec(slots=2),
        retry=RetryPolicy(attempts=2),
        folder=str(folder),
    )


def succeeded(url: str) -> int:
    """Count the recorded trials; 0 as long as there is no database."""
    database = Database(url)
    try:
        with database.read() as connection:
            return int(connection.scalar(sa.text("SELECT sum(succeeded) FROM campaigns")) or 0)
    except FieldlabError:  # it isn't there yet, or it is away at the moment
        return 0
    finally:
        database.close()


def has_recorded(url: str, goal: int) -> bool:
    return succeeded(url) >= goal


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 4 MB."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small file system")
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_stops_the_engine_with_a_reason_and_resume_goes_on(
    small_disk: Path, folder: Path, start: Start
) -> None:
    url = f"sqlite:///{small_disk / 'lab.db'}"
    trials = 3000
    marked = start(folder / "lab", url)
    engine = marked.start(definition(folder, trials))
    assert engine.wait(60) != 0
    assert "No space is left for the database" in marked.told()
    wait_until(marked.gone, "its processes end")
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert 0 < succeeded(url) < trials
    assert marked.start(definition(folder, trials)).wait(90) == 0, marked.told()[-2000:]
    assert_recorded_once(url, folder / "lab" / "status" / "chaos.1.csv", trials)


def test_a_spreadsheet_that_cannot_be_written_is_told_and_made_good_later(
    folder: Path, start: Start
) -> None:
    url = f"sqlite:///{folder / 'lab' / 'lab.db'}"
    blocked = folder / "lab" / "status" / "chaos.1.csv"
    blocked.mkdir(parents=True)
    marked = start(folder / "lab", url)
    assert marked.start(definition(folder, 50)).wait(60) == 0
    assert "can't be written" in marked.told()
    blocked.rmdir()
    assert marked.start(definition(folder, 51)).wait(60) == 0
    sheet = folder / "lab" / "status" / "chaos.2.csv"
    assert len(sheet.read_text().splitlines()) == 2


def test_a_locked_database_is_waited_for(folder: Path, start: Start) -> None:
    path = folder / "lab" / "lab.db"
    marked = start(folder / "lab", f"sqlite:///{path}")
    trials = 1500
    engine = marked.start(definition(folder, trials))
    wait_until(lambda: succeeded(f"sqlite:///{path}") > 0, "the first trials are recorded")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        wait_until(lambda: "is locked by another program" in marked.told(), "it says so")
        other.execute("ROLLBACK")
    assert engine.wait(60) == 0, marked.told()[-2000:]
    assert_recorded_once(f"sqlite:///{path}", folder / "lab" / "status" / "chaos.1.csv", trials)


#: says what has ended, and goes on when it is let
STEPWISE = """
import pathlib, time
def work(x):
    with open("ran", "a") as file:
        file.write(f"{x}\\n")
    if x > 2:
        while not pathlib.Path("go").exists():
            time.sleep(0.01)
    return {"y": x}
"""


@pytest.fixture
def held(folder: Path, start: Start) -> Iterator[tuple[MarkedProcesses, sqlite3.Connection]]:
    """Have an engine on a lab whose database another program can lock; two trials wait."""
    (folder / "study.py").write_text(STEPWISE)
    path = folder / "lab" / "lab.db"
    marked = start(folder / "lab", f"sqlite:///{path}")
    definition_ = replace(definition(folder, 4), retry=RetryPolicy())
    (folder / "study.py").write_text(STEPWISE)
    engine = marked.start(definition_)
    wait_until(lambda: succeeded(f"sqlite:///{path}") == 2, "the first trials are recorded")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield marked, other
    engine.kill()
    engine.wait()


def engine_of(marked: MarkedProcesses) -> psutil.Process:
    [engine] = marked.named("run_campaign")
    return engine


def test_a_trial_that_ended_while_the_database_was_locked_is_recorded_on_the_way_out(
    held: tuple[MarkedProcesses, sqlite3.Connection], folder: Path
) -> None:
    marked, other = held
    (folder / "go").touch()
    wait_until(lambda: "Waiting for the database" in marked.told(), "it says so")
    engine_of(marked).send_signal(signal.SIGINT)
    wait_until(lambda: "to end" in marked.told(), "it was told to end")
    other.execute("ROLLBACK")
    wait_until(marked.gone, "it ends")
    assert "is back after" in marked.told()
    assert marked.told().count("Waiting for the database") == 1
    assert succeeded(f"sqlite:///{folder / 'lab' / 'lab.db'}") == 4
    assert sorted((folder / "ran").read_text().split()) == ["1", "2", "3", "4"]


def test_ctrl_c_twice_gives_a_locked_database_up(
    held: tuple[MarkedProcesses, sqlite3.Connection], folder: Path
) -> None:
    marked, _ = held
    (folder / "go").touch()
    wait_until(lambda: "Waiting for the database" in marked.told(), "it says so")
    engine = engine_of(marked)
    engine.send_signal(signal.SIGINT)
    wait_until(lambda: "to end" in marked.told(), "it was told to end")
    engine.send_signal(signal.SIGINT)
    wait_until(marked.gone, "it ends, although nothing else has changed")
    assert "of the attempts that have ended, 2 are not recorded" in marked.told()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_postgresql_may_restart_while_a_campaign_runs(
    mode: str, postgres_server: PostgresServer, folder: Path, start: Start
) -> None:
    url = postgres_server.create("lab")
    marked = start(folder / "lab", url)
    trials = 2000
    engine = marked.start(definition(folder, trials))
    for goal in (200, 600, 1000):
        wait_until(partial(has_recorded, url, goal), f"{goal} trials are recorded")
        postgres_server.restart(mode)
    assert engine.wait(90) == 0, marked.told()[-2000:]
    assert_recorded_once(url, folder / "lab" / "status" / "chaos.1.csv", trials)


def test_a_folder_that_cannot_be_written_is_an_error_before_anything_runs(
    folder: Path, start: Start
) -> None:
    (folder / "lab").write_text("a file where the folder should be")
    marked = start(folder / "lab", f"sqlite:///{folder / 'lab' / 'lab.db'}")
    assert marked.start(definition(folder, 10)).wait(30) != 0
    assert "FIELDLAB_HOME" in marked.told()
    wait_until(marked.gone, "nothing is left running")
