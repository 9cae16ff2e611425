"""What the tools find wrong with a space, and need on a host, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from fieldlab.domain.errors import BadInput
from fieldlab.domain.stating import stated_values
from fieldlab.ports.tool import CheckedTool, NeedsPrograms
from fieldlab.workflows.perftest.ddsperf import DdsperfTool
from fieldlab.workflows.perftest.iperf import Iperf3Tool
from fieldlab.workflows.perftest.rti import PerftestTool
from fieldlab.workflows.processes import ProcessesTool
from tests.workflows.perftest.autoperf import QOS
from tests.workflows.staging import host


def complaints(tool: CheckedTool, **matrix: Any) -> list[str]:
    with pytest.raises(BadInput) as caught:
        tool.check(stated_values({"matrix": matrix}))
    return [str(problem).partition(". Change")[0] for problem in caught.value.problems]


def test_all_values_that_no_test_of_perftest_can_have_are_told_at_once() -> None:
    wrong: dict[str, Any] = {
        **QOS,
        "datalen_bytes": [100, "abc"],
        "pub_count": [0],
        "sub_count": [-1],
        "use_reliable": [5],
        "durability_level": [7],
        "latency_count": {"range": [0, 10**9]},
    }
    assert complaints(PerftestTool({}), **wrong) == [
        "space.matrix.datalen_bytes[1]: datalen_bytes must be an integer of at least 0, not 'abc'",
        "space.matrix.pub_count[0]: pub_count must be an integer of at least 1, not 0",
        "space.matrix.sub_count[0]: sub_count must be an integer of at least 1, not -1",
        "space.matrix.use_reliable[0]: use_reliable must be true or false, not 5",
        "space.matrix.durability_level[0]: durability_level must be an integer from 0 to 3, not 7",
        "space.matrix.latency_count: latency_count must be an integer of at least 1, not 0",
    ]


def test_names_and_values_are_told_together() -> None:
    matrix = {name: values for name, values in QOS.items() if name != "pub_count"}
    said = complaints(PerftestTool({}), **{**matrix, "sub_count": [0]})
    assert len(said) == 2
    assert "perftest needs pub_count" in said[0]


def test_what_ddsperf_cannot_do_is_found_in_the_space() -> None:
    said = complaints(
        DdsperfTool({}), duration_secs=[1], datalen_bytes=[0, 5, 12], durability_level=[0, 2]
    )
    assert [each.partition(":")[0] for each in said] == [
        "space.matrix.datalen_bytes[1]",
        "space.matrix.durability_level[1]",
    ]


def test_all_wrong_options_of_ddsperf_are_told_at_once() -> None:
    with pytest.raises(BadInput) as caught:
        DdsperfTool({"rat": 3, "domain": 1000, "durability_level": 2})
    assert [each.key[-1] for each in caught.value.problems] == [
        "rat",
        "domain",
        "durability_level",
    ]


def test_a_protocol_that_iperf3_has_not_is_found() -> None:
    (said,) = complaints(Iperf3Tool({}), protocol=["tcp", "sctp"], rate=["10M"])
    assert said == "space.matrix.protocol[1]: protocol is one of tcp and udp, not 'sctp'"


def processes(*commands: list[str], **more: Any) -> ProcessesTool:
    run = [
        {"name": f"p{number}", "role": role, "command": command, **more}
        for number, (role, command) in enumerate(zip(("server", "client"), commands, strict=True))
    ]
    return ProcessesTool({"roles": {"server": 1, "client": 1}, "run": run, "duration": "secs"})


def test_a_duration_of_processes_must_be_a_number() -> None:
    (said,) = complaints(processes(["a"], ["b"]), secs=[1, "two"])
    assert said == ("space.matrix.secs[1]: The duration secs is 'two', not a number of seconds")


ON = {role: host(f"h-{role}", role) for role in ("pub", "sub", "server", "client", "other")}


@pytest.mark.parametrize(
    ("tool", "role", "programs"),
    [
        (PerftestTool({}), "pub", ("perftest_cpp",)),
        (PerftestTool({"executable": "~/bin/perftest"}), "sub", ("~/bin/perftest",)),
        (PerftestTool({"executables": {"h-sub": "/opt/p"}}), "sub", ("/opt/p",)),
        (PerftestTool({"executables": {"h-sub": "/opt/p"}}), "pub", ("perftest_cpp",)),
        (PerftestTool({"executable": "bin/perftest"}), "pub", ()),
        (PerftestTool({}), "other", ()),
        (DdsperfTool({}), "sub", ("ddsperf",)),
        (DdsperfTool({}), "other", ()),
        (Iperf3Tool({"executable": "/opt/iperf3"}), "client", ("/opt/iperf3",)),
        (Iperf3Tool({"roles": {"server": "pub"}}), "server", ()),
        (processes(["serve"], ["/opt/load", "{secs}"]), "server", ("serve",)),
        (processes(["serve"], ["/opt/load", "{secs}"]), "client", ("/opt/load",)),
        (processes(["{here}/serve"], ["./load"]), "server", ()),
        (processes(["{here}/serve"], ["./load"]), "client", ()),
        (processes(["a"], ["b"], environment={"PATH": "/opt"}), "client", ()),
    ],
)
def test_a_host_needs_the_programs_of_its_roles(
    tool: NeedsPrograms, role: str, programs: Sequence[str]
) -> None:
    assert isinstance(tool, NeedsPrograms)
    assert tool.programs(ON[role]) == programs
