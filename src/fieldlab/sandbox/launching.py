"""Starting the supervisor of a sandbox, and ending one, whatever has happened to it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from fieldlab.domain.errors import BadInput, SandboxError
from fieldlab.sandbox import control, needs
from fieldlab.sandbox.folder import Folder, Plan, Standing, started_ticks

#: how long a sandbox may take to come up, s
_START_S = 90.0
#: how long it may take to end in order, s
_ORDER_S = 10.0
#: how long processes may take to die that were killed, s
_END_S = 20.0
#: nothing tells when an interface is gone: so often it is looked, s
_LOOK_S = 0.01


def claim(folder: Folder) -> int:
    """Take a folder for a new sandbox; give the lock, which its supervisor is to hold.

    Raises
    ------
    BadInput
        A sandbox is up there, or other things lie there.
    """
    if folder.is_strange():
        remedy = "Name a folder that is empty or doesn't exist"
        raise BadInput(f"In {folder.path} lies something else", remedy=remedy)
    folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_ino != folder.lock.stat().st_ino:
            raise BlockingIOError  # it was just removed with a sandbox that ended
    except (BlockingIOError, FileNotFoundError):
        os.close(lock)
        remedy = "Take it down first: `fieldlab sandbox down`"
        raise BadInput(f"A sandbox is up in {folder.path} already", remedy=remedy) from None
    return lock


def launch(folder: Folder, plan: Plan, lock: int) -> None:
    """Start the supervisor, give it the lock, and wait until every host is up.

    Raises
    ------
    SandboxError
        It can't be done here; nothing is left of it.
    """
    try:
        clean(folder)
        folder.prepare(plan)
        pid, reading = _spawn(folder, lock)
    finally:
        os.close(lock)
    try:
        said = _hear(reading)
    except BaseException:  # whoever waits was interrupted: half a sandbox is none
        end(pid, None)
        folder.remove()
        raise
    finally:
        os.close(reading)
    if said is None or "error" in said:
        text = folder.log.read_text(errors="replace").strip() if folder.log.exists() else ""
        end(pid, None)
        folder.remove()
        said = said or {
            "error": f"The sandbox's supervisor ended: {text[-800:] or 'it said nothing'}"
        }
        raise SandboxError(said["error"], remedy=said.get("remedy", ""))


def _spawn(folder: Folder, lock: int) -> tuple[int, int]:
    """Start the supervisor; give its number, and where to read what it says of its start."""
    reading, writing = os.pipe()
    rootless = needs.is_rootless()
    argv = [sys.executable, "-P", "-m", "fieldlab.sandbox.supervisor", str(folder.path), "3"]
    if rootless:
        argv = [*needs.unsharing(), "--", *argv, "--rootless"]
    try:
        # no Popen: nobody has to wait for a sandbox that outlives this process
        pid = os.posix_spawn(
            argv[0],
            argv,
            {**os.environ, "PATH": needs.search_path()},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(folder.log), os.O_WRONLY | os.O_CREAT, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                *_placed(writing, lock),
            ],
            setsid=True,
        )
    finally:
        os.close(writing)
    return pid, reading


def _placed(writing: int, lock: int) -> list[tuple[int, ...]]:
    """Let the supervisor have these two as 3 and 4, whatever their numbers are here."""
    # neither may be overwritten before it is copied: both go high first
    return [
        (os.POSIX_SPAWN_DUP2, writing, 203),
        (os.POSIX_SPAWN_DUP2, lock, 204),
        (os.POSIX_SPAWN_DUP2, 203, 3),
        (os.POSIX_SPAWN_DUP2, 204, 4),
        (os.POSIX_SPAWN_CLOSE, 203),
        (os.POSIX_SPAWN_CLOSE, 204),
    ]


def _hear(reading: int) -> dict[str, str] | None:
    """Wait for what the supervisor says of its start; None if it says nothing."""
    end_at = time.monotonic() + _START_S
    text = b""
    while not text.endswith(b"\n"):
        left = end_at - time.monotonic()
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            return {"error": f"The sandbox didn't come up within {_START_S:g} s"}
        part = os.read(reading, 65_536)
        if not part:
            return None
        text += part
    return control.decode(text)


def is_up(standing: Standing | None) -> bool:
    """Whether the supervisor runs; another process that has its number now isn't taken for it."""
    return standing is not None and started_ticks(standing.supervisor) == standing.started_ticks


def end(pid: int, standing: Standing | None) -> None:
    """End a supervisor with all below it: in order if it still can, else by force.

    Parameters
    ----------
    standing
        If it is given and the number is another process's by now, nothing happens to that.

    Raises
    ------
    SandboxError
        Something doesn't end.
    """
    with contextlib.ExitStack() as descriptors, contextlib.suppress(ProcessLookupError):
        supervisor = _watched(pid, descriptors)
        if standing is not None and not is_up(standing):
            return
        below = {}
        for child in _below(pid):
            with contextlib.suppress(ProcessLookupError):
                below[_watched(child, descriptors)] = child
        signal.pidfd_send_signal(supervisor, signal.SIGTERM)
        if not _has_ended(supervisor, _ORDER_S):
            signal.pidfd_send_signal(supervisor, signal.SIGKILL)
        left = [number for each, number in below.items() if not _has_ended(each, _END_S)]
        if left or not _has_ended(supervisor, _END_S):
            numbers = ", ".join(map(str, [pid, *left]))
            raise SandboxError(f"Processes of the sandbox don't end: {numbers}")
        with contextlib.suppress(ChildProcessError):  # it may be a child of another process
            os.waitpid(pid, 0)
    if standing is not None and standing.uplink:
        await_release(standing.uplink)


def _below(pid: int) -> list[int]:
    try:
        return [each.pid for each in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _watched(pid: int, descriptors: contextlib.ExitStack) -> int:
    descriptor = os.pidfd_open(pid)
    descriptors.callback(os.close, descriptor)
    return descriptor


def _has_ended(descriptor: int, timeout_s: float) -> bool:
    """Wait until a process has ended; whether its parent has collected it doesn't matter."""
    return bool(select.select([descriptor], [], [], timeout_s)[0])


def await_release(uplink: str) -> None:
    """Wait until the kernel has removed the network of a supervisor that was killed."""
    interface = Path("/sys/class/net", uplink)
    end_at = time.monotonic() + _END_S
    while interface.exists():
        if time.monotonic() > end_at:
            remedy = f"As root: ip link del {uplink}"
            raise SandboxError(f"The interface {uplink} is still there", remedy=remedy)
        time.sleep(_LOOK_S)


def entering(standing: Standing, pid: int) -> list[str]:
    """Give the start of a command that runs another one in a host's namespaces."""
    user = ["--user", "--preserve-credentials"] if standing.rootless else []
    kinds = ["--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"]
    return [needs.find_program("nsenter"), "--target", str(pid), *user, *kinds, "--"]


def run(
    argv: list[str], text: str | None, timeout_s: float | None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with a host's environment."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8", "USER": "root"}
    stdin = {"input": text} if text is not None else {"stdin": subprocess.DEVNULL}
    return subprocess.run(
        argv,
        capture_output=True,
        text=True,
        env=environment,
        timeout=timeout_s,
        check=False,
        **stdin,
    )


def clean(folder: Folder) -> None:
    """End what runs for a folder, and remove what lies in it, but for the lock."""
    standing = folder.read_standing()
    if standing is not None and is_up(standing):
        end(standing.supervisor, standing)
    # else the kernel has removed, or is about to, all but the files
    folder.empty()
