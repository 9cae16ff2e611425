"""Files by rsync, over the ssh client of OpenSSH: for much, and for what may be interrupted.

asyncssh ciphers in Python's one thread; OpenSSH beside us is several times as fast for a large
file, which pays for the connection that it makes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fieldlab.domain.errors import HostUnreachable, MachineError, TransferFailed
from fieldlab.domain.sites import HostSpec, Site
from fieldlab.hosts.connecting import KEEPALIVES, connect_s, jump_spec, key_files
from fieldlab.hosts.links import broke

#: rsync's own: the connection couldn't be made, broke or fell silent
_CONNECTION_CODES = frozenset({5, 10, 12, 30, 35, 255})
#: one of both is of another kind, or too old
_UNFIT_CODES = frozenset({1, 2, 4, 127})
#: a folder of parts that arrived, which the next call goes on with
PARTS = ".fieldlab-parts"
#: an rsync that hears nothing for so long gives up, s
_SILENT_S = 60
#: end of what it says that is shown, bytes
_TAIL = 800
_OPTIONS = (
    "--recursive",
    "--times",
    "--executability",
    "--modify-window=-1",  # a file that changed within the same second is another one
    "--no-links",
    "--no-devices",
    "--no-specials",
    "-s",  # no shell there reads a path; old versions call it --protect-args, new ones otherwise
    f"--partial-dir={PARTS}",
    f"--timeout={_SILENT_S}",
    "--quiet",
)


class Unfit(TransferFailed):
    """The two rsyncs don't understand each other."""


def is_here() -> bool:
    """Whether this machine has rsync and OpenSSH's client."""
    return bool(shutil.which("rsync") and shutil.which("ssh"))


async def fetch(spec: HostSpec, site: Site, source: str, target: Path, *, folder: bool) -> None:
    """Copy here; see :meth:`fieldlab.ports.host.Host.fetch`."""
    (target if folder else target.parent).mkdir(parents=True, exist_ok=True)
    there, here = f"{_remote(spec)}:{source}", _local(target)
    await _copy(spec, site, f"{there}/" if folder else there, f"{here}/" if folder else here)


async def send(spec: HostSpec, site: Site, source: Path, target: str, *, folder: bool) -> None:
    """Copy there; see :meth:`fieldlab.ports.host.Host.send`. The folder above is there."""
    there, here = f"{_remote(spec)}:{target}", _local(source)
    await _copy(spec, site, f"{here}/" if folder else here, f"{there}/" if folder else there)


def _local(path: Path) -> str:
    # a name with a colon would be taken for another machine's
    return str(path.absolute())


def _remote(spec: HostSpec) -> str:
    return f"[{spec.address}]" if ":" in spec.address else spec.address


async def _copy(spec: HostSpec, site: Site, source: str, target: str) -> None:
    with tempfile.TemporaryDirectory(prefix="fieldlab-ssh-") as folder:
        config = Path(folder) / "config"
        config.write_text(ssh_config(spec, site))
        argv = ("rsync", *_OPTIONS, f"--rsh=ssh -F {config}", "--", source, target)
        code, said = await _run(argv)
    if code == 0:
        return
    if code in _CONNECTION_CODES:
        raise broke(spec, HostUnreachable(said)) if said else broke(spec, None)
    what = f"rsync with host '{spec.name}' ended with exit code {code}: {said}"
    if code in _UNFIT_CODES:
        raise Unfit(what)
    if code == 11 and target.startswith("/"):
        raise MachineError(what, remedy="Look at the disk of this machine, as with `df`")
    raise TransferFailed(what, remedy="Look at its permissions and its disk, as with `df`")


async def _run(argv: Sequence[str]) -> tuple[int, str]:
    """Run it in a process group of its own; when cancelled it keeps what has arrived."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    try:
        _, said = await process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode or 0, said[-_TAIL:].decode(errors="replace").strip()


def ssh_config(spec: HostSpec, site: Site) -> str:
    """Write what OpenSSH needs to reach a host as asyncssh does.

    A value that comes first counts, so the user's own configuration follows at the end.
    """
    own = Path(site.ssh_config or "~/.ssh/config").expanduser()
    jumps = [jump_spec(each.strip(), spec) for each in spec.jump.split(",") if each.strip()]
    lines = [
        "Host *",
        "  StrictHostKeyChecking yes",
        "  BatchMode yes",
        "  UpdateHostKeys no",
        "  ControlPath none",
        "  LogLevel ERROR",
        "  Ciphers ^aes128-gcm@openssh.com",
        f"  ConnectTimeout {max(1, round(connect_s(site)))}",
        f"  ServerAliveInterval {max(1, round(site.patience_s / KEEPALIVES))}",
        f"  ServerAliveCountMax {KEEPALIVES}",
    ]
    # OpenSSH's own ~ is the passwd's, whatever $HOME is
    known = dict.fromkeys(file for each in (spec, *jumps) for file in key_files(each, site))
    lines.append("  UserKnownHostsFile " + " ".join(map(_quoted, known)))
    lines.append("  GlobalKnownHostsFile none")
    if spec.key:
        lines.append(f"  IdentityFile {_quoted(Path(spec.key).expanduser())}")
    hosts = [f"Host {_pattern(spec.address)}", *_reach(spec, jumps)]
    if own.exists():
        lines += ["Host *", f"  Include {_quoted(own)}"]
    return "\n".join([*hosts, *lines, ""])


def _reach(spec: HostSpec, jumps: Sequence[HostSpec]) -> list[str]:
    lines = [f"  Port {spec.port}"] if spec.port != 22 else []
    if spec.user:
        lines.append(f"  User {spec.user}")
    if jumps:
        lines.append("  ProxyJump " + ",".join(_place(each) for each in jumps))
    return lines


def _place(jump: HostSpec) -> str:
    address = f"[{jump.address}]" if ":" in jump.address else jump.address
    return f"{jump.user}@{address}:{jump.port}" if jump.user else f"{address}:{jump.port}"


def _pattern(address: str) -> str:
    return address.replace("*", "?")


def _quoted(path: Path) -> str:
    text = str(path.absolute()).replace("%", "%%").replace('"', '\\"')
    return f'"{text}"'
