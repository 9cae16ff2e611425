"""The tool ddsperf: planned, judged, read; and really run on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fieldlab.domain.errors import BadInput
from fieldlab.domain.ids import Point
from fieldlab.domain.trials import FailureClass
from fieldlab.ports.tool import Outcome, Plan
from fieldlab.workflows.perftest.ddsperf import DdsperfTool
from fieldlab.workflows.perftest.ddsperf_output import seconds, throughput
from tests.workflows.staging import LOOPBACK, host, needs_program, outcome, place, really_run

POINT: Point = {"duration_secs": 10, "datalen_bytes": 1024}
PAIR = place(
    host("p1", "pub", address="10.0.0.1", interface="eth0"), host("p2", "sub", address="10.0.0.2")
)
SUB = """\
[9043] participant vm:9043: new (self)
[9043] 1.000  size 1000 total 1000 lost 0 delta 1000 lost 0 rate 1.00 kS/s 8.00 Mb/s (0.1 kS/s 0.8 Mb/s)
[9043] 1.000  rss:10.9MB vcsw:2140 ivcsw:832 recvUC:2%+5% pub:35%+30%
[9043] 2.000  size 1000 total 4000 lost 10 delta 3000 lost 10 rate 3.00 kS/s 24.00 Mb/s (0.4 kS/s 3.2 Mb/s)
[9043] 2.300  size 1000 total 4100 lost 10 delta 100 lost 0 rate 0.33 kS/s 2.66 Mb/s (0.4 kS/s 3.2 Mb/s)
"""  # noqa: E501
PUB = """\
[9818] 1.000  vm:9806 size 100 mean 100.0us min 80.0us 50% 90.0us 90% 110.0us 99% 200.0us max 785.8us cnt 100
[9818] 2.000  vm:9806 size 100 mean 200.0us min 82.0us 50% 190.0us 90% 210.0us 99% 300.0us max 500.0us cnt 300
"""  # noqa: E501
ENDED = {"pub_0": 0, "sub_0": 0}
FILES = {"pub_0/stdout": PUB, "sub_0/stdout": SUB}


def plan(point: Point | None = None, **options: Any) -> Plan:
    return DdsperfTool(options).plan({**POINT, **(point or {})}, PAIR)


def words(made: Plan, name: str) -> str:
    (process,) = [each for each in made.processes if each.name == name]
    return " ".join(process.command.argv)


def test_perftests_parameters_become_ddsperfs_arguments() -> None:
    made = plan({"use_reliable": False, "latency_count": 20, "pub_count": 2, "sub_count": 3})
    # a publisher sees the other one as well: it waits for all four
    assert words(made, "pub_1") == ("ddsperf -u -D 10 -Qminmatch:4 -Qinitwait:10 pub size 1024 5%")
    assert words(made, "sub_2") == "ddsperf -u -D 10 sub"
    assert len(made.processes) == 5


def test_rate_and_domain_are_options() -> None:
    made = plan(rate=1000, domain=7, wait="3s")
    assert words(made, "pub_0") == (
        "ddsperf -D 10 -i 7 -Qminmatch:1 -Qinitwait:3 pub 1000Hz size 1024 1%"
    )


def test_the_network_is_the_hosts_interface() -> None:
    pub, sub = (each.command.environment["CYCLONEDDS_URI"] for each in plan().processes)
    assert '<NetworkInterface name="eth0"/>' in pub
    assert '<NetworkInterface address="10.0.0.2"/>' in sub
    assert "AllowMulticast" not in pub


@pytest.mark.parametrize(
    ("multicast", "options", "said"),
    [
        (True, {}, "<AllowMulticast>true<"),
        (False, {}, "<AllowMulticast>spdp<"),
        (False, {"discovery": "peers"}, "<AllowMulticast>false<"),
    ],
)
def test_multicast_is_for_data_and_peers_may_be_named(
    multicast: bool, options: dict[str, Any], said: str
) -> None:
    uri = plan({"use_multicast": multicast}, **options).processes[0].command.environment
    assert said in uri["CYCLONEDDS_URI"]
    assert ('<Peer Address="10.0.0.2"/>' in uri["CYCLONEDDS_URI"]) == bool(options)


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ({"durability_level": 1}, "ddsperf has no durability, and durability_level is 1"),
        ({"datalen_bytes": 5}, "at least 12 bytes"),
        ({"sub_count": 0}, "sub_count must be an integer of at least 1"),
    ],
)
def test_what_ddsperf_cannot_do_is_said(point: Point, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        plan(point)


def test_unknown_options_and_missing_parameters_are_refused() -> None:
    with pytest.raises(BadInput, match=r"tool\.ddsperf\.durration: .*duration_secs"):
        DdsperfTool({"durration": 1, "duration_sec": 3})
    with pytest.raises(BadInput, match="needs datalen_bytes"):
        DdsperfTool({}).check(dict.fromkeys(("duration_secs",)))


def test_the_partial_last_second_does_not_count() -> None:
    rate = throughput(seconds(SUB))
    assert rate is not None
    assert rate.samples_per_s == pytest.approx(2000)
    assert rate.mbps == pytest.approx(16)


def test_a_warm_up_may_be_left_out() -> None:
    rate = throughput(seconds(SUB), warmup=1)
    assert rate is not None
    assert rate.samples_per_s == pytest.approx(3000)


def test_a_pause_without_lines_is_not_spread_over_the_second_after_it() -> None:
    late = SUB.replace("] 1.000  size", "] 5.000  size").replace("] 2.000  size", "] 6.000  size")
    rate = throughput(seconds(late))
    assert rate is not None
    assert rate.samples_per_s == pytest.approx(2000)


def test_the_row() -> None:
    tool = DdsperfTool({})
    ended = outcome(ENDED, FILES)
    assert tool.judge(ended).status == "success"
    (row,) = tool.parse(ended)
    assert row == {
        "latency_mean_us": pytest.approx(175),
        "latency_min_us": 80.0,
        "latency_max_us": 785.8,
        "latency_p50_us": pytest.approx(165),
        "latency_p90_us": pytest.approx(185),
        "latency_p99_us": pytest.approx(275),
        "latency_samples": 400,
        "throughput_mbps": pytest.approx(16),
        "throughput_mean_mbps": pytest.approx(16),
        "samples_per_s": pytest.approx(2000),
        "samples_total": 4100,
        "samples_lost": 10,
        "loss_percent": pytest.approx(1000 / 4110),
    }


def test_a_subscriber_that_received_nothing_is_a_failure_though_it_ended_well() -> None:
    ended = outcome({**ENDED, "sub_1": 0}, {**FILES, "sub_1/stdout": "[1] 1.000  rss:7MB\n"})
    judged = DdsperfTool({}).judge(ended)
    assert (judged.status, judged.failure) == ("nothing received", FailureClass.VERDICT)
    assert "sub_1 got no sample" in judged.explanation


def test_a_publisher_that_met_nobody_says_so() -> None:
    said = {"pub_0/stdout": "[10320] error: too few matching participants (0)\n"}
    judged = DdsperfTool({}).judge(outcome({"pub_0": 1, "sub_0": 0}, said))
    assert (judged.status, judged.failure) == ("pub_0: exit code 1", FailureClass.EXPERIMENT)
    assert "too few matching participants (0)" in judged.explanation


# --- the real program --------------------------------------------------------------------------


def run(folder: Path, point: Point, **options: Any) -> tuple[DdsperfTool, Outcome]:
    needs_program("ddsperf", "cyclonedds-tools")
    tool = DdsperfTool({"wait": "5s", **options})
    here = place(host("here", "pub", "sub", address=LOOPBACK))
    planned = tool.plan({"duration_secs": 2, "datalen_bytes": 100, **point}, here)
    return tool, really_run(planned, folder)


def test_ddsperf_between_processes_of_this_machine(tmp_path: Path) -> None:
    tool, ended = run(tmp_path, {"sub_count": 2, "latency_count": 2}, rate=500, domain=41)
    assert tool.judge(ended).status == "success"
    (row,) = tool.parse(ended)
    assert 100 < float(str(row["samples_per_s"])) < 1200
    assert 0 < float(str(row["latency_min_us"])) <= float(str(row["latency_p50_us"]))
    assert float(str(row["latency_p50_us"])) <= float(str(row["latency_max_us"]))
    assert float(str(row["throughput_mbps"])) == pytest.approx(
        float(str(row["samples_per_s"])) * 800 / 1e6
    )


def test_ddsperf_alone_is_judged_by_what_it_said(tmp_path: Path) -> None:
    needs_program("ddsperf", "cyclonedds-tools")
    tool = DdsperfTool({"wait": "1s", "domain": 42})
    here = place(host("here", "pub", "sub", address=LOOPBACK))
    planned = tool.plan({"duration_secs": 1, "datalen_bytes": 0}, here)
    alone = Plan(processes=planned.processes[:1])
    judged = tool.judge(really_run(alone, tmp_path))
    assert judged.failure is FailureClass.EXPERIMENT
    assert "too few matching participants" in judged.explanation


def test_a_parameter_that_is_called_like_a_result_is_refused_before_anything_runs() -> None:
    with pytest.raises(BadInput, match="'loss_percent' is called like a result"):
        DdsperfTool({}).check(dict.fromkeys((*POINT, "loss_percent")))
