"""Telling engines that died from those that are merely slow."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from fieldlab.engine.liveness import (
    SILENCE_S,
    dead_engines,
    is_dead,
    start_of,
    this_engine,
    this_machine,
)
from fieldlab.ports.store import Engine, EngineSign


def sign(engine: Engine, silent_s: float = 0.0) -> EngineSign:
    return EngineSign(engine=engine, silent_s=silent_s)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """Have another process, which waits to be ended."""
    argv = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as started:
        yield started
        started.kill()


def engine_of(process: subprocess.Popen[bytes]) -> Engine:
    began = start_of(process.pid)
    return replace(this_engine(1), pid=process.pid, process_started=began)


def test_this_process_is_alive() -> None:
    engine = this_engine(3)
    assert (engine.pid, engine.slots, engine.host) == (os.getpid(), 3, socket.gethostname())
    assert not is_dead(sign(engine))
    assert this_engine(3).id != engine.id


def test_silence_of_a_process_that_is_there_means_nothing() -> None:
    """It may be stopped in a debugger, or its machine may have slept."""
    assert not is_dead(sign(this_engine(1), silent_s=10 * SILENCE_S))


def test_a_killed_process_is_dead_at_once(process: subprocess.Popen[bytes]) -> None:
    engine = engine_of(process)
    assert not is_dead(sign(engine))
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
    assert is_dead(sign(engine)), "nobody has collected it, but it runs no more"
    process.wait()
    assert is_dead(sign(engine))


def test_another_process_with_its_number_is_not_it() -> None:
    engine = this_engine(1)
    assert is_dead(sign(replace(engine, process_started=engine.process_started - 3600)))


@pytest.mark.parametrize(
    ("silent_s", "dead"), [(0.0, False), (SILENCE_S - 1, False), (SILENCE_S + 1, True)]
)
def test_an_engine_elsewhere_is_dead_when_it_has_been_silent(silent_s: float, dead: bool) -> None:
    elsewhere = replace(this_engine(1), host="another-machine", pid=os.getpid())
    assert is_dead(sign(elsewhere, silent_s)) == dead


@pytest.mark.parametrize(
    "machine",
    ["another-boot pid:[4026531836]", this_machine().replace("pid:[", "pid:[1")],
    ids=["another kernel", "another container of this one"],
)
def test_a_host_of_the_same_name_is_not_this_machine(machine: str) -> None:
    """Its numbers say nothing here: the process may be there, and may be another one."""
    namesake = replace(this_engine(1), machine=machine, process_started=-1.0)
    assert not is_dead(sign(namesake, silent_s=SILENCE_S - 1))
    assert is_dead(sign(namesake, silent_s=SILENCE_S + 1))


def test_an_engine_that_has_not_said_more_is_told_by_its_host() -> None:
    old = replace(this_engine(1), machine="")
    assert not is_dead(sign(old, silent_s=10 * SILENCE_S))
    assert is_dead(sign(replace(old, process_started=-1.0)))


def test_the_dead_are_listed() -> None:
    here = this_engine(1)
    gone = replace(here, id="gone", process_started=-1.0)
    silent = replace(here, id="silent", host="another-machine")
    signs = [sign(here), sign(gone), sign(silent, 99.0)]
    assert dead_engines(signs) == ["gone", "silent"]


def test_an_engine_says_who_started_it_and_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["python", "fieldlab", "--url=https://ada:secret@h/x", "caf\udce9"]
    monkeypatch.setattr(sys, "orig_argv", words)
    monkeypatch.chdir(tmp_path)
    engine = this_engine(1, user="ada")
    assert (engine.user, engine.directory) == ("ada", str(tmp_path))
    assert engine.command_line == ("python", "fieldlab", "--url=https://h/x", "caf\ufffd")


def test_an_engine_may_stand_in_a_folder_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert this_engine(1).directory == ""
