"""The files of a host: its own disk as the root, the machine's programs, few of its settings."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from fieldlab.sandbox import kernel

#: folder in which experiments work
EXPERIMENTS = "experiments"
#: what the machine's folders of programs are called; links on most systems
_PROGRAMS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
#: the machine's folders that hosts can read; under root they can write, which their disk keeps
_MACHINE = ("usr", "opt")
_OWN = (
    *("dev", "etc", "proc", "run", "sys", "home", "mnt", "srv", EXPERIMENTS),
    *("var/cache", "var/empty", "var/lib", "var/log", "var/mail", "var/spool"),
)
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "net/tun", "fuse")
#: places where programs keep what may not lie on an overlay, or may only on one
_SHIMS = "shims"

#: the file by which `reboot` and `poweroff` tell the first process what they want
_REBOOT = """#!/bin/sh
# ends this host's first process, which starts it again, as the machine's own `reboot` would
exec kill -TERM 1
"""
_POWEROFF = """#!/bin/sh
exec kill -USR2 1
"""
_SHUTDOWN = """#!/bin/sh
for word in "$@"; do
    case $word in -r | --reboot) exec kill -TERM 1 ;; esac
done
exec kill -USR2 1
"""
_SYSTEMCTL = """#!/bin/sh
for word in "$@"; do
    case $word in
    reboot | kexec) exec kill -TERM 1 ;;
    poweroff | halt) exec kill -USR2 1 ;;
    esac
done
echo "systemctl: this host has no systemd; only reboot and poweroff work" >&2
exit 1
"""
_SUDO = """#!/bin/sh
# everybody who may log in here is root
user=
while [ $# -gt 0 ]; do
    case $1 in
    --) shift; break ;;
    -u | --user) user=$2; shift 2 ;;
    -g | -p | -C | -h) shift 2 ;;
    -v | -k | -K | --validate) exit 0 ;;
    -i | -s) shift; [ $# -gt 0 ] || set -- /bin/sh ;;
    -*) shift ;;
    *=*) export "$1"; shift ;;
    *) break ;;
    esac
done
if [ -n "$user" ] && [ "$user" != "$(id -un)" ]; then
    exec runuser -u "$user" -- "$@"
fi
exec "$@"
"""
_COMMANDS = {
    "reboot": _REBOOT,
    "poweroff": _POWEROFF,
    "halt": _POWEROFF,
    "shutdown": _SHUTDOWN,
    "systemctl": _SYSTEMCTL,
    "sudo": _SUDO,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFiles:
    """Where a host's files lie outside of it."""

    #: where its disk is mounted
    disk: Path
    #: what :func:`write_template` made
    template: Path
    boot_id: Path
    shared: tuple[str, ...]
    rootless: bool

    @property
    def root(self) -> Path:
        """The folder on the disk that becomes the host's root."""
        return self.disk / "root"


def write_template(template: Path, hosts_file: str) -> None:
    """Make what all hosts begin with: the machine's public settings, and commands of our own.

    What not everybody may read in ``/etc`` isn't copied: no password, no private key.
    """
    _copy_public(Path("/etc"), template / "etc")
    etc = template / "etc"
    ssh = etc / "ssh"
    ssh.mkdir(exist_ok=True)
    for file in ssh.glob("ssh_host_*"):
        file.unlink()
    for name in ("resolv.conf", "hosts", "hostname", "mtab", "shadow"):
        (etc / name).unlink(missing_ok=True)
    (etc / "resolv.conf").write_text("# no server: names that /etc/hosts lacks fail at once\n")
    (etc / "hosts").write_text(hosts_file)
    (etc / "mtab").symlink_to("../proc/self/mounts")
    users = [line.partition(":")[0] for line in Path("/etc/passwd").read_text().splitlines()]
    (etc / "shadow").write_text("".join(f"{user}:*:19000:0:99999:7:::\n" for user in users))
    (etc / "shadow").chmod(0o600)
    shims = template / _SHIMS
    shims.mkdir()
    for name, text in _COMMANDS.items():
        (shims / name).write_text(text)
        (shims / name).chmod(0o755)


def _copy_public(source: Path, target: Path) -> None:
    """Copy what everybody may read, as it is."""
    target.mkdir()
    for entry in os.scandir(source):
        copy = target / entry.name
        with contextlib.suppress(OSError):  # a broken file of the machine's isn't ours to mend
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                copy.symlink_to(Path(entry.path).readlink())
            elif stat.S_ISDIR(mode) and mode & stat.S_IXOTH:
                _copy_public(Path(entry.path), copy)
            elif stat.S_ISREG(mode) and mode & stat.S_IROTH:
                shutil.copyfile(entry.path, copy)
                copy.chmod(stat.S_IMODE(mode) & ~(stat.S_ISUID | stat.S_ISGID))


def write_known_hosts(template: Path, known_hosts: Path) -> None:
    """Let the hosts know each other's keys."""
    shutil.copyfile(known_hosts, template / "etc/ssh/ssh_known_hosts")


def write_disk(files: HostFiles, key: Path, host_key: Path, settings: str) -> None:
    """Put onto an empty disk what the host keeps over its restarts."""
    root = files.root
    for name in _OWN:
        (root / name).mkdir(parents=True)
    for name in ("tmp", "var/tmp"):
        (root / name).mkdir()
        (root / name).chmod(0o1777)
    (root / "var/run").symlink_to("/run")
    (root / "var/lock").symlink_to("/run/lock")
    for name in _PROGRAMS:
        machine = Path("/", name)
        if machine.is_symlink():
            (root / name).symlink_to(machine.readlink())
        elif machine.is_dir():
            (root / name).mkdir()
    for name in _MACHINE:
        (root / name).mkdir()
    for name in ("etc", *_MACHINE):
        for part in ("upper", "work"):
            (files.disk / part / name).mkdir(parents=True)
    home = root / "root"
    (home / ".ssh").mkdir(parents=True)
    for folder in (home, home / ".ssh"):
        folder.chmod(0o700)
    # the hosts log in to each other, too
    shutil.copyfile(key.with_suffix(".pub"), home / ".ssh/authorized_keys")
    shutil.copyfile(key, home / ".ssh/id_ed25519")
    (home / ".ssh/id_ed25519").chmod(0o600)
    for name in (".bashrc", ".profile"):
        if Path("/etc/skel", name).exists():
            shutil.copyfile(Path("/etc/skel", name), home / name)
    ssh = files.disk / "upper/etc/ssh"
    ssh.mkdir()
    shutil.copyfile(host_key, ssh / "host_key")
    (ssh / "host_key").chmod(0o600)
    (ssh / "sshd_config").write_text(settings)


def mount_tree(files: HostFiles, name: str) -> None:
    """Mount a host's files and make them this process's, in its own mount namespace."""
    kernel.keep_mounts_private()
    root = files.root
    kernel.bind(root, root)
    _layer(files, files.template / "etc", "etc")
    (root / "etc/hostname").write_text(f"{name}\n")
    for each in _PROGRAMS:
        if (root / each).is_dir() and not (root / each).is_symlink():
            kernel.bind(Path("/", each), root / each, read_only=True)
    for each in _MACHINE:
        if Path("/", each).is_dir():
            _machine_folder(files, each)
    _shims(files)
    _devices(root / "dev")
    _volatile(root)
    _system(root, files.boot_id)
    for each in files.shared:
        place = root / each.removeprefix("/")
        place.mkdir(parents=True, exist_ok=True)
        kernel.bind(Path(each), place)
    kernel.change_root(root)


def _layer(files: HostFiles, lower: Path, name: str) -> None:
    """Show a folder such that what is changed in it goes to the host's disk."""
    upper, work = files.disk / "upper" / name, files.disk / "work" / name
    kernel.mount("overlay", files.root / name, "overlay", data=_overlay(lower, upper, work, files))


def _overlay(lower: Path, upper: Path, work: Path, files: HostFiles) -> str:
    options = f"lowerdir={_plain(lower)},upperdir={_plain(upper)},workdir={_plain(work)}"
    return f"{options},userxattr" if files.rootless else options


def _plain(path: Path) -> str:
    """Write a path such that no character of it means anything among options of a mount."""
    return re.sub(r"([\\,:])", r"\\\1", str(path))


def _machine_folder(files: HostFiles, name: str) -> None:
    """Show one of the machine's folders: to root changeable, without a change to the machine."""
    machine = Path("/", name)
    if not files.rootless:
        with contextlib.suppress(OSError):
            _layer(files, machine, name)
            return
    kernel.bind(machine, files.root / name, read_only=True)


def _shims(files: HostFiles) -> None:
    """Put our own commands before those of the machine."""
    place = files.root / "usr/local/sbin"
    if place.is_dir():
        lower = f"lowerdir={_plain(files.template / _SHIMS)}:/usr/local/sbin"
        kernel.mount("overlay", place, "overlay", kernel.READ_ONLY, lower)


def _devices(dev: Path) -> None:
    """Give a host few devices, and terminals and shared memory of its own."""
    kernel.mount("dev", dev, "tmpfs", kernel.NO_SETUID, "mode=755,size=64k")
    (dev / "net").mkdir()
    for name in _DEVICES:
        if Path("/dev", name).exists():
            (dev / name).touch()
            kernel.bind(Path("/dev", name), dev / name)
    for name in ("pts", "shm"):
        (dev / name).mkdir()
    options = "newinstance,ptmxmode=0666,mode=620"
    try:
        kernel.mount("devpts", dev / "pts", "devpts", kernel.NO_SETUID, f"{options},gid=5")
    except OSError:  # there is no group 5 in this user namespace
        kernel.mount("devpts", dev / "pts", "devpts", kernel.NO_SETUID, options)
    kernel.mount("shm", dev / "shm", "tmpfs", kernel.NO_SETUID | kernel.NO_DEVICES, "mode=1777")
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0"}
    for name, target in {**links, "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}.items():
        (dev / name).symlink_to(target)


def _volatile(root: Path) -> None:
    """Make what is empty after each start."""
    flags = kernel.NO_SETUID | kernel.NO_DEVICES
    kernel.mount("run", root / "run", "tmpfs", flags, "mode=755")
    kernel.mount("tmp", root / "tmp", "tmpfs", flags, "mode=1777")
    for name in ("sshd", "lock", "user"):
        (root / "run" / name).mkdir()


def _system(root: Path, boot_id: Path) -> None:
    """Show the kernel's view of this host: its processes, its network, which boot it is."""
    flags = kernel.NO_SETUID | kernel.NO_DEVICES | kernel.NO_PROGRAMS
    kernel.mount("proc", root / "proc", "proc", flags)
    kernel.bind(boot_id, root / "proc/sys/kernel/random/boot_id", read_only=True)
    try:
        kernel.mount("sysfs", root / "sys", "sysfs", flags)
    except OSError:
        kernel.bind(Path("/sys"), root / "sys")
        return
    with contextlib.suppress(OSError):
        kernel.bind(Path("/sys/fs/cgroup"), root / "sys/fs/cgroup")
