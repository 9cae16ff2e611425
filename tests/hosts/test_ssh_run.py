"""What runs on a machine: it gets what it was given, ends as it ends, and never outlives us."""

from __future__ import annotations

import asyncio
import os
import resource
import secrets
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from fieldlab.domain.commands import Command
from fieldlab.domain.errors import HostError, HostUnreachable, MachineError
from fieldlab.hosts import links, remote_script
from fieldlab.hosts.channels import UNNAMED_SIGNAL
from fieldlab.hosts.ssh import SshHost
from fieldlab.ports.host import MOST_IN_MEMORY, Ran, Sink
from tests.hosts.playing import play
from tests.sshd import Sshd, running
from tests.waiting import until, wait_until

ARGUMENTS = (
    "two words",
    "'single' \"double\"",
    "line\nline\n\n",
    "$(id) `id` $HOME \\0101 \\n *",
    "",
    "-n",
    "--",
    "é あ 🜁",
    "\x01\x7f\x81!! !a #",
    os.fsdecode(bytes(range(0x80, 0x100))),
)


def python(program: str, *arguments: str) -> Command:
    return Command(argv=(sys.executable, "-c", textwrap.dedent(program), *arguments))


def sh(program: str, **rest: object) -> Command:
    return Command(argv=("sh", "-c", program), **rest)  # type: ignore[arg-type]


def tree(word: str) -> str:
    """Write a program with grandchildren, deaf ones too, whose arguments all have a word."""
    return (
        f"sh -c 'sleep 600; : {word}' & "
        f"(trap '' TERM HUP INT; sh -c 'trap \"\" TERM HUP INT; sleep 600; : {word}') & "
        f"sh -c 'sh -c \"sleep 600; : {word}\" & wait; : {word}' & echo ready; wait; : {word}"
    )


@pytest.fixture
def word() -> str:
    return f"w{secrets.token_hex(8)}"


def test_arguments_reach_the_program_as_they_are(shared_sshd: Sshd) -> None:
    show = "import os, sys; sys.stdout.buffer.write(b'\\0'.join(map(os.fsencode, sys.argv[1:])))"
    ran = play(shared_sshd, lambda host: host.run(python(show, *ARGUMENTS)))
    assert ran.stdout == b"\0".join(os.fsencode(each) for each in ARGUMENTS)
    assert ran.exit.ok


def test_environment_folder_and_empty_input(shared_sshd: Sshd, word: str) -> None:
    folder = f"{word} it's/a 'new'\nfolder/-x"
    command = Command(
        argv=(
            sys.executable,
            "-c",
            "import os,sys;print(dict(os.environ),os.getcwd(),sys.stdin.read())",
        ),
        environment={"A": "x\ny'$(id)", "fl_l": "mine", "odd.name": "1", "EMPTY": ""},
        directory=folder,
    )
    ran = play(shared_sshd, lambda host: host.run(command, mark="c.1"))
    said = ran.stdout.decode()
    for name, value in {**command.environment, "FIELDLAB_MARK": "c.1"}.items():
        assert f"{name!r}: {value!r}" in said
    made = shared_sshd_folder(shared_sshd, folder)
    assert made in said or repr(made)[1:-1] in said


def shared_sshd_folder(server: Sshd, folder: str) -> str:
    made = Path("~", folder).expanduser()
    assert made.is_dir()
    assert made.stat().st_mode & 0o777 == 0o700
    made.rmdir()
    for above in made.parents[:2]:
        above.rmdir()
    return str(made)


def test_a_folder_that_cant_be_had_is_the_machines_fault(shared_sshd: Sshd) -> None:
    with pytest.raises(HostError, match="/dev/null"):
        play(shared_sshd, lambda host: host.run(sh("true", directory="/dev/null/x")))


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("exit 0", 0),
        ("exit 1", 1),
        ("exit 125", 125),
        ("exit 137", 137),
        ("exit 255", 255),
        ("kill -KILL $$", -signal.SIGKILL),
        ("kill -SEGV $$", -signal.SIGSEGV),
        ("kill -TERM $$", -signal.SIGTERM),
        ("kill -USR1 $$", -signal.SIGUSR1),
        ("kill -BUS $$", -UNNAMED_SIGNAL),
    ],
)
def test_how_it_ended(shared_sshd: Sshd, program: str, code: int) -> None:
    assert play(shared_sshd, lambda host: host.run(sh(program))).exit.code == code


def test_a_program_that_isnt_there(shared_sshd: Sshd) -> None:
    ran = play(shared_sshd, lambda host: host.run(Command(argv=("no-such-program",))))
    assert ran.exit.code == 127
    assert b"no-such-program" in ran.stderr


def test_binary_outputs_are_kept_to_the_byte(shared_sshd: Sshd, tmp_path: Path) -> None:
    data = os.urandom(300_000) + bytes(range(256))
    (tmp_path / "data").write_bytes(data)
    sink = Sink(stdout=tmp_path / "out", stderr=tmp_path / "err")
    command = sh(f"cat {tmp_path}/data; cat {tmp_path}/data >&2")
    ran = play(shared_sshd, lambda host: host.run(command, sink))
    assert (tmp_path / "out").read_bytes() == (tmp_path / "err").read_bytes() == data
    assert (ran.stdout, ran.stderr, ran.lost_bytes) == (b"", b"", 0)


def test_a_flood_fills_neither_memory_nor_disk(shared_sshd: Sshd, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sink = Sink(stdout=tmp_path / "out", most_bytes=1_000_000)
    flood = sh("head -c 200000000 /dev/zero; echo end >&2")
    ran = play(shared_sshd, lambda host: host.run(flood, sink))
    assert (tmp_path / "out").stat().st_size == 1_000_000
    assert ran.lost_bytes == 199_000_000
    assert ran.stderr == b"end\n"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # kB


def test_the_beginning_is_kept_in_memory(shared_sshd: Sshd) -> None:
    ran = play(shared_sshd, lambda host: host.run(sh("head -c 3000000 /dev/zero")))
    assert (len(ran.stdout), ran.lost_bytes) == (MOST_IN_MEMORY, 3_000_000 - MOST_IN_MEMORY)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full, a disk that is full")
def test_a_full_disk_here_stops_the_program_there(shared_sshd: Sshd, word: str) -> None:
    with pytest.raises(MachineError, match="No space left"):
        play(
            shared_sshd,
            lambda host: host.run(
                sh(f"echo x; sleep 600; : {word}"), Sink(stdout=Path("/dev/full"))
            ),
        )
    wait_until(lambda: not running(word), "the program is gone")


def test_a_file_that_cant_be_written_here(shared_sshd: Sshd, tmp_path: Path) -> None:
    sink = Sink(stdout=tmp_path / "out", stderr=tmp_path / "nowhere" / "err")
    with pytest.raises(MachineError, match="nowhere"):
        play(shared_sshd, lambda host: host.run(sh("true"), sink))


def test_what_stays_in_the_background_is_killed_at_the_end(shared_sshd: Sshd, word: str) -> None:
    program = f"(trap '' TERM HUP; exec sh -c 'sleep 600; : {word}') & echo said"
    ran = play(shared_sshd, lambda host: host.run(sh(program)))
    assert (ran.exit.code, ran.stdout) == (0, b"said\n")
    assert not running(word)


def test_what_left_the_group_doesnt_hold_the_run(shared_sshd: Sshd, word: str) -> None:
    ran = play(
        shared_sshd,
        lambda host: host.run(sh(f"setsid sh -c 'sleep 600; : {word}' & echo said"), mark=word),
    )
    assert (ran.exit.code, ran.stdout) == (0, b"said\n")
    wait_until(lambda: not running(word), "what held the output open is gone")


def test_a_time_limit(shared_sshd: Sshd, word: str) -> None:
    began = time.monotonic()
    program = f"setsid sh -c 'sleep 600; : {word}' & {tree(word)}"
    ran = play(shared_sshd, lambda host: host.run(sh(program, timeout_s=0.3), mark=word))
    assert ran.exit.timed_out
    assert ran.stdout == b"ready\n"
    assert 0.3 <= ran.exit.duration_s < 1
    assert not running(word)
    assert time.monotonic() - began < 10


def test_a_program_deaf_to_term_is_killed_after_its_grace(shared_sshd: Sshd, word: str) -> None:
    deaf = f"trap 'echo heard' TERM; while :; do sleep 0.05; done; : {word}"
    ran = play(shared_sshd, lambda host: host.run(sh(deaf, timeout_s=0.2)))
    assert (ran.exit.code, ran.stdout) == (-signal.SIGKILL, b"heard\n")
    assert not running(word)


def test_a_cancelled_run_leaves_nothing(shared_sshd: Sshd, tmp_path: Path, word: str) -> None:
    out = tmp_path / "out"

    async def act(host: SshHost) -> None:
        task = asyncio.create_task(host.run(sh(tree(word)), Sink(stdout=out), mark=word))
        await until(lambda: out.exists() and out.read_bytes(), "it runs")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not running(word)
        assert (await host.run(sh("true"))).exit.ok  # the connection is as good as before

    play(shared_sshd, act)


def test_a_run_that_is_cancelled_as_it_begins_leaves_nothing(shared_sshd: Sshd, word: str) -> None:
    async def act(host: SshHost) -> None:
        await host.check()
        for moment_ms in range(20):
            task = asyncio.create_task(host.run(sh(f"sleep 600; : {word}"), mark=word))
            await asyncio.sleep(moment_ms / 1000)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not running(word)

    play(shared_sshd, act)


def test_a_cut_connection_leaves_nothing(sshd: Sshd, tmp_path: Path, word: str) -> None:
    out = tmp_path / "out"

    async def act(host: SshHost) -> None:
        task = asyncio.create_task(host.run(sh(tree(word)), Sink(stdout=out), mark=word))
        await until(lambda: out.exists() and out.read_bytes(), "it runs")
        sshd.cut()
        with pytest.raises(HostUnreachable, match="bench"):
            await task
        await until(lambda: not running(word), "all of it is gone")
        assert (await host.run(sh("true"))).exit.ok  # connected anew

    play(sshd, act)


CONTROLLER = """
import asyncio, sys
from pathlib import Path
from fieldlab.domain.commands import Command
from fieldlab.domain.sites import HostSpec, Site
from fieldlab.hosts.ssh import SshHost
from fieldlab.ports.host import Sink

async def main(port, user, key, known_hosts, program, out):
    spec = HostSpec(name="bench", address="127.0.0.1", port=int(port), user=user, key=key)
    host = SshHost(spec, Site(name="lab", hosts=(spec,), known_hosts=known_hosts))
    await host.run(Command(argv=("sh", "-c", program)), Sink(stdout=Path(out)))

asyncio.run(main(*sys.argv[1:]))
"""


def controller(server: Sshd, program: str, out: Path) -> subprocess.Popen[bytes]:
    spec = server.spec()
    argv = [sys.executable, "-c", CONTROLLER, str(server.port), spec.user, spec.key]
    process = subprocess.Popen([*argv, str(server.known_hosts), program, str(out)])
    wait_until(lambda: out.exists() and out.read_bytes(), "the controller's program runs")
    return process


def test_a_killed_controller_leaves_nothing(sshd: Sshd, tmp_path: Path, word: str) -> None:
    process = controller(sshd, tree(word), tmp_path / "out")
    process.kill()
    process.wait()
    wait_until(lambda: not running(word), "all of it is gone")


def test_a_machine_that_hears_nothing_ends_what_runs(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, word: str
) -> None:
    monkeypatch.setattr(links, "GUARD", remote_script.guard(1))
    monkeypatch.setattr(links, "HEARTBEAT_S", 0.3)
    out = tmp_path / "out"

    async def act(host: SshHost) -> None:
        task = asyncio.create_task(host.run(sh(tree(word)), Sink(stdout=out)))
        await until(lambda: out.exists() and out.read_bytes(), "it runs")
        began = time.monotonic()
        while time.monotonic() < began + 1.5:  # longer than the silence: heartbeats are heard
            await asyncio.sleep(0.1)
            assert running(word)
        # the loop stands still, as for a controller that is suspended
        wait_until(lambda: not running(word), "the machine has ended it by itself")
        with pytest.raises(HostUnreachable):
            await task

    play(sshd, act)


def test_processes_start_together(shared_sshd: Sshd) -> None:
    """More of them than sshd allows one connection."""

    async def act(host: SshHost) -> list[Ran]:
        together = asyncio.Barrier(12)
        return await asyncio.gather(*(host.run(sh("echo x"), start=together) for _ in range(12)))

    ran = play(shared_sshd, act)
    assert [each.stdout for each in ran] == [b"x\n"] * 12
    starts = [each.started for each in ran]
    assert all(abs(start - time.time()) < 60 for start in starts)
    assert max(starts) - min(starts) < 1


def test_one_that_cant_be_readied_doesnt_hold_the_others(shared_sshd: Sshd) -> None:
    async def act(host: SshHost) -> tuple[Ran | BaseException, Ran | BaseException]:
        together = asyncio.Barrier(2)
        return await asyncio.gather(
            host.run(sh("true"), start=together),
            host.run(sh("true", directory="/dev/null/x"), start=together),
            return_exceptions=True,
        )

    waiting, failed = play(shared_sshd, act)
    assert isinstance(waiting, asyncio.BrokenBarrierError)
    assert isinstance(failed, HostError)


def test_few_channels_a_connection(tmp_path: Path) -> None:
    server = Sshd(tmp_path / "sshd", "MaxSessions 2")
    server.start()
    try:

        async def act(host: SshHost) -> list[Ran]:
            together = asyncio.Barrier(3)
            return await asyncio.gather(*(host.run(sh("true"), start=together) for _ in range(3)))

        assert all(ran.exit.ok for ran in play(server, act))
    finally:
        server.stop()


def test_sweeping_kills_what_has_a_mark(shared_sshd: Sshd, word: str) -> None:
    marked = [
        subprocess.Popen(
            ["sh", "-c", f"sh -c 'sleep 600; : {mark}' & wait; : {mark}"],
            env={**os.environ, "FIELDLAB_MARK": mark},
            start_new_session=True,
        )
        for mark in (word, f"{word}.1")
    ]
    # two shells and a sleep each; the sleeps say no word
    wait_until(lambda: all(len(family(each)) == 3 for each in marked), "both run")
    assert play(shared_sshd, lambda host: host.sweep([word])) == 3
    assert marked[0].wait() == -signal.SIGKILL
    assert len(family(marked[1])) == 3
    assert play(shared_sshd, lambda host: host.sweep([f"{word}.1", "another"])) == 3
    assert marked[1].wait() == -signal.SIGKILL
    assert play(shared_sshd, lambda host: host.sweep([word])) == 0


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]
