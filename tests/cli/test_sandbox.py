"""The group `sandbox`: up, harmed, healed, down, from the command line."""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldlab.cli.errors import ExitCode
from fieldlab.sandbox.fixtures import require_sandbox
from tests.cli.program import document, finish, invoke, start


@pytest.fixture
def lab(folder: Path) -> Iterator[Path]:
    """Have a folder with a sandbox of two hosts, which outlives the program that made it."""
    require_sandbox()
    words = ("sandbox", "up", "--hosts", "2", "--roles", "pub,sub", "--disk", "16M")
    code, out, err = finish(start(*words, folder=folder))
    assert code == 0, err
    assert "2 hosts up in" in err
    assert f"ssh -F {folder}/.fieldlab/sandbox/ssh_config h1" in out
    yield folder
    invoke("sandbox", "down")


def test_a_sandbox_stays_until_down(lab: Path) -> None:
    place = lab / ".fieldlab/sandbox"
    argv = ["ssh", "-F", str(place / "ssh_config"), "h2", "hostname"]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == "h2\n"
    hosts = tomllib.loads((place / "site.toml").read_text())["sites"]["sandbox"]["hosts"]
    assert [host["roles"] for host in hosts] == [["pub"], ["sub"]]
    again = invoke("sandbox", "up")
    assert again.exit_code == ExitCode.BAD_INPUT
    assert "`fieldlab sandbox down`" in again.stderr
    assert document(invoke("sandbox", "down", "--json")) == {"removed": True}
    assert not place.exists()
    assert "No sandbox was up" in invoke("sandbox", "down").stderr
    assert invoke("sandbox", "status").exit_code == ExitCode.BAD_INPUT


def test_faults_are_injected_shown_and_cleared(lab: Path) -> None:
    assert "h1: up, delay 5 ms" in invoke("sandbox", "fault", "h1", "delay", "5ms").stderr
    (shown,) = document(invoke("sandbox", "fault", "h1", "link", "--json"))
    assert shown["faults"] == ["link", "delay 5 ms"]
    said = invoke("sandbox", "status").stdout
    assert "link, delay 5 ms" in said
    assert "traffic is shaped by" in said
    assert document(invoke("sandbox", "status", "--json"))["hosts"][1]["faults"] == []
    assert "h1: up, link\n" in invoke("sandbox", "clear", "h1", "delay").stderr
    assert "h1: up\nh2: up\n" in invoke("sandbox", "clear").stderr


def test_faults_are_wrapped_where_the_screen_is_narrow(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in ("loss 20%", "delay 50ms", "jitter 5ms", "duplication 3%", "rate 5mbit", "link"):
        invoke("sandbox", "fault", "h1", *words.split())
    monkeypatch.setenv("COLUMNS", "80")
    said = invoke("sandbox", "status").stdout
    assert all(len(line) <= 80 for line in said.splitlines())
    assert "duplication 3%, rate 5mbit" in " ".join(said.split())


def test_a_full_disk_and_hosts_that_are_apart_are_no_site_to_use(lab: Path) -> None:
    assert invoke("site", "check", "--pairs").exit_code == 0
    invoke("sandbox", "fault", "h1", "partition", "h2")
    assert invoke("site", "check").exit_code == 0
    apart = invoke("site", "check", "--pairs")
    assert apart.exit_code == ExitCode.INFRASTRUCTURE
    assert "h1 doesn't reach h2: no answer to its pings" in apart.stdout
    assert "2 of 2 pairs can't reach each other" in apart.stderr
    assert not document(invoke("site", "check", "--pairs", "--json"))["ok"]
    invoke("sandbox", "clear")
    invoke("sandbox", "fault", "h2", "full-disk")
    full = invoke("site", "check")
    assert full.exit_code == ExitCode.INFRASTRUCTURE
    assert "h2: The disk is full where /experiments lies" in full.stdout
    assert "1 of 2 hosts can't be used: h2" in full.stderr


def test_what_cannot_be_injected_is_an_error(lab: Path) -> None:
    wrong = invoke("sandbox", "fault", "h1", "lost", "5%")
    assert wrong.exit_code == ExitCode.BAD_INPUT
    assert "Did you mean 'loss'?" in wrong.stderr
    slow = invoke("sandbox", "fault", "h1", "slow-disk")
    assert slow.exit_code == ExitCode.INFRASTRUCTURE
    assert "disks are in memory" in slow.stderr


def test_the_doctor_says_whether_one_can_run(folder: Path) -> None:
    found = {each["check"]: each for each in document(invoke("doctor", "--json"))}
    assert found["sandbox"]["health"] in ("ok", "note")
