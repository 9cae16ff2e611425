"""Linux's calls for namespaces and mounts, which Python 3.11 has no functions for."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

NEW_MOUNTS = 0x00020000
NEW_NAME = 0x04000000
NEW_IPC = 0x08000000
NEW_USER = 0x10000000
NEW_PIDS = 0x20000000
NEW_NETWORK = 0x40000000

READ_ONLY = 1
NO_SETUID = 2
NO_DEVICES = 4
NO_PROGRAMS = 8
_REMOUNT = 32
_NO_ACCESS_TIMES = 1024
_NO_FOLDER_ACCESS_TIMES = 2048
_BIND = 4096
_RECURSIVE = 16384
_SLAVE = 1 << 19
_RELATIVE_ACCESS_TIMES = 1 << 21
_DETACH = 2

_SET_PDEATHSIG = 1
_SET_NAME = 15
_SET_CHILD_SUBREAPER = 36
#: the call has no wrapper in the C library; its number on each kind of machine
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}


@cache
def _library() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Leave some of the namespaces for new ones."""
    _check(_library().unshare(flags), f"unshare({flags:#x})")


def enter(namespace: int, flags: int = 0) -> None:
    """Enter a namespace that a descriptor stands for."""
    _check(_library().setns(namespace, flags), "setns")


@contextlib.contextmanager
def network_of(namespace: int) -> Iterator[None]:
    """Be in another network namespace for a while. Only for processes of one thread."""
    before = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(namespace, NEW_NETWORK)
        try:
            yield
        finally:
            enter(before, NEW_NETWORK)
    finally:
        os.close(before)


def mount(source: str, target: Path, kind: str, flags: int = 0, data: str = "") -> None:
    """Mount a file system."""
    result = _library().mount(
        source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode()
    )
    _check(result, f"mount of {kind} at {target}")


def bind(source: Path, target: Path, *, read_only: bool = False) -> None:
    """Show a folder or file, with what is mounted below it, at another place as well."""
    result = _library().mount(
        os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(_BIND | _RECURSIVE), None
    )
    _check(result, f"bind mount of {source} at {target}")
    if read_only:
        # what an outer user namespace has set must stay, or the kernel refuses
        has = os.statvfs(target).f_flag
        kept = has & (NO_SETUID | NO_DEVICES | NO_PROGRAMS)
        kept |= has & (_NO_ACCESS_TIMES | _NO_FOLDER_ACCESS_TIMES)
        kept |= _RELATIVE_ACCESS_TIMES if has & 4096 else 0
        flags = ctypes.c_ulong(_REMOUNT | _BIND | READ_ONLY | kept)
        result = _library().mount(None, os.fsencode(target), None, flags, None)
        _check(result, f"read-only mount of {target}")


def keep_mounts_private() -> None:
    """Let no mount made from now on be seen outside of this mount namespace."""
    flags = ctypes.c_ulong(_SLAVE | _RECURSIVE)
    _check(_library().mount(None, b"/", None, flags, None), "mount --make-rslave /")


def unmount(target: Path) -> None:
    """Take a mount away, also while it is used."""
    _check(_library().umount2(os.fsencode(target), _DETACH), f"unmount of {target}")


def change_root(root: Path) -> None:
    """Make a mounted folder the root, and let go of the old one."""
    number = _PIVOT_ROOT.get(os.uname().machine)
    os.chdir(root)
    if number is None:
        os.chroot(".")
    else:
        _check(_library().syscall(number, b".", b"."), "pivot_root")
        unmount(Path())
    os.chdir("/")


def die_with_parent(by: int) -> None:
    """Get a signal when the parent process dies, also from another process namespace."""
    _check(_library().prctl(_SET_PDEATHSIG, by, 0, 0, 0), "prctl")


def name_process(name: str) -> None:
    """Give this process a name of up to 15 letters, for those who list processes."""
    _check(_library().prctl(_SET_NAME, name.encode()[:15], 0, 0, 0), "prctl")


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends."""
    _check(_library().prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")
