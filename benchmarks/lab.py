"""fieldlab as its users meet it: a definition in a folder, and the program."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measuring import ROOT, Program, Run

NAME = "bench"

NOOP = {"function": "benchmarks.contenders.noop:noop"}
TRUE = {"command": ["true", "{x}"]}


@dataclass(frozen=True, slots=True)
class LabFolder:
    """A folder with an experiment and its lab."""

    path: Path
    #: the lab's database; a SQLite file in the folder if absent
    url: str = ""

    def define(
        self, tool: Mapping[str, object], *axes: int, executor: Mapping[str, object] | None = None
    ) -> None:
        """Write a definition: every combination of 0, 1, 2 … along one axis or two."""
        names = "xz"[: len(axes)]
        matrix = {name: {"range": [0, size - 1]} for name, size in zip(names, axes, strict=True)}
        definition = {"name": NAME, "tool": tool, "space": {"matrix": matrix}}
        if executor is not None:
            definition["executor"] = executor
        (self.path / "experiment.json").write_text(json.dumps(definition))

    @property
    def database(self) -> Path:
        """The lab's database."""
        return self.path / ".fieldlab" / "lab.db"

    def start(self, *words: str) -> Program:
        """Start fieldlab in the folder."""
        environment = {
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "FIELDLAB_HOME": f"{self.path / '.fieldlab'}",
            "FIELDLAB_DATABASE": self.url,
        }
        return Program.start(fieldlab(*words), self.path, environment)

    def fieldlab(self, *words: str) -> Run:
        """Run fieldlab in the folder to its end."""
        return self.start(*words).finish()

    def number(self, query: str) -> int:
        """Read one number from the database; 0 when there is none, or no database yet."""
        found = self._one(query)
        return int(str(found)) if found is not None else 0

    def moment(self, query: str) -> float | None:
        """Read one moment from the database, as Unix time, s."""
        found = self._one(query)
        if found is None:
            return None
        return datetime.fromisoformat(str(found)).replace(tzinfo=UTC).timestamp()

    def _one(self, query: str) -> object:
        if not self.database.exists():
            return None
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            try:
                (found,) = connection.execute(query).fetchone()
            except sqlite3.OperationalError:  # not made yet
                return None
            return found

    def succeeded(self) -> int:
        """Count the trials that the lab has as succeeded, row by row."""
        return self.number("SELECT COUNT(*) FROM trials WHERE state = 'succeeded'")


def fieldlab(*words: str) -> list[str]:
    """Write a command line of fieldlab."""
    return [sys.executable, "-m", "fieldlab", *words]
