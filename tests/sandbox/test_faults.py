"""Every fault is felt from outside when it is injected, and no more when it is cleared."""

from __future__ import annotations

import subprocess
import time

import pytest

from fieldlab.domain.errors import SandboxError
from fieldlab.sandbox import Sandbox
from fieldlab.sandbox.folder import started_ticks
from tests.sandbox.bench import await_state, ping, processes_of, said, ssh
from tests.waiting import wait_until


def faults(sandbox: Sandbox, host: str = "h1") -> tuple[str, ...]:
    return sandbox.host(host).faults


def test_a_link_goes_down(bench: Sandbox) -> None:
    bench.fault("h1", "link")
    assert faults(bench) == ("link",)
    assert ping(bench, "h2", "h1").answered == 0
    assert ssh(bench, "h1", "-o", "ConnectTimeout=1", "true").returncode == 255
    assert "NO-CARRIER" in said(bench.run("h1", ["ip", "link", "show", "eth0"]))
    bench.clear("h1", "link")
    assert faults(bench) == ()
    assert ping(bench, "h2", "h1").answered == 3


def test_packets_are_lost(bench: Sandbox) -> None:
    assert ping(bench, "h2", "h1").answered == 3  # it also knows the host's address then
    bench.fault("h1", "loss", "50%")
    assert 0 < ping(bench, "h2", "h1", 60).answered < 40
    bench.fault("h1", "loss", "100%")
    assert ping(bench, "", "h1").answered == 0
    bench.clear("h1", "loss")
    assert ping(bench, "h2", "h1", 20).answered == 20


def test_packets_are_late_each_way(bench: Sandbox) -> None:
    bench.fault("h1", "delay", "20ms")
    assert 40 <= ping(bench, "h2", "h1").fastest_ms < 80
    assert ping(bench, "h2", "h3").fastest_ms < 20
    bench.fault("h1", "delay", "5ms")
    assert 10 <= ping(bench, "", "h1").fastest_ms < 40
    assert faults(bench) == ("delay 5 ms",)
    bench.clear("h1")
    assert ping(bench, "h2", "h1").fastest_ms < 5


def test_delays_differ(bench: Sandbox) -> None:
    bench.fault("h1", "delay", "20ms")
    bench.fault("h1", "jitter", "15ms")
    times = ping(bench, "h2", "h1", 30).times_ms
    assert max(times) - min(times) > 10
    assert faults(bench) == ("delay 20 ms", "jitter 15 ms")
    bench.clear("h1", "jitter")
    assert ping(bench, "h2", "h1").fastest_ms >= 40


def test_packets_come_twice(bench: Sandbox) -> None:
    bench.fault("h1", "duplication", "50%")
    assert ping(bench, "h2", "h1", 20).duplicates > 0
    bench.clear("h1", "duplication")
    assert ping(bench, "h2", "h1", 20).duplicates == 0


def _seconds_for(sandbox: Sandbox, size: int) -> float:
    argv = ["ssh", "-F", str(sandbox.ssh_config), "h1", "cat > /dev/null"]
    began = time.monotonic()
    subprocess.run(argv, input=b"\0" * size, check=True)
    return time.monotonic() - began


def test_no_more_goes_through(bench: Sandbox) -> None:
    bench.fault("h1", "rate", "4mbit")
    assert _seconds_for(bench, 400_000) > 0.6
    bench.clear("h1", "rate")
    assert _seconds_for(bench, 4_000_000) < 8 * 4 / 4  # what it took at that rate


def test_data_come_through_a_relay_whole(bench: Sandbox) -> None:
    bench.fault("h1", "delay", "1ms")
    shell = "head -c 3000000 /dev/zero | tr '\\0' x | ssh h1 'cat > /tmp/big; md5sum < /tmp/big'"
    there = said(ssh(bench, "h2", shell))
    shell = "head -c 3000000 /dev/zero | tr '\\0' x | md5sum"
    assert there == said(ssh(bench, "h2", shell))


def test_a_relay_that_is_killed_is_started_again(bench: Sandbox) -> None:
    bench.fault("h1", "delay", "5ms")
    firsts = {host.pid for host in bench.hosts}
    supervisor, *below = processes_of(bench)
    (relay,) = (each for each in below if each.ppid() == supervisor.pid and each.pid not in firsts)
    relay.kill()
    wait_until(lambda: started_ticks(relay.pid) is None, "the relay is gone")
    wait_until(lambda: ping(bench, "h2", "h1", 1).answered, "another one passes frames")
    assert 10 <= ping(bench, "h2", "h1").fastest_ms < 40


def test_faults_of_the_network_add_up_and_a_connection_survives_their_change(
    bench: Sandbox,
) -> None:
    session = subprocess.Popen(
        ["ssh", "-F", str(bench.ssh_config), "h1", "cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with session:
        assert session.stdin is not None
        assert session.stdout is not None
        for kind, value in (("delay", "5ms"), ("loss", "5%"), ("rate", "10mbit"), ("link", "")):
            bench.fault("h1", kind, value)
            if kind != "link":
                session.stdin.write(f"{kind}\n")
                session.stdin.flush()
                assert session.stdout.readline() == f"{kind}\n"
        assert faults(bench) == ("link", "loss 5%", "delay 5 ms", "rate 10mbit")
        bench.clear("h1")
        session.stdin.write("cleared\n")
        session.stdin.close()
        assert session.stdout.read() == "cleared\n"


def test_two_hosts_are_parted(bench: Sandbox) -> None:
    bench.fault("h1", "partition", "h2")
    assert (faults(bench, "h1"), faults(bench, "h2")) == (("partition h2",), ("partition h1",))
    assert ping(bench, "h1", "h2").answered == 0
    assert ping(bench, "h2", "h1").answered == 0
    assert ping(bench, "h3", "h1").answered == ping(bench, "", "h2").answered == 3
    bench.fault("h1", "delay", "1ms")  # whatever port it stands at
    assert ping(bench, "h1", "h2").answered == 0
    bench.clear("h2")
    assert faults(bench, "h1") == ("delay 1 ms",)
    assert ping(bench, "h1", "h2").answered == 3


def test_the_ssh_server_is_stopped(bench: Sandbox) -> None:
    bench.fault("h1", "sshd")
    refused = ssh(bench, "h1", "true")
    assert "Connection refused" in refused.stderr
    assert ping(bench, "", "h1").answered == 3
    bench.clear("h1", "sshd")
    assert said(ssh(bench, "h1", "hostname")) == "h1"


def test_a_disk_is_full(bench: Sandbox) -> None:
    said(ssh(bench, "h1", "echo before > /experiments/before"))
    bench.fault("h1", "full-disk")
    full = ssh(bench, "h1", "echo more > /experiments/more")
    assert "No space left on device" in full.stderr
    assert said(ssh(bench, "h1", "cat /experiments/before")) == "before"
    assert said(ssh(bench, "h2", "echo more > /experiments/more; cat /experiments/more")) == "more"
    bench.clear("h1", "full-disk")
    assert said(ssh(bench, "h1", "echo more > /experiments/more; cat /experiments/more")) == "more"


def test_a_slow_disk_says_why_it_cannot_be_had(bench: Sandbox) -> None:
    with pytest.raises(SandboxError, match="disks are in memory"):
        bench.fault("h1", "slow-disk")
    assert faults(bench) == ()


def test_a_host_is_down_for_a_while(bench: Sandbox) -> None:
    before = said(ssh(bench, "h1", "cat /proc/sys/kernel/random/boot_id"))
    bench.fault("h1", "reboot", "0.2s")
    assert ping(bench, "", "h1").answered == 0
    await_state(bench, "h1", "up")
    assert said(ssh(bench, "h1", "cat /proc/sys/kernel/random/boot_id")) != before


def test_a_host_that_is_to_be_down_for_long_comes_back_when_it_is_cleared(bench: Sandbox) -> None:
    bench.fault("h1", "reboot", "1h")
    assert bench.host("h1").state == "rebooting"
    with pytest.raises(SandboxError, match="h1 is down already"):
        bench.fault("h1", "reboot", "1h")
    bench.clear("h1", "reboot")
    assert said(ssh(bench, "h1", "hostname")) == "h1"


def test_a_host_is_dead_and_closes_no_connection(bench: Sandbox) -> None:
    session = subprocess.Popen(
        ["ssh", "-F", str(bench.ssh_config), "h1", "echo there; sleep 60"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with session:
        assert session.stdout is not None
        assert session.stdout.readline() == "there\n"
        bench.fault("h1", "dead")
        assert bench.host("h1").state == "off"
        assert faults(bench) == ("dead",)
        assert ping(bench, "h2", "h1").answered == 0
        assert session.poll() is None
        session.kill()
    bench.clear("h1")
    assert said(ssh(bench, "h1", "hostname")) == "h1"


def test_faults_of_the_network_outlast_a_reboot_and_a_stopped_server_does_not(
    bench: Sandbox,
) -> None:
    bench.fault("h1", "delay", "5ms")
    bench.fault("h1", "sshd")
    bench.fault("h1", "reboot", "0s")
    await_state(bench, "h1", "up")
    assert faults(bench) == ("delay 5 ms",)
    assert ping(bench, "h2", "h1").fastest_ms >= 10
    assert said(ssh(bench, "h1", "hostname")) == "h1"
