"""Processes under test: started with a mark that all their descendants inherit."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import psutil

from fieldlab.domain.definition import Definition

#: an environment variable that marks every process that a test has started
MARK = "FIELDLAB_TEST_MARK"


class MarkedProcesses:
    """Starts engines on one lab, and knows every process that came of them."""

    def __init__(self, home: Path, database: str) -> None:
        self.mark = uuid.uuid4().hex
        self.environment = {
            **os.environ,
            MARK: self.mark,
            "FIELDLAB_HOME": str(home),
            "FIELDLAB_DATABASE": database,
        }
        self.output = home.parent / "engines.log"

    def start(self, definition: Definition) -> subprocess.Popen[bytes]:
        """Start an engine that runs the definition's campaign, in a process group of its own."""
        argv = [sys.executable, "-P", str(Path(__file__).with_name("run_campaign.py"))]
        return self.start_program([*argv, json.dumps(definition.to_dict())])

    def start_program(self, argv: list[str]) -> subprocess.Popen[bytes]:
        """Start any program on the lab, in a process group of its own."""
        with self.output.open("ab") as output:
            return subprocess.Popen(
                argv,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def alive(self) -> list[psutil.Process]:
        """List the marked processes that run."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark and process.status() != "zombie":
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def named(self, part: str) -> list[psutil.Process]:
        """List those whose command line contains a word."""
        found = []
        for process in self.alive():
            try:
                if any(part in word for word in process.cmdline()):
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    @staticmethod
    def kill(process: psutil.Process) -> None:
        """Kill a process that may be gone already."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()

    def end(self) -> None:
        """Kill whatever is left, so that a failed test leaves nothing behind."""
        for process in self.alive():
            self.kill(process)

    def gone(self) -> bool:
        """Whether none of them runs any more."""
        return not self.alive()

    def told(self) -> str:
        """Read what the engines printed."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""
