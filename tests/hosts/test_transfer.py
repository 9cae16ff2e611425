"""Files there and back: whole or not at all, whatever their names, and nothing else."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldlab.domain.errors import BadInput, HostError, HostUnreachable, TransferFailed
from fieldlab.hosts import rsync, sftp, transfer
from fieldlab.hosts.ssh import SshHost
from tests.hosts.playing import play
from tests.sshd import Sshd
from tests.waiting import until

NAMES = (
    "plain",
    "two words",
    "-rf",
    "--delete",
    'it\'s "quoted"',
    "line\nbreak",
    "$(id) `id` * ? [a] \\ ~",
    "a:b",
    "é あ 🜁",
    "." + "x" * 254,
    os.fsdecode(b"\xff\xfe"),
)


@pytest.fixture(params=["few", "rsync", "sftp"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Copy each way: as few files, by rsync, and where there is no rsync."""
    if request.param != "few":
        monkeypatch.setattr(transfer, "FEW", (0, 0))
    if request.param == "sftp":
        monkeypatch.setattr(rsync, "is_here", lambda: False)
    way: str = request.param
    return way


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        os.path.relpath(path, folder): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("line", ["", "UserKnownHostsFile ~/others", "UserKnownHostsFile none"])
def test_rsync_goes_by_the_same_host_keys(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """OpenSSH itself asks the passwd file for the home folder, and not $HOME."""
    home = tmp_path / "some home"
    (home / ".ssh").mkdir(parents=True)
    known = home / ("others" if "others" in line else ".ssh/known_hosts")
    known.write_bytes(sshd.known_hosts.read_bytes())
    (sshd.folder / "ssh_config").write_text(f"Host *\n  {line}\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(transfer, "FEW", (0, 0))
    monkeypatch.setattr(sftp, "send", None)
    (tmp_path / "file").write_text("there")

    async def act() -> None:
        host = SshHost(sshd.spec(), sshd.site(known_hosts=""))
        try:
            await host.send(tmp_path / "file", str(tmp_path / "copy"))
        finally:
            await host.close()

    asyncio.run(act())
    assert (tmp_path / "copy").read_text() == "there"


def test_a_folder_there_and_back(shared_sshd: Sshd, tmp_path: Path, way: str) -> None:
    source, there, back = tmp_path / "source", tmp_path / "far away's/-there", tmp_path / "back"
    for folder in (source, source / "deep" / "it's", source / "empty"):
        folder.mkdir(parents=True)
    for name in NAMES:
        (source / name).write_bytes(os.urandom(1000))
        (source / "deep" / "it's" / name).write_bytes(b"")
    (source / "program").write_text("#!/bin/sh\n")
    (source / "program").chmod(0o755)

    async def act(host: SshHost) -> None:
        await host.send(source, str(there))
        await host.fetch(str(there), back)
        await host.fetch(str(there), back)  # again is fine

    play(shared_sshd, act)
    assert tree(there) == tree(source) == tree(back)
    assert os.access(there / "program", os.X_OK)
    assert os.access(back / "program", os.X_OK)


def test_a_file_there_and_back(shared_sshd: Sshd, tmp_path: Path, way: str) -> None:
    source, there, back = tmp_path / "a file", tmp_path / "x/there:y", tmp_path / "z/back"
    source.write_bytes(b"content")

    async def act(host: SshHost) -> None:
        await host.send(source, str(there))
        await host.fetch(str(there), back)
        source.write_bytes(b"changed")
        await host.send(source, str(there))
        await host.fetch(str(there), back)

    play(shared_sshd, act)
    assert there.read_bytes() == back.read_bytes() == b"changed"


def test_paths_begin_in_the_home_folder(shared_sshd: Sshd, tmp_path: Path, way: str) -> None:
    folder = Path(f"fieldlab-test-{os.getpid()}-{way}")
    (tmp_path / "one").write_text("1")
    home = Path("~").expanduser()

    async def act(host: SshHost) -> None:
        await host.send(tmp_path / "one", f"{folder}/sub/one")
        await host.fetch(f"~/{folder}", tmp_path / "back")

    try:
        play(shared_sshd, act)
        assert (tmp_path / "back/sub/one").read_text() == "1"
    finally:
        subprocess.run(["rm", "-rf", "--", str(home / folder)], check=True)


def test_links_are_neither_copied_nor_followed(shared_sshd: Sshd, tmp_path: Path, way: str) -> None:
    secret, source = tmp_path / "secret", tmp_path / "source"
    secret.mkdir()
    (secret / "key").write_text("secret")
    source.mkdir()
    (source / "good").write_text("good")
    (source / "file").symlink_to(secret / "key")
    (source / "folder").symlink_to(secret)
    os.mkfifo(source / "pipe")

    async def act(host: SshHost) -> None:
        await host.fetch(str(source), tmp_path / "back")
        await host.send(source, str(tmp_path / "there"))
        with pytest.raises(TransferFailed):
            await host.fetch(str(source / "file"), tmp_path / "stolen")

    play(shared_sshd, act)
    assert tree(tmp_path / "back") == tree(tmp_path / "there") == {"good": b"good"}
    assert not (tmp_path / "stolen").exists()


def test_a_link_in_the_place_of_a_file_isnt_written_through(
    shared_sshd: Sshd, tmp_path: Path, way: str
) -> None:
    there, back, outside = tmp_path / "there", tmp_path / "back", tmp_path / "outside"
    there.mkdir()
    back.mkdir()
    (there / "file").write_text("new")
    outside.write_text("old")
    (back / "file").symlink_to(outside)
    play(shared_sshd, lambda host: host.fetch(str(there), back))
    assert outside.read_text() == "old"
    assert (back / "file").read_text() == "new"
    assert not (back / "file").is_symlink()


def test_what_isnt_there(shared_sshd: Sshd, tmp_path: Path, way: str) -> None:
    with pytest.raises(TransferFailed, match="bench"):
        play(shared_sshd, lambda host: host.fetch(str(tmp_path / "nothing"), tmp_path / "back"))
    with pytest.raises(TransferFailed):
        play(shared_sshd, lambda host: host.send(Path(__file__), "/dev/null/file"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs root, to mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_there(shared_sshd: Sshd, tmp_path: Path, small_disk: Path, way: str) -> None:
    (tmp_path / "big").write_bytes(os.urandom(3 << 20))
    target = small_disk / "x" / "big"
    with pytest.raises(TransferFailed) as caught:
        play(shared_sshd, lambda host: host.send(tmp_path / "big", str(target)))
    assert "df" in caught.value.remedy
    assert not target.exists()


@pytest.mark.parametrize("way", ["rsync", "sftp"], indirect=True)
@pytest.mark.parametrize("direction", ["send", "fetch"])
def test_an_interrupted_copy_goes_on_where_it_was(
    sshd: Sshd, tmp_path: Path, way: str, direction: str
) -> None:
    """Cut after some megabytes; nothing is seen as whole; the next call needs less than all."""
    source, target = tmp_path / "source", tmp_path / "target" / "file"
    with source.open("wb") as file:
        for _ in range(40):
            file.write(os.urandom(1 << 20))
    (tmp_path / "target").mkdir()

    def copy(host: SshHost) -> asyncio.Task[None]:
        going = host.send(source, str(target)) if direction == "send" else None
        return asyncio.ensure_future(going or host.fetch(str(source), target))

    def arrived() -> int:
        folders = [tmp_path / "target", tmp_path / "target" / rsync.PARTS]
        return sum(
            path.stat().st_size
            for folder in folders
            if folder.is_dir()
            for path in folder.iterdir()
            if path.is_file()
        )

    async def act(host: SshHost) -> None:
        task = copy(host)
        await until(lambda: arrived() > 2 << 20 or task.done(), "some has arrived")
        assert not task.done()
        sshd.cut()
        with pytest.raises(HostUnreachable):
            await task
        assert not target.exists()
        await until(lambda: way == "sftp" or (target.parent / rsync.PARTS).exists(), "parts")
        kept = arrived()
        assert kept > 1 << 20
        await copy(host)

    play(sshd, act)
    assert target.read_bytes() == source.read_bytes()
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_a_part_of_another_file_isnt_gone_on_with(shared_sshd: Sshd, tmp_path: Path) -> None:
    from fieldlab.hosts.sftp import part_of

    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(100_000))
    Path(part_of(str(target))).write_bytes(b"x" * 50_000)
    play(shared_sshd, lambda host: host.fetch(str(source), target))
    assert target.read_bytes() == source.read_bytes()


def test_a_cancelled_copy_leaves_nothing_whole(shared_sshd: Sshd, tmp_path: Path, way: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(30 << 20))

    async def act(host: SshHost) -> None:
        await host.check()
        task = asyncio.create_task(host.fetch(str(source), target))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not target.exists()
        await host.fetch(str(source), target)

    play(shared_sshd, act)
    assert target.read_bytes() == source.read_bytes()


def test_removing_folders_of_attempts(shared_sshd: Sshd, tmp_path: Path) -> None:
    base = tmp_path / "attempts"
    for name in ("1", "-2", "it's\n3"):
        (base / name / "deep").mkdir(parents=True)
    (base / "1" / "link").symlink_to(tmp_path)
    (base / "kept").mkdir()

    async def act(host: SshHost) -> None:
        await host.remove([f"{base}/1", f"{base}/-2", f"{base}/it's\n3", f"{base}/gone"])
        await host.remove([])
        for bad in ("", "/", str(base), f"{base}/", f"{base}/../x", "/etc", f"{base}x/1", "1"):
            with pytest.raises(BadInput, match="below"):
                await host.remove([f"{base}/kept", bad])

    play(shared_sshd, act, directory=str(base))
    assert [path.name for path in base.iterdir()] == ["kept"]


def test_what_cant_be_removed(shared_sshd: Sshd) -> None:
    with pytest.raises(HostError, match="removed"):
        play(shared_sshd, lambda host: host.remove(["/proc/self/fd"]), directory="/proc")
