"""Starting a process and ending it with everything that it started."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from fieldlab.domain.commands import Command, ExitStatus

#: how long a process may take to end when it is asked politely, s
GRACE_S = 5.0

_SET_PDEATHSIG = 1
_SET_CHILD_SUBREAPER = 36


def run_command(
    command: Command,
    stdout: Path,
    stderr: Path,
    on_start: Callable[[int], None],
    *,
    alone: bool = True,
) -> ExitStatus:
    """Run a command to its end, its output into two files.

    When this returns or raises, nothing that the command started runs any more: its process group
    is gone, and on Linux also what left the group (if ``alone``).

    Parameters
    ----------
    on_start
        Told the process group as soon as it exists, and 0 when it is gone.
    alone
        Whether this process has no other children: what left the group is then found and killed.

    Raises
    ------
    OSError
        The program can't be started.
    """
    started = time.monotonic()
    process = _start(command, stdout, stderr)
    on_start(process.pid)
    timed_out = False
    try:
        timed_out = not _wait(process, command.timeout_s or None)
        if timed_out:
            _end_politely(process)
    except BaseException:
        _end_politely(process)
        raise
    finally:
        kill_group(process.pid)
        process.wait()
        if alone:
            reap_strays()
        on_start(0)
    return ExitStatus(
        code=process.returncode, duration_s=time.monotonic() - started, timed_out=timed_out
    )


def _start(command: Command, stdout: Path, stderr: Path) -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own."""
    environment = {**os.environ, **command.environment} if command.environment else None
    with stdout.open("wb") as out, stderr.open("wb") as err:
        return subprocess.Popen(
            command.argv,
            executable=_program(command.argv[0], (environment or os.environ).get("PATH")),
            cwd=command.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )


@lru_cache
def _program(name: str, path: str | None) -> str | None:
    """Look a program up once, not for each attempt; None lets the system say what is wrong."""
    return shutil.which(name, path=path) if "/" not in name else None


def _wait(process: subprocess.Popen[bytes], timeout_s: float | None) -> bool:
    """Wait until the process has ended, without collecting it; False when time ran out.

    Uncollected, it keeps its number from being given to another process, so that its group can be
    killed safely.
    """
    if not hasattr(os, "pidfd_open"):
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True
    if timeout_s is None:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return True
    descriptor = os.pidfd_open(process.pid)
    try:
        return bool(select.select([descriptor], [], [], timeout_s)[0])
    finally:
        os.close(descriptor)


def _end_politely(process: subprocess.Popen[bytes]) -> None:
    """Ask the group to end; the caller kills what is left of it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    _wait(process, GRACE_S)


def kill_group(group: int) -> None:
    """Kill a process group, if there is one."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def children(pid: int) -> list[int]:
    """List a process' children; empty where the system doesn't tell (only Linux does)."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += [int(each) for each in (task / "children").read_text().split()]
    return found


def kill_tree(pid: int) -> None:
    """Kill a process, its group and its descendants, the root first so that it starts no more."""
    below = children(pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
    for child in below:
        kill_tree(child)


def reap_strays() -> None:
    """Kill and collect every child of this process: what commands left behind and it inherited."""
    while strays := children(os.getpid()):
        for stray in strays:
            kill_tree(stray)
        for stray in strays:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(stray, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent dies (Linux: PR_SET_CHILD_SUBREAPER)."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int, by: signal.Signals = signal.SIGKILL) -> None:
    """Get a signal when the parent process dies (Linux: PR_SET_PDEATHSIG).

    Parameters
    ----------
    parent
        Its number as the parent knows it: if it has died before this call, this process ends.
    """
    _prctl(_SET_PDEATHSIG, by)
    if os.getppid() != parent:
        os._exit(1)


def _prctl(option: int, value: int) -> None:
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
