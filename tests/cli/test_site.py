"""The group `site`."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldlab.cli.errors import ExitCode
from tests.cli.program import document, invoke
from tests.sshd import Sshd, free_port


@pytest.fixture
def site(shared_sshd: Sshd, folder: Path) -> Sshd:
    """Have a profile with a site: a host that is well."""
    spec = shared_sshd.spec()
    (folder / "fieldlab.toml").write_text(
        f"""
[sites.lab]
user = "{spec.user}"
key = "{spec.key}"
known_hosts = "{shared_sshd.known_hosts}"
ssh_config = "{shared_sshd.folder / "ssh_config"}"
directory = "{spec.directory}"

[[sites.lab.hosts]]
name = "well"
address = "127.0.0.1"
port = {spec.port}
roles = ["publisher"]
power_cycle = ["false"]
"""
    )
    return shared_sshd


@pytest.fixture
def ill(site: Sshd, folder: Path) -> str:
    """Have another host, on which no sshd listens."""
    with (folder / "fieldlab.toml").open("a") as profile:
        profile.write(
            "[[sites.lab.hosts]]\nname = 'ill'\naddress = '127.0.0.1'\n"
            f"port = {free_port()}\ntags = ['old']\n"
        )
    return "ill"


@pytest.mark.usefixtures("site", "ill")
def test_sites_and_hosts_are_listed() -> None:
    listed = invoke("site", "list")
    assert listed.exit_code == 0
    assert "well" in listed.stdout
    assert "publisher" in listed.stdout
    (found,) = document(invoke("site", "list", "--json"))
    assert [host["name"] for host in found["hosts"]] == ["well", "ill"]


def test_no_sites_says_how_to_describe_one(folder: Path) -> None:
    assert "fieldlab.toml" in invoke("site", "list").stderr
    result = invoke("site", "check")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "[[sites.NAME.hosts]]" in result.stderr
    assert "fieldlab sandbox up" in result.stderr


@pytest.mark.usefixtures("site")
def test_a_site_that_is_well() -> None:
    checked = invoke("site", "check")
    assert checked.exit_code == 0, checked.output
    assert "well" in checked.stdout
    assert "GB" in checked.stdout
    found = document(invoke("site", "check", "lab", "--json"))
    assert found["ok"]
    (host,) = found["hosts"]
    assert host["ping_ms"] is not None
    assert host["boot_id"]
    assert host["free_bytes"] > 0
    assert abs(host["clock_offset_s"]) < 0.5
    assert host["processors"] >= 1
    assert {"kernel", "system", "rsync", "python3", "setsid", "netem"} <= host["versions"].keys()


@pytest.mark.usefixtures("site", "ill")
def test_a_host_that_cant_be_used_says_why_and_what_to_do() -> None:
    checked = invoke("site", "check", "lab")
    assert checked.exit_code == ExitCode.INFRASTRUCTURE
    assert "no sshd listens there. Start sshd on it" in " ".join(checked.stdout.split())
    assert "1 of 2 hosts can't be used: ill" in checked.stderr
    assert not document(invoke("site", "check", "--json"))["ok"]


@pytest.mark.usefixtures("site")
def test_what_isnt_wrong_by_itself_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    found = document(invoke("site", "check", "--json"))["hosts"][0]
    lacks_netem = not found["versions"]["netem"]
    assert lacks_netem == any("No netem: noise can only be" in each for each in found["wrong"])
    monkeypatch.setenv("COLUMNS", "80")
    lines = invoke("site", "check").stdout.splitlines()
    assert "versions" not in lines[1]
    assert any(line.startswith("well: ") and "python3" in line for line in lines)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("directory = '/proc/version/x'", "No folder can be made in /proc/version/x: mkdir: "),
        ("interface = 'nowhere0'", "It has no interface 'nowhere0'; there are lo"),
    ],
)
@pytest.mark.usefixtures("site")
def test_ssh_alone_isnt_enough(folder: Path, line: str, says: str) -> None:
    with (folder / "fieldlab.toml").open("a") as profile:
        profile.write(f"{line}\n")
    checked = invoke("site", "check")
    assert checked.exit_code == ExitCode.INFRASTRUCTURE
    assert f"well: {says}" in checked.stdout
    assert f"Correct `{line.partition(' ')[0]}` of the host" in checked.stdout
    assert "1 of 1 host can't be used: well" in checked.stderr


@pytest.mark.usefixtures("site")
def test_a_look_leaves_nothing_but_the_folder(site: Sshd, folder: Path) -> None:
    with (folder / "fieldlab.toml").open("a") as profile:
        profile.write(f"directory = '{folder}/new/one'\ninterface = 'lo'\n")
    assert invoke("site", "check").exit_code == 0
    assert list((folder / "new/one").iterdir()) == []


def test_all_pairs(site: Sshd, folder: Path) -> None:
    """The machine is there once more, under another address."""
    port = site.port
    line = site.known_hosts.read_text()
    both = folder / "known_hosts"
    both.write_text(line + line.replace("127.0.0.1", "localhost"))
    profile = (folder / "fieldlab.toml").read_text().replace(str(site.known_hosts), str(both))
    (folder / "fieldlab.toml").write_text(
        f"{profile}[[sites.lab.hosts]]\nname = 'again'\naddress = 'localhost'\nport = {port}\n"
    )
    shown = invoke("site", "check", "--pairs")
    assert "ping from" in shown.stdout
    pairs = document(invoke("site", "check", "--pairs", "--json"))["pairs"]
    assert {(each["from"], each["to"]) for each in pairs} == {("well", "again"), ("again", "well")}
    assert all(each["ping_ms"] is not None for each in pairs)


@pytest.mark.usefixtures("site", "ill")
def test_restarting_asks_and_refuses() -> None:
    unasked = invoke("site", "reboot", "lab")
    assert unasked.exit_code == ExitCode.BAD_INPUT
    assert "say --yes" in unasked.stderr
    assert "no host 'wel'" in invoke("site", "reboot", "lab", "wel", "--yes").stderr
    powerless = invoke("site", "reboot", "lab", "--power-cycle", "--yes")
    assert powerless.exit_code == ExitCode.BAD_INPUT
    assert "ill" in powerless.stderr
    failing = invoke("site", "reboot", "lab", "well", "--power-cycle", "--yes", "--json")
    assert failing.exit_code == ExitCode.INFRASTRUCTURE
    (found,) = document(failing)
    assert not found["ok"]
    assert "exit code 1" in found["error"]
