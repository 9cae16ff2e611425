"""Files over SFTP: quick for a few small ones, and what is left where rsync is missing.

A file is written beside its place under a name of our own, and takes its place when it is whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import asyncssh

from fieldlab.domain.errors import HostError, MachineError, TransferFailed
from fieldlab.domain.sites import HostSpec
from fieldlab.hosts.links import Links, broke

#: read or written at once, bytes; asyncssh asks for the parts of it all together
_CHUNK = 4 << 20
#: files under way at the same time
_AT_ONCE = 16
_PART = ".fieldlab-part-"


@dataclass(slots=True, kw_only=True)
class Tree:
    """What is to be copied: paths relative to its top, where "" is the top itself."""

    #: whether the top is a folder
    folder: bool
    folders: list[str] = field(default_factory=list)
    #: path → (size in bytes, permissions, time of change)
    files: dict[str, tuple[int, int, float]] = field(default_factory=dict)
    size_bytes: int = 0

    def add(self, path: str, size_bytes: int, mode: int, changed: float) -> None:
        """Note a file."""
        self.files[path] = (size_bytes, mode, changed)
        self.size_bytes += size_bytes

    def exceeds(self, limits: tuple[int, int] | None) -> bool:
        """Whether it has more files, or bytes, than that."""
        return limits is not None and (
            len(self.files) + len(self.folders) > limits[0] or self.size_bytes > limits[1]
        )


def local_tree(source: Path, limits: tuple[int, int] | None = None) -> Tree:
    """Look at a file or folder here; no link in it is followed. Stops beyond the limits."""
    if not source.is_dir():
        found, tree = source.stat(), Tree(folder=False)
        tree.add("", found.st_size, found.st_mode & 0o777, found.st_mtime)
        return tree
    tree, waiting = Tree(folder=True), [""]
    while waiting and not tree.exceeds(limits):
        with os.scandir(source / waiting.pop()) as entries:
            for entry in entries:
                path = os.path.relpath(entry.path, source)
                if entry.is_dir(follow_symlinks=False):
                    tree.folders.append(path)
                    waiting.append(path)
                elif entry.is_file(follow_symlinks=False):
                    found = entry.stat(follow_symlinks=False)
                    tree.add(path, found.st_size, found.st_mode & 0o777, found.st_mtime)
    return tree


async def remote_tree(
    sftp: asyncssh.SFTPClient, source: str, limits: tuple[int, int] | None = None
) -> Tree:
    """Look at a file or folder there; as :func:`local_tree`.

    Raises
    ------
    TransferFailed
        It is neither, or a name in it would lead out of it.
    """
    top = await sftp.lstat(os.fsencode(source))
    if top.type == asyncssh.FILEXFER_TYPE_REGULAR:
        tree = Tree(folder=False)
        tree.add("", top.size or 0, (top.permissions or 0o600) & 0o777, top.mtime or 0)
        return tree
    if top.type != asyncssh.FILEXFER_TYPE_DIRECTORY:
        raise TransferFailed(f"{source} is neither a file nor a folder; links aren't followed")
    tree, waiting = Tree(folder=True), [""]
    while waiting and not tree.exceeds(limits):
        above = waiting.pop()
        async for entry in sftp.scandir(os.fsencode(_join(source, above))):
            name = os.fsdecode(entry.filename)
            if name in {".", ".."}:
                continue
            if "/" in name or not name:
                raise TransferFailed(f"The machine gives a name that leads elsewhere: {name!r}")
            path = _join(above, name) if above else name
            if entry.attrs.type == asyncssh.FILEXFER_TYPE_DIRECTORY:
                tree.folders.append(path)
                waiting.append(path)
            elif entry.attrs.type == asyncssh.FILEXFER_TYPE_REGULAR:
                mode = (entry.attrs.permissions or 0o600) & 0o777
                tree.add(path, entry.attrs.size or 0, mode, entry.attrs.mtime or 0)
    return tree


def _join(top: str, path: str) -> str:
    return f"{top}/{path}" if path else top


def part_of(path: str) -> str:
    """Name the file beside ``path`` that it is until it is whole; never too long."""
    folder, name = os.path.split(path)
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return os.path.join(folder, _PART + digest)  # noqa: PTH118 - may be a path of another machine


@asynccontextmanager
async def explained(spec: HostSpec, what: str) -> AsyncIterator[None]:
    """Say what a failure of SFTP means.

    Raises
    ------
    HostUnreachable
        The connection broke.
    TransferFailed
        The machine refuses.
    MachineError
        This machine refuses.
    """
    try:
        yield
    except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, ConnectionError) as error:
        raise broke(spec, error) from error
    except asyncssh.SFTPNoSuchFile as error:
        raise TransferFailed(f"{what} with host '{spec.name}': there is no such file") from error
    except asyncssh.SFTPError as error:
        raise TransferFailed(
            f"{what} with host '{spec.name}' failed: {error.reason}",
            remedy="Look at its permissions and its disk, as with `df`",
        ) from error
    except asyncssh.Error as error:
        raise broke(spec, error) from error
    except ExceptionGroup as group:
        first = group.exceptions[0]
        if isinstance(first, HostError):
            raise first from group
        async with explained(spec, what):
            raise first from group
    except OSError as error:
        raise MachineError(f"{what} with host '{spec.name}' failed here: {error}") from error


async def fetch(
    links: Links, sftp: asyncssh.SFTPClient, tree: Tree, source: str, target: Path
) -> None:
    """Copy a tree here."""
    (target if tree.folder else target.parent).mkdir(parents=True, exist_ok=True)
    for path in tree.folders:
        (target / path).mkdir(exist_ok=True)
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(path: str) -> None:
        async with turns:
            here = target / path if path else target
            await _fetch_file(links, sftp, _join(source, path), here, tree.files[path])

    async with asyncio.TaskGroup() as group:
        for path in tree.files:
            group.create_task(one(path))


async def _fetch_file(
    links: Links,
    sftp: asyncssh.SFTPClient,
    there: str,
    here: Path,
    facts: tuple[int, int, float],
) -> None:
    size_bytes, mode, changed = facts
    part = Path(part_of(str(here)))
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(part, flags, (mode & 0o777) | 0o600)
    with os.fdopen(handle, "r+b", buffering=0) as file:
        begun = os.fstat(handle).st_size
        resumed = 0 < begun <= size_bytes
        at = begun if resumed else 0
        if not resumed:
            file.truncate(0)
        await _read(sftp, there, file.fileno(), at, size_bytes)
        if resumed and await _digest(links, there) != await asyncio.to_thread(_sha256, part):
            file.truncate(0)  # the beginning was of another file
            await _read(sftp, there, file.fileno(), 0, size_bytes)
    _take_place(part, here, changed)


def _take_place(part: Path, here: Path, changed: float) -> None:
    os.utime(part, (changed, changed))
    part.replace(here)


async def _read(
    sftp: asyncssh.SFTPClient, there: str, handle: int, at: int, size_bytes: int
) -> None:
    async with sftp.open(os.fsencode(there), "rb", encoding=None) as file:
        while at < size_bytes:
            data = await file.read(min(_CHUNK, size_bytes - at), at)
            if not data:
                raise TransferFailed(f"{there} became shorter while it was copied")
            at += _write_all(handle, cast(bytes, data), at)


def _write_all(handle: int, data: bytes, at: int) -> int:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(handle, rest, at)
        rest, at = rest[written:], at + written
    return len(data)


async def send(
    links: Links, sftp: asyncssh.SFTPClient, tree: Tree, source: Path, target: str
) -> None:
    """Copy a tree there."""
    await make_top(sftp, target, folder=tree.folder)
    for path in tree.folders:
        await sftp.makedirs(os.fsencode(_join(target, path)), exist_ok=True)
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(path: str) -> None:
        async with turns:
            here = source / path if path else source
            await _send_file(links, sftp, here, _join(target, path), tree.files[path])

    async with asyncio.TaskGroup() as group:
        for path in tree.files:
            group.create_task(one(path))


async def make_top(sftp: asyncssh.SFTPClient, target: str, *, folder: bool) -> None:
    """Make the folder into which something is copied, for its owner only."""
    top = target if folder else os.path.dirname(target)  # noqa: PTH120 - of another machine
    if top and not await sftp.isdir(os.fsencode(top)):
        attrs = asyncssh.SFTPAttrs(permissions=0o700)
        await sftp.makedirs(os.fsencode(top), attrs, exist_ok=True)


async def _send_file(
    links: Links,
    sftp: asyncssh.SFTPClient,
    here: Path,
    there: str,
    facts: tuple[int, int, float],
) -> None:
    size_bytes, mode, changed = facts
    part = os.fsencode(part_of(there))
    begun = 0
    if size_bytes > _CHUNK:
        try:
            begun = (await sftp.lstat(part)).size or 0
        except asyncssh.SFTPNoSuchFile:
            begun = 0
    resumed = 0 < begun <= size_bytes
    with here.open("rb", buffering=0) as file:
        await _write(sftp, file.fileno(), part, begun if resumed else 0, size_bytes)
        if resumed and await _digest(links, os.fsdecode(part)) != await asyncio.to_thread(
            _sha256, here
        ):
            await _write(sftp, file.fileno(), part, 0, size_bytes)
    attrs = asyncssh.SFTPAttrs(permissions=mode, atime=int(changed), mtime=int(changed))
    await sftp.setstat(part, attrs)
    await sftp.posix_rename(part, os.fsencode(there))


async def _write(
    sftp: asyncssh.SFTPClient, handle: int, part: bytes, at: int, size_bytes: int
) -> None:
    mode = "r+b" if at else "wb"
    async with sftp.open(part, mode, encoding=None) as file:
        while at < size_bytes:
            data = os.pread(handle, min(_CHUNK, size_bytes - at), at)
            if not data:
                raise TransferFailed("A file became shorter while it was copied")
            await file.write(data, at)
            at += len(data)


#: hashes the file that a line names, octal as in remote_script
_DIGEST = (
    'exec /bin/sh -c \'IFS= read -r fl_l; fl_l=$(printf %b. "$fl_l"); '
    'exec sha256sum -b -- "${fl_l%.}"\''
)


async def _digest(links: Links, there: str) -> str:
    """Give the SHA-256 of a file there; "" where it can't be had, so that nothing is trusted."""
    line = b"".join(b"\\0%03o" % byte for byte in os.fsencode(there)) + b"\n"
    talk = await links.ask(_DIGEST, line, limit_s=3600)
    return talk.stdout.kept.decode(errors="replace").lstrip("\\").split(" ")[0]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
