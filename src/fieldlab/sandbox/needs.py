"""What a sandbox needs of the machine, and what to install where that is missing."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

from fieldlab.domain.errors import SandboxError

#: program → the package that has it on Debian and its relatives
_PROGRAMS = {
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "ip": "iproute2",
    "tc": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def search_path() -> str:
    """Give PATH, with the folders of system programs, which not everybody has on it."""
    parts = os.environ.get("PATH", "/usr/bin:/bin").split(":")
    return ":".join([*parts, *(each for each in _SYSTEM_FOLDERS if each not in parts)])


def find_program(name: str) -> str:
    """Find a program.

    Raises
    ------
    SandboxError
        It isn't installed.
    """
    found = shutil.which(name, path=search_path())
    if found is None:
        package = _PROGRAMS.get(name, name)
        raise SandboxError(f"The program '{name}' is missing", remedy=f"Install {package}")
    return found


def is_rootless() -> bool:
    """Whether the sandbox is in a user namespace, because this isn't root."""
    return os.geteuid() != 0


def missing() -> tuple[str, str]:
    """Say what keeps a sandbox from running here, and what to do; empty if nothing does."""
    if sys.platform != "linux":
        return "A sandbox needs Linux's namespaces", "Use a Linux machine, real or virtual"
    programs = dict(_PROGRAMS)
    if is_rootless():
        programs["newuidmap"] = "uidmap"
    absent = [name for name in programs if not shutil.which(name, path=search_path())]
    if absent:
        packages = " ".join(sorted({programs[name] for name in absent}))
        what = f"A sandbox needs the programs {', '.join(absent)}, which aren't installed"
        return what, f"As root: apt-get install {packages}"
    found = _missing_of_users() if is_rootless() else ("", "")
    return found if found[0] else _refused()


def _refused() -> tuple[str, str]:
    """Try whether the kernel allows the namespaces."""
    done = subprocess.run(
        [*unsharing(), "--mount", "--net", "true"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PATH": search_path()},
        check=False,
    )
    if done.returncode == 0:
        return "", ""
    remedy = "In a container, let it have them (for Docker: --privileged)"
    return f"The kernel allows no namespaces here: {done.stderr.strip()}", remedy


def unsharing() -> list[str]:
    """Give the start of a command that runs another one where namespaces may be made."""
    users = ["--user", "--map-root-user", "--map-auto"] if is_rootless() else []
    return [find_program("unshare"), *users]


def _missing_of_users() -> tuple[str, str]:
    """Look for what only those who aren't root need."""
    for switch in ("kernel/unprivileged_userns_clone", "user/max_user_namespaces"):
        path = Path("/proc/sys") / switch
        if path.exists() and path.read_text().strip() == "0":
            what = "This system allows no user namespaces to others than root"
            return what, f"As root: sysctl {switch.replace('/', '.')}, or run it as root"
    user = os.getuid()
    try:
        names = {str(user), pwd.getpwuid(user).pw_name}
    except KeyError:
        names = {str(user)}
    for file in (Path("/etc/subuid"), Path("/etc/subgid")):
        lines = file.read_text().splitlines() if file.exists() else []
        if not any(line.partition(":")[0] in names for line in lines):
            who = max(names, key=len)
            remedy = (
                f"As root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {who}"
            )
            return f"{file} gives the user {who} no range of ids", remedy
    return "", ""


def require() -> None:
    """Refuse to go on where a sandbox can't run.

    Raises
    ------
    SandboxError
        Something is missing; the remedy says how to get it.
    """
    what, remedy = missing()
    if what:
        raise SandboxError(what, remedy=remedy)
