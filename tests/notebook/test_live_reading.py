"""Reading while a campaign writes: no half trials, nobody held up, nothing kept open."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from fieldlab.app import Lab
from fieldlab.domain.trials import CampaignState
from fieldlab.notebook.reading import LabReader
from tests.cli.program import finish, start
from tests.store.staging import HandEngine, running
from tests.waiting import wait_until

#: rows of each trial
ROWS = 7
#: its trials wait until the file `limit` lets them go on
STUDY = f"""\
import pathlib
import time

def spread(x):
    while x > int(pathlib.Path("limit").read_text() or 0):
        time.sleep(0.005)
    return [{{"part": part, "of_all": {ROWS}}} for part in range({ROWS})]
"""
EXPERIMENT = """\
name: spread
tool: {function: "study.py:spread"}
space: {matrix: {x: {range: [1, 2000]}}}
executor: {local: {slots: 2}}
"""


@pytest.fixture
def written(folder: Path) -> Path:
    """Have an experiment whose trials return several rows each."""
    (folder / "study.py").write_text(STUDY)
    (folder / "spread.yaml").write_text(EXPERIMENT)
    return folder


def allow(folder: Path, limit: int) -> None:
    """Let the trials up to a number run."""
    part = folder / "limit.part"
    part.write_text(str(limit))
    part.replace(folder / "limit")


def test_a_reader_never_sees_half_a_trial(written: Path, reader: LabReader) -> None:
    allow(written, 200)
    process = start("run", "spread.yaml", folder=written)
    wait_until(lambda: len(reader.campaigns()), "there is a campaign", process)
    limit, sizes = 200, [0]
    while process.poll() is None:
        frame = reader.results("spread")
        if len(frame):
            rows = frame.groupby("trial_id")["part"].agg(["size", "sum"])
            assert (rows == [ROWS, sum(range(ROWS))]).all(axis=None)
        assert len(frame) >= sizes[-1], "what was recorded stays"
        if len(frame) > sizes[-1] and limit <= 2000:
            sizes.append(len(frame))
            limit += 200
            allow(written, limit)
    assert finish(process)[0] == 0
    assert len(reader.results("spread")) == 2000 * ROWS
    assert len(sizes) > 5, "it was read while it ran"


def test_an_open_reader_holds_up_nobody_and_sees_one_moment(
    written: Path, lab: Lab, reader: LabReader
) -> None:
    allow(written, 2000)
    with lab.database.read() as connection:
        before = connection.exec_driver_sql("SELECT count(*) FROM campaigns").scalar()
        code, _, err = finish(start("run", "spread.yaml", folder=written))
        assert code == 0, err
        after = connection.exec_driver_sql("SELECT count(*) FROM campaigns").scalar()
        assert (before, after) == (0, 0)
    assert len(reader.results("spread")) == 2000 * ROWS


def tidied(lab: Lab) -> bool:
    """Copy SQLite's log into the database and cut it to nothing: impossible while one reads."""
    with closing(sqlite3.connect(lab.database.place, timeout=0, isolation_level=None)) as plain:
        busy, left, _ = plain.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy and left == 0


def test_a_watching_notebook_lets_sqlite_cut_its_log(lab: Lab, reader: LabReader) -> None:
    if not lab.database.is_sqlite:
        return  # PostgreSQL has no such log
    campaign = running(lab.store, positions=1000)
    engine = HandEngine(lab.store, campaign)
    engine.acquire(1000)

    def record(position: int) -> None:
        engine.end(position)
        engine.record()

    record(0)
    with lab.database.read() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM trials").scalar()
        record(1)
        assert not tidied(lab), "an open transaction would be seen"
    watcher = threading.Thread(target=reader.watch, args=("probe",), kwargs={"every_s": 0.02})
    watcher.start()
    for position in range(2, 40):
        record(position)
        wait_until(lambda: tidied(lab), "the log can be cut")
        assert watcher.is_alive()
    lab.store.change_state(campaign.id, CampaignState.PAUSED, by="tester", why="")
    lab.store.retire(campaign.id, engine.id)
    watcher.join(timeout=60)
    assert not watcher.is_alive()
