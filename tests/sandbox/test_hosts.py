"""A virtual host is a machine of its own, to whoever comes by ssh."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

from fieldlab.domain.errors import BadInput, SandboxError
from fieldlab.sandbox import Sandbox
from tests.sandbox.bench import await_state, ping, processes_of, said, ssh

BOOT_ID = ("cat", "/proc/sys/kernel/random/boot_id")


def test_hosts_have_names_addresses_and_roles_dealt_in_turn(bench: Sandbox) -> None:
    assert [(host.name, host.state, host.roles, host.faults) for host in bench.hosts] == [
        ("h1", "up", ("pub",), ()),
        ("h2", "up", ("sub",), ()),
        ("h3", "up", ("pub",), ()),
    ]
    assert len({host.address for host in bench.hosts}) == 3


def test_each_answers_ping_from_the_machine_and_from_each_other(bench: Sandbox) -> None:
    assert ping(bench, "", "h1").answered == 3
    assert ping(bench, "h1", "h2").answered == 3
    assert said(bench.run("h1", ["ping", "-c", "1", "h3"]))


def test_ssh_gets_to_the_host_that_it_names(bench: Sandbox) -> None:
    assert said(ssh(bench, "h1", "hostname; id -un; pwd")) == "h1\nroot\n/root"
    assert said(ssh(bench, "h2", "hostname; printenv PATH")).startswith("h2\n/usr/local/sbin:")
    assert said(ssh(bench, bench.host("h3").address, "hostname")) == "h3"


def test_hosts_log_in_to_each_other(bench: Sandbox) -> None:
    assert said(ssh(bench, "h1", "ssh -o BatchMode=yes h2 hostname")) == "h2"


def test_a_host_with_another_key_is_refused(bench: Sandbox, tmp_path: Path) -> None:
    lines = bench.known_hosts.read_text().splitlines()
    assert len({line.split()[2] for line in lines}) == 3
    swapped = tmp_path / "known_hosts"
    swapped.write_text(f"{lines[0].split()[0]} {' '.join(lines[1].split()[1:])}\n")
    done = subprocess.run(
        ["ssh", "-F", str(bench.ssh_config), "-o", f"UserKnownHostsFile={swapped}", "h1", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 255
    assert "HOST IDENTIFICATION HAS CHANGED" in done.stderr


def test_a_terminal_works(bench: Sandbox) -> None:
    assert said(ssh(bench, "h1", "-tt", "tty")).startswith("/dev/pts/")


@pytest.mark.parametrize("folder", ["/root", "/home", "/experiments", "/tmp", "/etc", "/var/lib"])
def test_a_host_has_files_of_its_own(bench: Sandbox, folder: str) -> None:
    said(ssh(bench, "h1", f"echo mine > {folder}/mine"))
    assert said(bench.run("h1", ["cat", f"{folder}/mine"])) == "mine"
    assert bench.run("h2", ["test", "-e", f"{folder}/mine"]).returncode == 1
    assert not Path(folder, "mine").exists()


def test_a_host_sees_its_own_processes_only(bench: Sandbox) -> None:
    commands = said(ssh(bench, "h1", "ps -e -o pid=,comm=")).splitlines()
    assert commands[0].split()[0] == "1"
    assert len(commands) < 10
    whole = {process.pid for process in processes_of(bench)}
    assert {host.pid for host in bench.hosts} < whole


def test_a_host_has_no_secret_of_the_machine_and_no_name_server(bench: Sandbox) -> None:
    shadow = said(bench.run("h1", ["cat", "/etc/shadow"]))
    assert all(line.split(":")[1] == "*" for line in shadow.splitlines())
    assert "nameserver" not in said(bench.run("h1", ["cat", "/etc/resolv.conf"]))
    assert bench.run("h1", ["getent", "hosts", "example.org"]).returncode != 0


def test_rsync_brings_files_there_and_back(bench: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/data").write_text("0.25\n")
    shell = f"ssh -F '{bench.ssh_config}'"
    for source, target in (
        (f"{tmp_path}/there/", "h2:/experiments/run/"),
        ("h2:/experiments/run/", f"{tmp_path}/back/"),
    ):
        subprocess.run(["rsync", "-a", "-e", shell, source, target], check=True)
    assert (tmp_path / "back/data").read_text() == "0.25\n"


@pytest.mark.parametrize(
    "command", ["sudo -n reboot", "reboot", "systemctl reboot", "shutdown -r now"]
)
def test_a_host_reboots_on_its_own_command(bench: Sandbox, command: str) -> None:
    before = said(ssh(bench, "h1", *BOOT_ID))
    said(ssh(bench, "h1", "echo kept > /experiments/kept; echo lost > /run/lost"))
    first = bench.host("h1").pid
    ssh(bench, "h1", command)
    await_state(bench, "h1", "rebooting")
    assert ping(bench, "h2", "h1").answered == 0
    await_state(bench, "h1", "up")
    assert bench.host("h1").pid != first
    assert said(ssh(bench, "h1", *BOOT_ID)) != before
    assert said(ssh(bench, "h1", "cat /experiments/kept; ls /run/lost || true")) == "kept"


def test_the_kernel_s_own_call_reboots_the_host_alone(bench: Sandbox) -> None:
    script = "import ctypes, time; ctypes.CDLL(None).reboot(0x1234567); time.sleep(60)"
    bench.run("h1", ["python3", "-c", script])
    await_state(bench, "h1", "rebooting")
    await_state(bench, "h1", "up")
    assert bench.host("h2").state == "up"


def test_a_host_that_is_switched_off_stays_off(bench: Sandbox) -> None:
    ssh(bench, "h2", "sudo poweroff")
    await_state(bench, "h2", "off")
    with pytest.raises(SandboxError, match="h2 is down"):
        bench.run("h2", ["true"])
    bench.clear("h2")
    assert said(ssh(bench, "h2", "hostname")) == "h2"


def test_sudo_takes_the_options_that_people_use(bench: Sandbox) -> None:
    assert said(ssh(bench, "h1", "sudo -n -E id -u")) == "0"
    assert said(ssh(bench, "h1", "sudo -u nobody id -un")) == "nobody"
    assert said(ssh(bench, "h1", "sudo X=1 printenv X")) == "1"
    assert ssh(bench, "h1", "sudo -- false").returncode == 1


def test_a_site_says_how_to_reach_the_hosts(bench: Sandbox) -> None:
    if bench.status().rootless:
        pytest.skip("ssh is led to the hosts by the ssh_config there: run the tests as root")
    site = bench.site()
    assert (site.name, len(site.hosts), len(site.with_role("pub"))) == ("sandbox", 3, 2)
    host = site.hosts[1]
    assert (host.name, host.user, host.directory, host.interface) == (
        *("h2", "root", "/experiments", "eth0"),
    )
    done = subprocess.run(
        [
            *("ssh", "-F", "/dev/null", "-i", host.key, "-o", "BatchMode=yes"),
            *("-o", f"UserKnownHostsFile={site.known_hosts}", f"{host.user}@{host.address}"),
            *("ip", "-br", "address", "show", host.interface),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"{host.address}/24" in said(done)


def test_the_file_of_the_site_says_the_same(bench: Sandbox) -> None:
    table = tomllib.loads((bench.folder / "site.toml").read_text())["sites"]["sandbox"]
    hosts = table.pop("hosts")
    assert table.pop("ssh_config", "") == bench.site().ssh_config
    assert table == {
        "known_hosts": str(bench.known_hosts),
        "user": "root",
        "key": str(bench.key),
        "directory": "/experiments",
        "interface": "eth0",
    }
    assert hosts == [
        {"name": host.name, "address": host.address, "roles": list(host.roles)}
        for host in bench.hosts
    ]


def test_a_host_that_there_is_not_is_refused(bench: Sandbox) -> None:
    with pytest.raises(BadInput, match="no host 'h4'"):
        bench.run("h4", ["true"])
    with pytest.raises(BadInput, match="no host 'h4'"):
        bench.clear("h4")
