"""Connections: strict about keys, and errors that say what to do."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from fieldlab.domain.commands import Command
from fieldlab.domain.errors import (
    BadInput,
    FieldlabError,
    HostKeyRefused,
    HostLoginRefused,
    HostUnreachable,
)
from fieldlab.domain.sites import HostSpec, Site
from fieldlab.hosts import connecting
from fieldlab.hosts.channels import Conversation
from fieldlab.hosts.links import Link, Links
from fieldlab.hosts.ssh import SshHost
from tests.hosts.playing import play
from tests.sshd import Sshd, free_port, make_key
from tests.waiting import until

TRUE = Command(argv=("true",))


def refused(server: Sshd, site: Site | None = None, **changes: object) -> FieldlabError:
    """Fail to connect, and give the error."""
    return refused_by(server.spec(**changes), site or server.site())


def refused_by(spec: HostSpec, site: Site) -> FieldlabError:
    async def act() -> None:
        host = SshHost(spec, site)
        try:
            await host.check()
        finally:
            await host.close()

    with pytest.raises(FieldlabError) as caught:
        asyncio.run(act())
    return caught.value


def fingerprint(key: Path) -> str:
    said = subprocess.run(
        ["ssh-keygen", "-lf", str(key)], capture_output=True, text=True, check=True
    )
    return said.stdout.split()[1]


def follow(remedy: str) -> None:
    """Do what a remedy says between backticks, but for looking at the key on the machine."""
    for command in remedy.split("`")[1::2]:
        if "/etc/ssh/" not in command:
            subprocess.run(["sh", "-c", command], check=True, capture_output=True)


def test_an_unknown_key_is_an_error_that_says_how_to_accept_it(sshd: Sshd) -> None:
    sshd.known_hosts.unlink()
    error = refused(sshd)
    assert isinstance(error, HostKeyRefused)
    assert not error.transient
    assert fingerprint(sshd.host_key) in error.what
    assert "unknown" in error.what
    follow(error.remedy)
    assert play(sshd, lambda host: host.run(TRUE)).exit.ok


def test_a_changed_key_is_an_error_that_says_how_to_accept_it(sshd: Sshd) -> None:
    other = make_key(sshd.folder / "other")
    words = other.with_suffix(".pub").read_text().split()[:2]
    sshd.known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {' '.join(words)}\n")
    error = refused(sshd)
    assert isinstance(error, HostKeyRefused)
    assert fingerprint(sshd.host_key) in error.what
    assert "another machine" in error.what
    follow(error.remedy)
    assert play(sshd, lambda host: host.run(TRUE)).exit.ok


def test_a_configuration_that_trusts_everybody_isnt_followed(sshd: Sshd) -> None:
    (sshd.folder / "ssh_config").write_text(
        "Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile none\n"
    )
    empty = sshd.folder / "nobody"
    assert isinstance(refused(sshd, sshd.site(known_hosts=str(empty))), HostKeyRefused)
    assert isinstance(refused(sshd, sshd.site(known_hosts="")), HostKeyRefused)


def test_a_wrong_key_isnt_worth_trying_again(sshd: Sshd) -> None:
    error = refused(sshd, key=str(make_key(sshd.folder / "stranger")))
    assert isinstance(error, HostLoginRefused)
    assert isinstance(error, HostUnreachable)
    assert not error.transient
    assert "ssh-copy-id" in error.remedy


def test_a_key_that_cant_be_read(sshd: Sshd) -> None:
    assert isinstance(refused(sshd, key=str(sshd.folder / "nowhere")), BadInput)
    broken = sshd.folder / "broken"
    broken.write_text("no key\n")
    assert isinstance(refused(sshd, key=str(broken)), BadInput)
    locked = make_key(sshd.folder / "locked", passphrase="secret words")
    error = refused(sshd, key=str(locked))
    assert isinstance(error, BadInput)
    assert "ssh-add" in error.remedy


@pytest.fixture
def agent(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    path = sshd.folder / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    try:
        from tests.waiting import wait_until

        wait_until(path.exists, "the agent listens")
        subprocess.run(["ssh-add", "-q", str(sshd.key)], check=True, capture_output=True)
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("agent")
def test_a_key_of_the_agent(sshd: Sshd) -> None:
    assert play(sshd, lambda host: host.run(TRUE), key="").exit.ok


def test_nobody_listens(sshd: Sshd) -> None:
    error = refused(sshd, port=free_port(), name="bench7")
    assert isinstance(error, HostUnreachable)
    assert error.transient
    assert "bench7" in error.what
    assert "no sshd" in error.what


def test_nobody_answers(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "CONNECT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = refused(sshd, port=silent.getsockname()[1])
    assert isinstance(error, HostUnreachable)
    assert "doesn't answer" in error.what


def test_a_name_that_nobody_knows(sshd: Sshd) -> None:
    error = refused(sshd, address="nobody.invalid")
    assert isinstance(error, HostUnreachable)
    assert "address" in error.what


def test_the_name_is_one_of_the_ssh_configuration(sshd: Sshd) -> None:
    (sshd.folder / "ssh_config").write_text(
        f"Host rack-seven\n  HostName 127.0.0.1\n  Port {sshd.port}\n  IdentityFile {sshd.key}\n"
    )
    changes = {"address": "rack-seven", "port": 22, "key": ""}
    assert play(sshd, lambda host: host.run(TRUE), **changes).exit.ok


def test_a_guard_that_is_cancelled_leaves_no_connection(sshd: Sshd) -> None:
    async def act() -> None:
        links = Links(sshd.spec(), sshd.site())
        for delay_s in (0.0, 0.01, 0.05):
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(Link, "guard", stopped_after(delay_s))
                asking = asyncio.create_task(links.ask("true"))
                await asyncio.wait([asking])
                assert asking.cancelled()
        await until(lambda: not sshd.sessions(), "the connections are gone")

    asyncio.run(act())


def stopped_after(delay_s: float) -> Callable[[Link], Awaitable[None]]:
    """Make a guard that is cancelled a little after it has begun."""
    guard = Link.guard

    async def stopped(link: Link) -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_later(delay_s, task.cancel)
        said = Conversation.until_said

        async def deaf(talk: Conversation, last: bytes) -> bytes:
            await asyncio.sleep(60)
            return await said(talk, last)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Conversation, "until_said", deaf)
            await guard(link)

    return stopped


def test_through_a_jump_host(sshd: Sshd, tmp_path: Path) -> None:
    gate = Sshd(tmp_path / "gate")
    gate.start()
    try:
        with (gate.folder / "authorized_keys").open("a") as keys:
            keys.write((sshd.folder / "id.pub").read_text())
        jump = f"{sshd.spec().user}@127.0.0.1:{gate.port}"
        assert isinstance(refused(sshd, jump=jump), HostKeyRefused)  # the gate's
        with sshd.known_hosts.open("a") as known:
            known.write(gate.known_hosts.read_text())
        said = play(
            sshd,
            lambda host: host.run(Command(argv=("sh", "-c", "echo $SSH_CONNECTION"))),
            jump=jump,
        )
        assert said.exit.ok
        assert gate.sessions() == [] or said.stdout
        gate.stop()
        error = refused(sshd, jump=jump)
        assert isinstance(error, HostUnreachable)
        assert error.what.startswith("The jump host of 'bench' (127.0.0.1:")
    finally:
        gate.stop()


def test_a_host_that_was_restarted_is_connected_anew(sshd: Sshd) -> None:
    async def act(host: SshHost) -> None:
        await host.check()
        sshd.stop()
        with pytest.raises(HostUnreachable):
            await host.check()
        sshd.start()
        await host.check()
        await host.close()
        await host.check()  # closing gives the connection back, no more

    play(sshd, act)
