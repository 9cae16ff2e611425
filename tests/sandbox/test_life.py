"""However a sandbox ends, nothing is left of it; any number of them are up at the same time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from fieldlab.domain.errors import BadInput, SandboxError
from fieldlab.sandbox import Sandbox, needs
from fieldlab.sandbox.handle import take_down
from tests.sandbox import rehearse
from tests.sandbox.bench import await_nothing, processes_of, said, ssh
from tests.sandbox.ordinary_user import run_as_ordinary_user
from tests.unprivileged import open_folder

pytestmark = pytest.mark.usefixtures("can_run")

_OWNER = """
import sys, time
from pathlib import Path
from fieldlab.sandbox import Sandbox
sandbox = Sandbox.up(2, folder=Path(sys.argv[1]))
sandbox.fault("h1", "delay", "1ms")
print("up", flush=True)
time.sleep(600)
"""


def test_ten_hosts_are_up_in_seconds_and_nothing_is_left_at_the_end() -> None:
    began = time.monotonic()
    with Sandbox.up(10) as sandbox:
        taken = time.monotonic() - began
        processes = processes_of(sandbox)
        assert said(ssh(sandbox, "h10", "hostname")) == "h10"
    await_nothing(processes, sandbox.gateway, sandbox.folder)
    assert taken < 10  # 0.8 s on two idle cores
    sandbox.down()  # once more does no harm


def test_several_are_up_at_once_and_do_not_meet(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        made = list(pool.map(lambda n: Sandbox.up(1, folder=tmp_path / f"{n}"), range(3)))
    try:
        places = {(sandbox.host("h1").address, sandbox.folder) for sandbox in made}
        rootless = made[0].status().rootless  # then each has networks of its own
        assert len({address for address, _ in places}) == (1 if rootless else 3)
        for sandbox in made:
            said(ssh(sandbox, "h1", f"echo {sandbox.folder.name} > /experiments/whose"))
        for sandbox in made:
            whose = said(sandbox.run("h1", ["cat", "/experiments/whose"]))
            assert whose == sandbox.folder.name
        if not rootless:
            other = made[1].host("h1").address
            assert made[0].run("h1", ["ping", "-c", "1", "-W", "0.2", other]).returncode != 0
    finally:
        for sandbox in made:
            sandbox.down()
    assert not any(tmp_path.iterdir())


def test_it_ends_with_its_owner_even_if_that_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "bench"
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        sandbox = Sandbox.at(folder)
        processes = processes_of(sandbox)
        assert len(processes) >= 6  # a supervisor, a relay, and on each host two
        owner.kill()
    await_nothing(processes, sandbox.gateway, folder)


def test_what_is_left_when_the_supervisor_is_killed_goes_with_down(tmp_path: Path) -> None:
    sandbox = Sandbox.up(2, folder=tmp_path / "bench", outlives=True)
    processes = processes_of(sandbox)
    processes[0].send_signal(signal.SIGKILL)
    os.waitpid(processes[0].pid, 0)
    assert take_down(sandbox.folder)
    await_nothing(processes[1:], sandbox.gateway, sandbox.folder)
    assert not take_down(sandbox.folder)
    with Sandbox.up(1, folder=tmp_path / "bench") as again:
        assert said(ssh(again, "h1", "hostname")) == "h1"


def test_a_supervisor_that_hangs_is_ended_by_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fieldlab.sandbox.launching._ORDER_S", 0.5)
    sandbox = Sandbox.up(1, folder=tmp_path / "bench")
    processes = processes_of(sandbox)
    processes[0].suspend()
    sandbox.down()
    await_nothing(processes, sandbox.gateway, sandbox.folder)


def test_a_number_that_another_process_has_now_is_left_alone(tmp_path: Path) -> None:
    sandbox = Sandbox.up(1, folder=tmp_path / "bench", outlives=True)
    state = json.loads((sandbox.folder / "state.json").read_text())
    sandbox.down()
    folder = tmp_path / "later"
    folder.mkdir()
    bystander = subprocess.Popen(["sleep", "600"])
    with bystander:
        (folder / "plan.json").write_text("{}")
        (folder / "state.json").write_text(json.dumps({**state, "supervisor": bystander.pid}))
        assert take_down(folder)
        assert psutil.Process(bystander.pid).is_running()
        assert bystander.poll() is None
        bystander.kill()


def test_a_folder_has_one_sandbox(tmp_path: Path) -> None:
    with Sandbox.up(1, folder=tmp_path / "bench") as sandbox:
        with pytest.raises(BadInput, match=r"is up in .* already"):
            Sandbox.up(1, folder=sandbox.folder)
        assert said(ssh(sandbox, "h1", "hostname")) == "h1"


def test_a_folder_with_other_things_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("…")
    with pytest.raises(BadInput, match="lies something else"):
        Sandbox.up(1, folder=tmp_path)
    assert not take_down(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_sandbox_that_there_is_not_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No sandbox is up in"):
        Sandbox.at(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hosts": 0}, "has 1 to 100 hosts, not 0"),
        ({"hosts": 101}, "has 1 to 100 hosts, not 101"),
        ({"disk": "1k"}, "no size of a disk"),
        ({"shared": [Path("/nowhere")]}, "/nowhere is no folder"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Sandbox.up(**options)  # type: ignore[arg-type]


def test_a_start_that_fails_says_why_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "nft").symlink_to("/bin/true")
    (programs / "ip").write_text("#!/bin/sh\necho no more links >&2\nexit 1\n")
    (programs / "ip").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    with pytest.raises(SandboxError, match="no more links"):
        Sandbox.up(1, folder=tmp_path / "bench")
    assert not (tmp_path / "bench").exists()


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    with Sandbox.up(1, folder=tmp_path / "Münch, 100%: a\\b") as sandbox:
        assert said(ssh(sandbox, "h1", "test -w /etc && sudo hostname")) == "h1"


def test_a_shared_folder_is_the_same_on_all_hosts(tmp_path: Path) -> None:
    shared = tmp_path / "nfs"
    shared.mkdir()
    with Sandbox.up(2, shared=[shared]) as sandbox:
        said(ssh(sandbox, "h1", f"echo seen > {shared}/file"))
        assert said(ssh(sandbox, "h2", f"cat {shared}/file")) == "seen"
    assert (shared / "file").read_text() == "seen\n"


def test_other_projects_tests_have_one_by_naming_the_plugin(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["fieldlab.sandbox.fixtures"]\n')
    (tmp_path / "test_bench.py").write_text(
        "def test_harm(sandbox):\n"
        "    sandbox.fault('h4', 'link')\n"
        "def test_whole(sandbox):\n"
        "    assert [host.faults for host in sandbox.hosts] == [()] * 4\n"
    )
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 passed" in said(done)


def test_an_ordinary_user_has_one_too() -> None:
    with open_folder() as folder:
        done = run_as_ordinary_user([sys.executable, "-P", rehearse.__file__], folder)
        found = json.loads(said(done))
        assert not list(folder.glob("fieldlab-sandbox-*"))
    assert found["rootless"]
    assert found["config"]
    assert found["id"] == "0\nh1"
    assert found["usr"] == "read-only"
    assert found["late_ms"] >= 20 > found["prompt_ms"] > 0
    assert found["lost_ms"] == 0
    assert "No space left" in found["full"]
    assert found["boot"] != found["boot again"]
    assert found["boot again"]


def test_a_machine_that_lacks_programs_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(needs, "search_path", lambda: str(tmp_path))
    what, remedy = needs.missing()
    assert "sshd, ssh, ssh-keygen, ip, tc, nft, nsenter, unshare" in what
    assert "openssh-server" in remedy
    with pytest.raises(SandboxError, match="apt-get install"):
        Sandbox.up(1)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "needs Linux" in needs.missing()[0]
