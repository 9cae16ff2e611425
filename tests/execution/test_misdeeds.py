"""Whatever a function does, its trial gets a record that explains it, and the next trial works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fieldlab.execution.local import LocalExecutor
from fieldlab.ports.executor import AttemptRecord
from tests.engine.processes import MARK, MarkedProcesses
from tests.execution.staging import Ran, function_setup, run_batches

SOURCE = r"""
import ctypes, os, re, signal, subprocess, sys, threading, time

class Mute(Exception):
    def __str__(self):
        raise RuntimeError("I don't say")

class Odd(Exception):
    def __str__(self):
        return "caf\udce9 \0 end"

def dig():
    return dig() + 1

def stay():
    threading.Event().wait()

def hang(on):
    if on == "a sleep":
        time.sleep(300)
    if on == "everything caught":
        while True:
            try:
                time.sleep(300)
            except BaseException:
                pass
    re.match("(a+)+b", "a" * 60)  # holds the interpreter's lock

def fork_and_return():
    os.fork()
    return {"y": "either"}

def fork_and_raise():
    if os.fork() == 0:
        raise ValueError("the child")
    os.wait()

def close_everything():
    os.closerange(3, 256)
    time.sleep(300)

def raise_(error):
    raise error

DEEDS = {
    "raise": lambda: raise_(ValueError("what\nhappened")),
    "raise without text": lambda: raise_(ValueError()),
    "raise a novel": lambda: raise_(ValueError("word " * 4_000_000)),
    "raise a mute": lambda: raise_(Mute()),
    "raise odd text": lambda: raise_(Odd()),
    "raise a group": lambda: raise_(ExceptionGroup("both", [ValueError("a"), KeyError("b")])),
    "SystemExit": lambda: raise_(SystemExit),
    "sys.exit 0": lambda: sys.exit(0),
    "sys.exit 143": lambda: sys.exit(143),
    "KeyboardInterrupt": lambda: raise_(KeyboardInterrupt),
    "GeneratorExit": lambda: raise_(GeneratorExit),
    "StopIteration": lambda: raise_(StopIteration),
    "RecursionError": dig,
    "MemoryError": lambda: bytearray(1 << 60),
    "os._exit 0": lambda: os._exit(0),
    "os._exit 7": lambda: os._exit(7),
    "os.abort": os.abort,
    "segfault": lambda: ctypes.string_at(0),
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "SIGTERM to its group": lambda: os.killpg(0, signal.SIGTERM),
    "hang in a sleep": lambda: hang("a sleep"),
    "hang catching everything": lambda: hang("everything caught"),
    "hang holding the lock": lambda: hang("the lock"),
    "close every file": close_everything,
    "leave a child": lambda: subprocess.Popen(["sleep", "300"]) and None,
    "fork and return": fork_and_return,
    "fork and raise": fork_and_raise,
    "print a lot": lambda: print("x" * 50_000_000),
    "print odd text": lambda: print("caf\udce9"),
    "change the folder": lambda: os.chdir("/"),
    "close stdout": lambda: os.close(1),
    "close sys.stdout": lambda: sys.stdout.close(),
    "replace sys.stdout": lambda: setattr(sys, "stdout", None),
    "replace sys.stderr": lambda: setattr(sys, "stderr", 7),
    "delete its module": lambda: sys.modules.pop("study") and None,
    "empty sys.path": lambda: sys.path.clear(),
    "leave a thread": lambda: threading.Thread(target=stay).start(),
    "leave a daemon": lambda: threading.Thread(target=stay, daemon=True).start(),
    "ignore SIGTERM": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN) and None,
    "set a timer": lambda: signal.alarm(1) and None,
    "a closed socket": lambda: os.fdopen(0).close(),
    "empty the environment": lambda: os.environ.clear(),
}

def work(deed, then):
    if then == "works":
        return {"y": "fine", "folder": os.path.basename(os.getcwd())}
    return DEEDS[deed]()
"""

#: deed → what the record's status matches
ENDS = {
    "raise": r"ValueError: what happened$",
    "raise without text": r"ValueError$",
    "raise a novel": r"ValueError: word word",
    "raise a mute": r"Mute$",
    "raise odd text": r"Odd: caf\? \? end$",
    "raise a group": r"ExceptionGroup: both \(2 sub-exceptions\)$",
    "SystemExit": r"SystemExit$",
    "sys.exit 0": r"SystemExit: 0$",
    "sys.exit 143": r"SystemExit: 143$",
    "KeyboardInterrupt": r"KeyboardInterrupt$",
    "GeneratorExit": r"GeneratorExit$",
    "StopIteration": r"StopIteration$",
    "RecursionError": r"RecursionError: maximum recursion depth",
    "MemoryError": r"MemoryError$",
    "os._exit 0": r"process died: exit code 0$",
    "os._exit 7": r"process died: exit code 7$",
    "os.abort": r"process died: killed by SIGABRT$",
    "segfault": r"process died: killed by SIGSEGV$",
    "SIGKILL": r"process died: killed by SIGKILL$",
    "SIGTERM to its group": r"process died: exit code 143$",
    "hang in a sleep": r"timeout$",
    "hang catching everything": r"timeout$",
    "hang holding the lock": r"timeout$",
    "close every file": r"process died: killed by SIGKILL$|timeout$",
    "print odd text": r"UnicodeEncodeError: |success$",
    "close sys.stdout": r"success$",
}
FINE = r"success$"

DEEDS = list(
    dict.fromkeys(line.split('"')[1] for line in SOURCE.splitlines() if line.startswith('    "'))
)
TIMEOUT_S = 1.5


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Let every deed be done, each followed by a harmless trial in the same batch."""
    folder = tmp_path_factory.mktemp("misdeeds")
    space = {"matrix": {"deed": DEEDS, "then": ["", "works"]}}
    setup = function_setup(folder, SOURCE, space, timeout_s=TIMEOUT_S)
    marked = MarkedProcesses(folder / "lab", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARK, marked.mark)
        patch.chdir(folder)
        pairs = [[2 * each, 2 * each + 1] for each in range(len(DEEDS))]
        ran = run_batches(LocalExecutor(2), setup, pairs)
    assert marked.gone(), "something is left of the misdeeds"
    return ran


def record_of(ran: Ran, deed: str) -> AttemptRecord:
    return ran.record(2 * DEEDS.index(deed))


@pytest.mark.parametrize("deed", DEEDS)
def test_the_record_says_what_happened(ran: Ran, deed: str) -> None:
    record = record_of(ran, deed)
    assert re.match(ENDS.get(deed, FINE), record.status), record.status
    assert len(record.status) <= 200
    good = record.status == "success"
    assert record.state == ("succeeded" if good else "failed")
    assert record.failure == ("" if good else "experiment")
    assert bool(record.error) != good
    assert len(record.error) < 20_000
    (record.status + record.error).encode()  # any database takes it
    assert "\0" not in record.status + record.error


@pytest.mark.parametrize("deed", DEEDS)
def test_the_next_trial_works(ran: Ran, deed: str) -> None:
    position = 2 * DEEDS.index(deed) + 1
    assert ran.record(position).status == "success"
    [row] = ran.rows_of(position)
    assert row["y"] == "fine"
    assert row["folder"].startswith("misdeeds"), "it doesn't stand where the others do"


def test_every_trial_has_one_record(ran: Ran) -> None:
    assert sorted(record.position for record in ran.records) == list(range(2 * len(DEEDS)))


def test_a_traceback_shows_the_users_code_only(ran: Ran) -> None:
    error = record_of(ran, "raise").error
    assert "study.py" in error
    assert 'raise_(ValueError("what\\nhappened"))' in error
    assert "fieldlab" not in error


def test_a_crash_says_where_to_look(ran: Ran) -> None:
    record = record_of(ran, "segfault")
    assert record.exit_code == -11
    assert "workers.log" in record.error
    assert "too little memory" in record.error


def test_a_time_limit_says_how_long_it_was(ran: Ran) -> None:
    for deed in ("hang in a sleep", "hang holding the lock"):
        record = record_of(ran, deed)
        assert f"time limit of {TIMEOUT_S:g} s" in record.error
        assert TIMEOUT_S < record.ended - record.started < TIMEOUT_S + 2


def test_what_a_function_prints_is_in_the_log(folder: Path) -> None:
    source = 'def work(x):\n    print("from trial", x)'
    setup = function_setup(folder, source, {"matrix": {"x": [4, 5]}})
    run_batches(LocalExecutor(1), setup, [[0, 1]])
    log = (folder / "attempts" / "workers.log").read_text()
    assert "from trial 4\nfrom trial 5\n" in log
