"""The tools on virtual hosts: campaigns whose processes run on several at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fieldlab.app import Lab
from fieldlab.domain.definition import ToolSpec
from fieldlab.domain.errors import BadInput
from fieldlab.domain.trials import CampaignState
from fieldlab.sandbox import Sandbox
from fieldlab.sandbox.fixtures import sandbox_fixture
from fieldlab.settings import Settings
from tests.cli.program import document, invoke
from tests.databases import Databases
from tests.execution.remote.rehearsal import Rehearsal
from tests.workflows.perftest.autoperf import QOS, campaign, write
from tests.workflows.perftest.samples import LATENCY, THROUGHPUT
from tests.workflows.perftest.test_rti import PROGRAM
from tests.workflows.staging import needs_program

machines = sandbox_fixture(hosts=3, roles=["pub", "sub"], scope="module")


@pytest.fixture
def rehearsal(folder: Path, sqlite_databases: Databases, machines: Sandbox) -> Iterator[Rehearsal]:
    settings = Settings(
        home=folder / "lab",
        database=sqlite_databases.migrated(),
        sites={"sandbox": machines.site()},
    )
    lab = Lab(settings)
    yield Rehearsal(lab, folder, machines)
    lab.close()


def run(
    rehearsal: Rehearsal, kind: str, options: dict[str, Any], matrix: dict[str, Any], **more: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run one trial of a tool: its row of results, and its attempt."""
    tool = ToolSpec(kind=kind, options=options)
    definition = rehearsal.define([], {"matrix": matrix}, tool=tool, **more)
    Lab.check(definition, settings=rehearsal.lab.settings)
    campaign = rehearsal.run(definition).campaign
    (attempt,) = rehearsal.attempts(campaign)
    assert campaign.succeeded == 1, attempt["error"]
    assert campaign.state is CampaignState.FINISHED
    (row,) = rehearsal.results(campaign)
    return row, attempt


def test_ddsperf_between_hosts(rehearsal: Rehearsal) -> None:
    needs_program("ddsperf", "cyclonedds-tools")
    matrix = {"duration_secs": [2], "datalen_bytes": [1000], "sub_count": [2]}
    row, attempt = run(rehearsal, "ddsperf", {"rate": 500, "latency_count": 2}, matrix)
    assert {"h1", "h2", "h3"} == set(attempt["hosts"].replace(",", " ").split())
    assert 100 < row["samples_per_s"] < 1200
    assert row["latency_p50_us"] > 0


def test_iperf3_between_hosts(rehearsal: Rehearsal) -> None:
    needs_program("iperf3", "iperf3")
    options = {"roles": {"server": "sub", "client": "pub"}}
    row, _ = run(rehearsal, "iperf3", options, {"duration_secs": [1], "protocol": ["tcp"]})
    assert row["throughput_mbps"] > 1
    assert row["rtt_mean_us"] > 0


def test_processes_of_a_definition_between_hosts(rehearsal: Rehearsal) -> None:
    needs_program("iperf3", "iperf3")
    options = {
        "roles": {"sub": 1, "pub": 1},
        "run": [
            {"name": "server", "role": "sub", "command": ["iperf3", "-s"], "serves": True},
            {
                "name": "client",
                "role": "pub",
                "command": ["iperf3", "-c", "{sub.address}", "-t", "{seconds}"],
                "after": "0.5s",
                "read": {"format": "regex", "values": {"rate": "([0-9.]+) .bits/sec.*receiver"}},
            },
        ],
        "duration": "seconds",
    }
    row, _ = run(rehearsal, "processes", options, {"seconds": [1]})
    assert row["rate"] > 0
    assert row["process"] == "client"


def test_perftests_command_lines_between_hosts(rehearsal: Rehearsal) -> None:
    folder = rehearsal.folder / "rti"
    folder.mkdir()
    (folder / "perftest").write_text(PROGRAM)
    (folder / "perftest").chmod(0o755)
    (folder / "latency").write_text(LATENCY)
    (folder / "throughput").write_text(THROUGHPUT)
    matrix = {
        "duration_secs": [1],
        "datalen_bytes": [100],
        "pub_count": [4],
        "sub_count": [4],
        "use_reliable": [True],
        "use_multicast": [False],
        "durability_level": [0],
        "latency_count": [100],
    }
    row, _ = run(rehearsal, "perftest", {"executable": "rti/perftest"}, matrix, send=["rti"])
    assert row["samples_total"] == 4 * 3000
    assert row["latency_p50_us"] == 132562


@pytest.mark.parametrize("program", ["~/none/perftest", "/opt/none/perftest", "perftest_cpp"])
def test_a_program_that_is_not_there_is_told_with_host_and_path(
    rehearsal: Rehearsal, program: str
) -> None:
    matrix = {name: values[:1] for name, values in QOS.items()}
    tool = ToolSpec(kind="perftest", options={"executable": program})
    definition = rehearsal.define([], {"matrix": matrix}, tool=tool)
    with pytest.raises(BadInput) as caught:
        rehearsal.run(definition)
    assert f"There is no program {program} on h" in caught.value.what
    assert "`perftest_exec_path`" in caught.value.remedy
    (campaign,) = rehearsal.lab.store.campaigns()
    assert campaign.attempts == 0


def test_a_configuration_of_autoperf_is_run_as_it_is(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines, site = rehearsal.sandbox, rehearsal.sandbox.site()
    home = rehearsal.folder / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    (home / ".ssh" / "known_hosts").write_bytes(Path(site.known_hosts).read_bytes())
    monkeypatch.setenv("HOME", str(home))
    files = {"perftest": PROGRAM, "latency": LATENCY, "throughput": THROUGHPUT}
    script = 'mkdir -p ~/rti && printf %s "$2" > ~/rti/"$1" && chmod +x ~/rti/"$1"'
    for each in site.hosts[:2]:
        for name, text in files.items():
            assert machines.run(each.name, ["sh", "-c", script, "x", name, text]).returncode == 0
    listed = [
        {
            "machine_name": each.name,
            "participant_allocation": role,
            "ip": each.address,
            "ssh_key_path": each.key,
            "username": each.user,
            "perftest_exec_path": "~/rti/perftest",
        }
        for each, role in zip(site.hosts, ("pub", "sub"), strict=False)
    ]
    qos = {**QOS, "duration_secs": [1], "pub_count": [2], "use_reliable": [True]}
    config = write(
        rehearsal.folder,
        campaign(qos_settings=qos, slave_machines=listed),
        campaign(campaign_name="second", qos_settings=qos, slave_machines=listed),
    )
    for _ in range(2):  # the second time there is nothing to do
        result = invoke("perftest", "run", config)
        assert result.exit_code == 0, result.output
    rows = document(invoke("perftest", "summary", "pcg-1", "second", "--json"))
    assert [(row["test"], row["repeats"], row["samples_total"]) for row in rows] == [
        ("1SEC_100B_2PUB_1SUB_REL_UC_0DUR_100LC", 2, 3000),
        ("1SEC_100B_2PUB_50SUB_REL_UC_0DUR_100LC", 2, 150000),
    ]
