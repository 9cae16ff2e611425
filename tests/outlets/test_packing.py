"""Folders packed into one file, whole or not at all."""

from __future__ import annotations

import contextlib
import io
import tarfile
from pathlib import Path

import pytest
import zstandard

from fieldlab.outlets.packing import pack_folder, unpack

NAMES = ["plain", "a b", "new\nline", "-rf", "ü", "deep/er/file"]


def fill(folder: Path) -> dict[str, bytes]:
    contents = {name: name.encode() * 1000 for name in NAMES}
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return contents


def test_what_is_packed_comes_out_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "outputs"
    contents = fill(folder)
    packed = pack_folder(folder)
    assert packed == tmp_path / "outputs.tar.zst"
    assert not folder.exists()
    assert packed.stat().st_size < sum(map(len, contents.values())) / 10
    unpack(packed, tmp_path / "again")
    again = tmp_path / "again" / "outputs"
    assert {name: (again / name).read_bytes() for name in NAMES} == contents
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_a_folder_stays_when_it_cannot_be_packed(tmp_path: Path) -> None:
    folder = tmp_path / "outputs"
    contents = fill(folder)
    (tmp_path / "outputs.tar.zst").mkdir()
    with pytest.raises(OSError, match=r"outputs\.tar\.zst"):
        pack_folder(folder)
    assert {name: (folder / name).read_bytes() for name in NAMES} == contents
    assert not (tmp_path / ".outputs.tar.zst.part").exists()


def test_a_link_is_packed_as_a_link(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("nobody's")
    folder = tmp_path / "outputs"
    folder.mkdir()
    (folder / "link").symlink_to(secret)
    packed = pack_folder(folder)
    with zstandard.open(packed, "rb") as file, tarfile.open(fileobj=file, mode="r|") as archive:
        assert [(each.name, each.issym()) for each in archive] == [
            ("outputs", False),
            ("outputs/link", True),
        ]


@pytest.mark.parametrize("name", ["../outside", "/outside", "outputs/../../outside"])
def test_nothing_is_unpacked_outside_of_the_folder(tmp_path: Path, name: str) -> None:
    packed = tmp_path / "bad.tar.zst"
    with zstandard.open(packed, "wb") as file, tarfile.open(fileobj=file, mode="w|") as archive:
        member = tarfile.TarInfo(name)
        member.size = 3
        archive.addfile(member, io.BytesIO(b"bad"))
    into = tmp_path / "into"
    into.mkdir()
    with contextlib.suppress(tarfile.TarError):
        unpack(packed, into)
    assert not (tmp_path / "outside").exists()
    assert not Path("/outside").exists()
