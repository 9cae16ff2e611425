"""Hosts, outcomes, real files: what the tests of tools over several hosts share."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from fieldlab.domain.commands import ExitStatus
from fieldlab.ports.tool import STDERR, STDOUT, HostPlace, Outcome, Place, Plan, Process

ROOT = Path(__file__).parents[2]
LOOPBACK = "127.0.0.1"
WELL = ExitStatus(code=0)


def shared_data(*names: str) -> Path:
    """Find real files beside the repository; without them the test is skipped."""
    for parent in ROOT.parents:
        path = Path(parent, "shared", "data", *names)
        if path.exists():
            return path
    pytest.skip(f"needs {'/'.join(('shared', 'data', *names))} beside the repository")


def needs_program(name: str, package: str) -> None:
    """Skip a test whose program isn't installed."""
    if shutil.which(name) is None:
        pytest.skip(f"needs {name}: install the Debian package {package}")


def host(
    name: str, *roles: str, address: str = "", interface: str = "", out: str = ""
) -> HostPlace:
    """Make a host of an attempt."""
    return HostPlace(
        name=name,
        address=address or f"10.0.0.{name.strip('abcdefghijklmnopqrstuvwxyz') or 1}",
        roles=roles,
        out=out or f"/out/{name}",
        interface=interface,
    )


def place(*hosts: HostPlace) -> Place:
    """Make the place of an attempt."""
    return Place(
        here="/lab", out="/lab/out", fingerprint="0f1e", repeat=2, attempt=3, hosts=tuple(hosts)
    )


def outcome(
    exits: Mapping[str, int | ExitStatus], files: Mapping[str, str | bytes] | None = None
) -> Outcome:
    """Say how an attempt ended."""
    return Outcome(
        exits={
            name: end if isinstance(end, ExitStatus) else ExitStatus(code=end)
            for name, end in exits.items()
        },
        files={
            name: text if isinstance(text, bytes) else text.encode()
            for name, text in (files or {}).items()
        },
    )


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
        return port


def really_run(plan: Plan, folder: Path) -> Outcome:
    """Run the processes of a plan on this machine, all hosts being it."""
    running = {}
    for process in sorted(plan.processes, key=lambda each: each.delay_s):
        if process.delay_s:
            time.sleep(process.delay_s)
        running[process.name] = _start(process, folder)
    exits, files = {}, {}
    for process in sorted(plan.processes, key=lambda each: each.serves):
        child, own = running[process.name]
        if process.serves:
            child.terminate()
        code = child.wait(timeout=process.command.timeout_s or 60)
        exits[process.name] = ExitStatus(code=code)
        for name in process.reads:
            path = own / name
            if path.is_file():
                files[f"{process.name}/{name}"] = path.read_bytes()
    return Outcome(exits=exits, files=files, processes=plan.processes)


def _start(process: Process, folder: Path) -> tuple[subprocess.Popen[bytes], Path]:
    own = folder / (process.name or "process")
    own.mkdir(parents=True)
    with (own / STDOUT).open("wb") as out, (own / STDERR).open("wb") as err:
        child = subprocess.Popen(
            process.command.argv,
            cwd=own,
            env={**os.environ, **process.command.environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
    return child, own
