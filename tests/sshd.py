"""A real sshd of OpenSSH on this machine, with keys of its own."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import psutil
import pytest

from fieldlab.domain.sites import HostSpec, Site
from tests.waiting import wait_until

PROGRAM = "/usr/sbin/sshd"
NEEDED = {
    PROGRAM: "openssh-server",
    "ssh": "openssh-client",
    "rsync": "rsync",
    "ping": "iputils-ping",
}


def require_programs() -> None:
    """Skip the test where something is missing, and say what to install."""
    missing = [package for program, package in NEEDED.items() if not shutil.which(program)]
    if missing:
        pytest.skip(f"needs `apt-get install {' '.join(missing)}`")


def make_key(path: Path, passphrase: str = "") -> Path:
    """Make a pair of keys."""
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return path


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Sshd:
    """The server, and what is needed to reach it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.port = free_port()
        self.host_key = make_key(folder / "host_key")
        self.key = make_key(folder / "id")
        (folder / "authorized_keys").write_text((folder / "id.pub").read_text())
        self.known_hosts = folder / "known_hosts"
        self.know()
        (folder / "ssh_config").touch()  # nobody's own
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        self._config = folder / "sshd_config"
        self._config.write_text(
            "\n".join(
                [
                    *options,
                    f"Port {self.port}",
                    "ListenAddress 127.0.0.1",
                    f"HostKey {self.host_key}",
                    f"AuthorizedKeysFile {folder / 'authorized_keys'}",
                    "PidFile none",
                    "StrictModes no",
                    "UsePAM no",
                    "PasswordAuthentication no",
                    "PermitRootLogin prohibit-password",
                    "MaxStartups 100:30:200",
                    "Subsystem sftp internal-sftp",
                    # what the account's own shell reads at its start is nothing of ours
                    f"SetEnv HOME={self.home}",
                    "",
                ]
            )
        )
        self.process: subprocess.Popen[bytes] | None = None

    def know(self) -> None:
        """Write the host's key into known_hosts."""
        words = self.host_key.with_suffix(".pub").read_text().split()[:2]
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {' '.join(words)}\n")

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.process = subprocess.Popen(
            [PROGRAM, "-D", "-f", str(self._config), "-E", str(self.folder / "log")],
            start_new_session=True,
        )
        wait_until(self._listens, "sshd listens")

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def sessions(self) -> list[psutil.Process]:
        """List its processes of connections, innermost last."""
        assert self.process is not None
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for each in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if each.name().startswith("sshd"):
                        found.append(each)
        return found

    def cut(self) -> None:
        """Kill what serves the connections."""
        for each in self.sessions():
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it, with its connections."""
        if self.process is not None:
            self.cut()
            self.process.kill()
            self.process.wait()
            self.process = None

    def spec(self, **changes: object) -> HostSpec:
        """Describe it."""
        given: dict[str, object] = {
            "name": "bench",
            "address": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "key": str(self.key),
            "directory": str(self.home / "attempts"),
        }
        return HostSpec(**{**given, **changes})  # type: ignore[arg-type]

    def site(self, **changes: object) -> Site:
        """Describe a site of it alone."""
        given: dict[str, object] = {
            "name": "lab",
            "hosts": (self.spec(),),
            "known_hosts": str(self.known_hosts),
            "ssh_config": str(self.folder / "ssh_config"),
        }
        return Site(**{**given, **changes})  # type: ignore[arg-type]


def running(word: str) -> list[int]:
    """List the processes whose arguments have a word in them, except those that look."""
    found = []
    for each in psutil.process_iter(["cmdline", "status"]):
        words = each.info["cmdline"] or []
        if each.info["status"] != psutil.STATUS_ZOMBIE and any(word in part for part in words):
            found.append(each.pid)
    return found
