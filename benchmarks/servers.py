"""Servers of the benchmarks' own: on free ports of the loopback interface, in temporary folders."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks.measuring import TAIL, BenchmarkFailed

#: how long a server may take to answer, and to end when it is told to, s
LONGEST_S = 60.0
#: where Debian puts what isn't meant for PATH
_POSTGRESQL = Path("/usr/lib/postgresql")
_RABBITMQ = Path("/usr/lib/rabbitmq/bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of server."""

    name: str
    #: find the program; None when it isn't installed
    program: Callable[[], Path | None]
    #: start one in an empty folder; give its URL
    run: Callable[[Path, Path, ExitStack], str]


@contextmanager
def running(kinds: Sequence[Kind], folder: Path) -> Iterator[dict[str, str]]:
    """Start those servers that are installed; give their URLs by name, and end them afterwards."""
    for each in (folder, folder.parent):
        each.chmod(0o755)  # PostgreSQL may run as a user of its own
    with ExitStack() as stack:
        urls = {}
        for kind in kinds:
            program = kind.program()
            if program is not None:
                place = folder / kind.name.lower()
                place.mkdir()
                urls[kind.name] = kind.run(program, place, stack)
        yield urls


def _start(
    argv: Sequence[str | Path],
    place: Path,
    stack: ExitStack,
    environment: Mapping[str, str] | None = None,
    user: pwd.struct_passwd | None = None,
    goodbye: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a program that is ended with the stack; what it prints is in ``log``."""
    if shutil.which("setpriv"):  # it ends with the benchmarks, however these end
        argv = ["setpriv", "--pdeathsig", "TERM", *argv]
    with (place / "log").open("ab") as log:
        process = subprocess.Popen(
            argv,
            cwd=place,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[user.pw_gid] if user else None,
        )
    stack.callback(_end, process, goodbye)
    return process


def _end(process: subprocess.Popen[bytes], goodbye: signal.Signals) -> None:
    process.send_signal(goodbye)
    try:
        process.wait(LONGEST_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _await(process: subprocess.Popen[bytes], place: Path, answers: Callable[[], bool]) -> None:
    """Wait until a server answers.

    Raises
    ------
    BenchmarkFailed
        It has ended, or doesn't answer; the message has the end of its log.
    """
    until = time.monotonic() + LONGEST_S
    while process.poll() is None and time.monotonic() < until:
        if answers():
            return
        time.sleep(0.05)
    said = (place / "log").read_text(errors="replace")[-TAIL:]
    raise BenchmarkFailed(f"{process.args!r} doesn't answer:\n{said}")


def _listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _on_path(name: str) -> Callable[[], Path | None]:
    def find() -> Path | None:
        found = shutil.which(name)
        return Path(found) if found else None

    return find


# --- PostgreSQL -------------------------------------------------------------------------------


def _find_postgres() -> Path | None:
    found = list(_POSTGRESQL.glob("*/bin/postgres"))
    newest = max(found, key=lambda path: float(path.parents[1].name), default=None)
    return newest or _on_path("postgres")()


def _run_postgres(program: Path, place: Path, stack: ExitStack) -> str:
    """Start it as it is delivered: durable."""
    user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None  # it refuses to run as root
    if user:
        os.chown(place, user.pw_uid, user.pw_gid)
    making = ExitStack()
    initdb = [program.with_name("initdb"), "-D", place / "data", "-U", "postgres"]
    made = _start([*initdb, "-A", "trust", "-E", "UTF8", "--no-locale"], place, making, user=user)
    with making:
        made.wait()
    port = _free_port()
    argv = [program, "-D", place / "data", "-p", f"{port}", "-c", "unix_socket_directories="]
    # this signal: without waiting for whoever is connected
    process = _start(argv, place, stack, user=user, goodbye=signal.SIGINT)
    url = f"postgresql://postgres@127.0.0.1:{port}"
    _await(process, place, lambda: _takes_logins(url))
    return url


def _takes_logins(url: str) -> bool:
    try:
        psycopg.connect(f"{url}/postgres").close()
    except psycopg.OperationalError:  # it listens before it is ready
        return False
    return True


# --- RabbitMQ ---------------------------------------------------------------------------------


def _find_rabbitmq() -> Path | None:
    program = _RABBITMQ / "rabbitmq-server"
    return program if program.exists() and shutil.which("epmd") else None


def _run_rabbitmq(program: Path, place: Path, stack: ExitStack) -> str:
    port, names = _free_port(), _free_port()
    environment = {
        "HOME": f"{place}",
        "ERL_EPMD_PORT": f"{names}",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"bench{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": f"{port}",
        "RABBITMQ_DIST_PORT": f"{_free_port()}",
        "RABBITMQ_MNESIA_BASE": f"{place / 'mnesia'}",
        "RABBITMQ_LOG_BASE": f"{place / 'log.d'}",
        "RABBITMQ_CONFIG_FILE": f"{place / 'none'}",
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{place / 'plugins'}",
        "RABBITMQ_PID_FILE": f"{place / 'pid'}",
    }
    (place / "plugins").write_text("[].")
    # otherwise RabbitMQ would start one that outlives it
    _start(["epmd"], place, stack, environment)
    process = _start([program], place, stack, environment)
    _await(process, place, lambda: _listens(port))
    return f"amqp://guest:guest@127.0.0.1:{port}/"


# --- NATS -------------------------------------------------------------------------------------


def _run_nats(program: Path, place: Path, stack: ExitStack) -> str:
    port = _free_port()
    argv = [program, "-a", "127.0.0.1", "-p", f"{port}", "-js", "-sd", place / "streams"]
    _await(_start(argv, place, stack), place, lambda: _listens(port))
    return f"nats://127.0.0.1:{port}"


POSTGRESQL = Kind(name="PostgreSQL", program=_find_postgres, run=_run_postgres)
RABBITMQ = Kind(name="RabbitMQ", program=_find_rabbitmq, run=_run_rabbitmq)
NATS = Kind(name="NATS", program=_on_path("nats-server"), run=_run_nats)


def create_database(url: str, name: str) -> str:
    """Make a database of a PostgreSQL server; give its URL."""
    with closing(psycopg.connect(f"{url}/postgres", autocommit=True)) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return f"{url}/{name}"
