"""A private PostgreSQL server: real, in a folder of its own, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

#: where Debian and its relatives put what isn't meant for PATH
_DEBIAN = Path("/usr/lib/postgresql")
#: settings that trade durability for speed
_FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")


class PostgresServer:
    """One server, reachable at a free port of the loopback interface and at a socket in its folder.

    Parameters
    ----------
    durable
        Whether a commit survives the server's being killed.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self._programs = _programs()
        self.folder = Path(tempfile.mkdtemp(prefix="fieldlab-postgres-"))
        self._log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._user = _user()
        self._options = ("max_connections=60", "shared_buffers=16MB", *(() if durable else _FAST))
        # Bound but not listening, it keeps the port for this server, also between two starts.
        self._place = socket.socket()
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind(("127.0.0.1", 0))
        self.port: int = self._place.getsockname()[1]
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self.folder.chmod(0o755)
        try:
            self._run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")
        except BaseException:
            self.remove()
            raise

    def start(self) -> None:
        """Start it and wait until it answers. It ends when this process does, however that dies."""
        options = (
            "listen_addresses=127.0.0.1",
            f"port={self.port}",
            f"unix_socket_directories={self.folder}",
            *self._options,
        )
        argv = [str(self._programs / "postgres"), "-D", str(self.folder / "data")]
        argv += [f"--{option}" for option in options]
        if shutil.which("setpriv"):
            argv = ["setpriv", "--pdeathsig", "QUIT", *argv]
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **self._owner(),
            )
        for attempt in Retrying(
            retry=retry_if_exception(self._may_answer_yet),
            wait=wait_fixed(0.02),
            stop=stop_after_delay(60),
            reraise=True,
        ):
            with attempt:
                psycopg.connect(self.url("postgres"), connect_timeout=5).close()

    def _may_answer_yet(self, error: BaseException) -> bool:
        if self.is_running:
            return isinstance(error, psycopg.OperationalError)
        raise RuntimeError(f"The server has ended:\n{self._log.read_text()[-2000:]}") from error

    def stop(self, mode: str = "fast") -> None:
        """Stop it: "smart", "fast", or "immediate", which is as good as pulling the plug."""
        self._run("pg_ctl", "-w", "-s", "-m", mode, "stop")
        assert self._process is not None
        self._process.wait(timeout=60)

    def restart(self, mode: str = "fast") -> None:
        """Stop it and start it again."""
        self.stop(mode)
        self.start()

    @property
    def is_running(self) -> bool:
        """Whether it has been started and not stopped."""
        return self._process is not None and self._process.poll() is None

    def remove(self) -> None:
        """Stop it if it runs, and delete all that it has."""
        try:
            if self.is_running:
                self.stop("immediate")
        finally:
            self._place.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """Write the URL of one of its databases."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, template: str = "template0") -> str:
        """Make a database, a copy of a template; give its URL."""
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self.execute(statement.format(sql.Identifier(database), sql.Identifier(template)))
        return self.url(database)

    def drop(self, database: str) -> None:
        """Delete a database, whoever is connected to it."""
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        self.execute(statement.format(sql.Identifier(database)))

    def execute(self, statement: sql.Composed) -> None:
        """Run a statement outside of any transaction."""
        # `with` on a psycopg connection would leave it to the garbage collector
        with closing(psycopg.connect(self.url("postgres"), autocommit=True)) as connection:
            connection.execute(statement)

    def _run(self, program: str, *arguments: str) -> None:
        argv = [str(self._programs / program), "-D", str(self.folder / "data"), *arguments]
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            timeout=60,
            check=False,
            **self._owner(),
        )
        if done.returncode:
            raise RuntimeError(f"{program} exited with {done.returncode}:\n{done.stdout}")

    def _owner(self) -> Any:
        """Say, as arguments of subprocess, which user runs the server's programs."""
        if self._user is None:
            return {}
        gid = self._user.pw_gid
        return {"user": self._user.pw_uid, "group": gid, "extra_groups": [gid]}


def _programs() -> Path:
    """Find the folder of the newest server's programs, or skip the test."""
    found = [path.parent for path in _DEBIAN.glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda path: float(path.parent.name))
    on_path = shutil.which("initdb")
    folder = Path(on_path).resolve().parent if on_path else None
    if folder is None or not (folder / "postgres").exists():
        pytest.skip(
            "needs PostgreSQL's initdb, pg_ctl and postgres: `make system`, or install the package"
            " 'postgresql', or put them on PATH"
        )
    return folder


def _user() -> pwd.struct_passwd | None:
    """Name the user that the server runs as; None for oneself. It refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]
