"""Folders packed into one file: tar (POSIX pax) within Zstandard (RFC 8878)."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

from fieldlab.domain.errors import MissingExtra

ENDING = ".tar.zst"


def pack_folder(folder: Path) -> Path:
    """Pack a folder into a file beside it, then remove the folder.

    The file is whole when it has its name; until then the folder stays.

    Returns
    -------
    Path
        The file: the folder's name with ``.tar.zst``.

    Raises
    ------
    MissingExtra
        zstandard isn't installed.
    OSError
        It can't be written; the folder is as it was.
    """
    try:
        import zstandard
    except ImportError:
        raise MissingExtra("ssh", "Packing what attempts bring back") from None
    target = folder.with_name(folder.name + ENDING)
    part = target.with_name(f".{target.name}.part")
    try:
        with (
            part.open("wb") as file,
            zstandard.ZstdCompressor().stream_writer(file, closefd=False) as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
        ):
            archive.add(folder, arcname=folder.name, filter=_anybodys)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    shutil.rmtree(folder)
    return target


def _anybodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who owned it here."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def unpack(packed: Path, into: Path) -> None:
    """Unpack what :func:`pack_folder` made; nothing is written outside of ``into``.

    Raises
    ------
    OSError
        It can't be read or written, or isn't such a file.
    """
    import zstandard

    with (
        packed.open("rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file) as plain,
        tarfile.open(fileobj=plain, mode="r|") as archive,
    ):
        archive.extractall(into, filter="data")
