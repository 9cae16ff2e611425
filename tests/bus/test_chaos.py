"""Publishers, actors and supervisors are killed at random: each message takes effect once."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from fieldlab.store.database import Database
from tests.bus import cast
from tests.engine.processes import MarkedProcesses
from tests.waiting import wait_until

MESSAGES = 10_000
KILLS = 25


class Players:
    """The processes of the play, each started again when it is dead."""

    def __init__(self, marked: MarkedProcesses) -> None:
        self._marked = marked
        program = str(Path(cast.__file__))
        fieldlab = [sys.executable, "-P", "-m", "fieldlab", "actors", "run", f"{program}:Counting"]
        self._argvs = {
            "publisher": [sys.executable, "-P", program, str(MESSAGES)],
            "actor": fieldlab,
            "troupe": [*fieldlab, "--processes"],
        }
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.deaths = 0

    def revive(self) -> None:
        for name, argv in self._argvs.items():
            if name not in self.running or self.running[name].poll() is not None:
                self.deaths += name in self.running
                self.running[name] = self._marked.start_program(argv)

    def kill_one(self, random_: random.Random) -> None:
        """Kill one of those that run, the processes of the troupe among them."""
        victims = self._marked.alive()
        if victims:
            victim = random_.choice(sorted(victims, key=lambda each: each.pid))
            MarkedProcesses.kill(victim)


@pytest.mark.timeout(280)
def test_killing_anybody_at_any_moment_loses_and_doubles_no_effect(
    database_url: str, folder: Path, request: pytest.FixtureRequest
) -> None:
    random_ = random.Random("chaos of the bus")
    database = Database(database_url)
    request.addfinalizer(database.close)
    with database.begin() as connection:
        connection.execute(sa.text("CREATE TABLE counted (message_id VARCHAR(36))"))
    marked = MarkedProcesses(folder / "lab", database_url)
    request.addfinalizer(marked.end)

    def one(statement: str) -> int:
        with database.read() as connection:
            return int(connection.scalar(sa.text(statement)) or 0)

    players = Players(marked)
    for _ in range(KILLS):
        players.revive()
        time.sleep(random_.uniform(0.0, 0.8))  # the random moment itself
        players.kill_one(random_)
    players.revive()
    settled = "SELECT count(*) FROM deliveries WHERE state = 'acknowledged'"
    deadline = time.monotonic() + 200
    while one(settled) < MESSAGES:
        assert time.monotonic() < deadline, marked.told()[-3000:]
        time.sleep(0.2)  # the event is in other processes
        players.revive()
    assert one("SELECT count(*) FROM counted") == MESSAGES
    assert one("SELECT count(DISTINCT message_id) FROM counted") == MESSAGES
    assert one("SELECT count(*) FROM messages WHERE topic = 'counted'") == MESSAGES
    assert one("SELECT count(*) FROM deliveries WHERE state <> 'acknowledged'") == 0
    for each in players.running.values():
        each.terminate()
    for each in players.running.values():
        each.wait(60)
    wait_until(marked.gone, "whoever is asked to end ends, and nothing is left running")
