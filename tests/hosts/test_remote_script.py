"""The programs that run on machines, under every shell that may be there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import pytest

from fieldlab.domain.commands import Command
from fieldlab.domain.sites import HostSpec
from fieldlab.hosts import health, remote_script
from tests.hosts.test_ssh_run import ARGUMENTS

PACKAGES = {"tcsh": "tcsh", "fish": "fish", "busybox": "busybox", "bash": "bash"}


@pytest.fixture(
    params=[
        ("sh", "/bin/sh"),
        ("bash", "/bin/bash"),
        ("tcsh", "/bin/sh"),
        ("fish", "/bin/sh"),
        ("busybox sh", "/bin/busybox sh"),
    ],
    ids=lambda pair: "-".join(pair).replace("/bin/", ""),
)
def shells(request: pytest.FixtureRequest) -> tuple[list[str], str]:
    """Have the login shell of an account, and the /bin/sh of its machine."""
    login, system = request.param
    words = login.split()
    if not shutil.which(words[0]):
        pytest.skip(f"needs `apt-get install {PACKAGES[words[0]]}`")
    return words, system


def start(shells: tuple[list[str], str], program: str) -> subprocess.Popen[bytes]:
    login, system = shells
    return subprocess.Popen(
        [*login, "-c", program.replace("/bin/sh", system)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # as sshd does
    )


def test_arguments_and_environment_are_exact(shells: tuple[list[str], str]) -> None:
    show = (
        "import os, sys; sys.stdout.buffer.write(b'\\0'.join(map(os.fsencode, "
        "[os.environ['A'], os.environ['FIELDLAB_MARK'], *sys.argv[1:]])))"
    )
    command = Command(argv=(sys.executable, "-c", show, *ARGUMENTS), environment={"A": "x\n'y\n"})
    lines = remote_script.run_lines(command, token="t", mark="m.1", barrier=True)
    with start(shells, remote_script.RUN) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(lines + remote_script.GO)
        process.stdin.flush()
        ready, started, output = process.stdout.read().split(b"\n", 2)
        process.stdin.close()  # its end would have stopped the program
        process.wait()
        wrong = process.stderr.read()
    assert wrong == b""
    assert ready == b""
    assert float(started) > 1e9
    assert output.split(b"\0") == [os.fsencode(each) for each in ("x\n'y\n", "m.1", *ARGUMENTS)]


def test_the_end_of_the_input_ends_the_group(shells: tuple[list[str], str]) -> None:
    program = "(trap '' TERM; sleep 600) & echo ready; sleep 600"
    lines = remote_script.run_lines(
        Command(argv=("sh", "-c", program)), token="t", mark="", barrier=False
    )
    process = start(shells, remote_script.RUN)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(lines + remote_script.GO)
    process.stdin.flush()
    assert process.stdout.readline() == b"ready\n"
    process.stdin.close()
    assert process.wait() == -signal.SIGTERM
    assert process.stdout.read() == b""  # all who held it open are gone
    process.stdout.close()
    assert process.stderr is not None
    process.stderr.close()


def test_the_guard_says_what_is_there(shells: tuple[list[str], str]) -> None:
    said, _ = start(shells, remote_script.GUARD).communicate(b"\n\n")
    first, *programs = said.decode().removesuffix("\n\n").split("\n")
    pid, group, boot = first.split()
    assert pid == group
    assert len(boot) > 36
    assert any(each.endswith("/sha256sum") for each in programs)


def test_marked_processes_are_swept(shells: tuple[list[str], str]) -> None:
    mark = f"sweep.{os.getpid()}"
    marked = subprocess.Popen(["sleep", "600"], env={**os.environ, "FIELDLAB_MARK": mark})
    lines = remote_script.sweep_lines([mark, "another"])
    said, wrong = start(shells, remote_script.SWEEP).communicate(lines)
    assert (said, wrong) == (b"1\n", b"")
    assert marked.wait() == -signal.SIGKILL


def look_lines(interface: str) -> bytes:
    spec = HostSpec(name="a", address="a", directory="/tmp/nö'w\\here", interface=interface)
    return health.look_lines(spec)


def test_the_look_says_which_interfaces_there_are(shells: tuple[list[str], str]) -> None:
    for name in ("no'where0", "*", "-h", "l"):
        said, _ = start(shells, health.LOOK).communicate(look_lines(name))
        (line,) = [each for each in said.decode().splitlines() if each.startswith("interface")]
        assert line.startswith("interface there are ")
        assert "lo" in line.split()


def test_the_look_says_something_of_everything(shells: tuple[list[str], str]) -> None:
    said, _ = start(shells, health.LOOK).communicate(look_lines("lo"))
    words = {line.split(" ")[0] for line in said.decode().splitlines()}
    assert words == {
        *("clock", "load", "processors", "disk", "kernel"),
        *("system", "rsync", "python3", "setsid", "netem"),
    }
