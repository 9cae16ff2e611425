"""The tool iperf3: planned, judged, read; and really run on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fieldlab.domain.errors import BadInput, BadResult
from fieldlab.domain.ids import Point
from fieldlab.domain.trials import FailureClass, Row
from fieldlab.ports.tool import Plan
from fieldlab.workflows.perftest.iperf import RESULTS, Iperf3Tool
from tests.workflows.staging import (
    LOOPBACK,
    free_port,
    host,
    needs_program,
    outcome,
    place,
    really_run,
)

PAIR = place(host("h1", "server", address="10.0.0.1"), host("h2", "client", address="10.0.0.2"))


def plan(point: Point | None = None, **options: Any) -> Plan:
    return Iperf3Tool(options).plan({"duration_secs": 5, **(point or {})}, PAIR)


def test_a_server_that_serves_once_and_a_client_that_waits_for_it() -> None:
    server, client = plan().processes
    assert server.command.argv == ("iperf3", "-s", "-1", "-B", "10.0.0.1", "-p", "5201")
    assert " ".join(client.command.argv) == "iperf3 -c 10.0.0.1 -p 5201 -J -t 5"
    assert (server.host, server.serves) == ("h1", True)
    assert (client.host, client.delay_s, client.serves) == ("h2", 0.5, False)


@pytest.mark.parametrize(
    ("point", "words"),
    [
        ({"protocol": "udp", "rate": "10M"}, "-u -b 10M"),
        ({"parallel": 4, "reverse": True}, "-P 4 -R"),
        ({"length_bytes": 1400, "omit_secs": 1}, "-l 1400 -O 1"),
        ({"rate": 1_000_000}, "-b 1000000"),
    ],
)
def test_parameters_are_arguments(point: Point, words: str) -> None:
    assert " ".join(plan(point).processes[1].command.argv).endswith(f"-J -t 5 {words}")


def test_roles_and_values_may_be_the_sites_and_the_options() -> None:
    tool = Iperf3Tool({"roles": {"server": "sub", "client": "pub"}, "protocol": "udp", "after": 2})
    assert tool.roles() == {"sub": 1, "pub": 1}
    server, client = tool.plan({}, place(host("a", "pub"), host("b", "sub"))).processes
    assert (server.host, client.host, client.delay_s) == ("b", "a", 2)
    assert "-u" in client.command.argv


def test_the_limit_counts_what_is_omitted_too() -> None:
    assert Iperf3Tool({"margin": 5}).limit_s({"duration_secs": 10, "omit_secs": 2}) == 17.5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"protocol": "sctp"}, "protocol is one of tcp and udp"),
        ({"rate": "fast"}, "rate is in bit/s"),
        ({"paralel": 2}, "Did you mean 'parallel'?"),
        ({"roles": {"server": "a", "client": "a"}}, "both sides have the role 'a'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput) as caught:
        Iperf3Tool(options)
    assert said in str(caught.value)


def test_a_parameter_that_is_almost_one_of_iperf3s_is_refused() -> None:
    tool = Iperf3Tool({})
    tool.check(
        dict.fromkeys(
            (
                "protocol",
                "distance_m",
            )
        )
    )
    with pytest.raises(BadInput, match="Did you mean 'parallel'"):
        tool.check(dict.fromkeys(("paralel",)))


@pytest.mark.parametrize("name", ["throughput_mbps", "rtt_mean_us"])
def test_a_parameter_that_is_called_like_a_result_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match=f"'{name}' is called like a result of iperf3"):
        Iperf3Tool({}).check(dict.fromkeys(("protocol", name)))


def test_its_results_are_the_names_that_parameters_cannot_have() -> None:
    good = {"client/stdout": json.dumps({"end": {"sum_received": {"bytes": 10}}})}
    (row,) = Iperf3Tool({}).parse(outcome({"server": 0, "client": 0}, good))
    assert set(row) == RESULTS


def test_its_own_error_is_the_explanation() -> None:
    said = {"client/stdout": json.dumps({"error": "unable to connect to server"})}
    judged = Iperf3Tool({}).judge(outcome({"server": -15, "client": 1}, said))
    assert judged.failure is FailureClass.EXPERIMENT
    assert judged.explanation == "iperf3 said: unable to connect to server"


def test_how_the_server_ended_does_not_matter() -> None:
    good = {"client/stdout": json.dumps({"end": {"sum_received": {"bytes": 10}}})}
    assert Iperf3Tool({}).judge(outcome({"server": -15, "client": 0}, good)).status == "success"


def test_nothing_received_is_bad_data_and_no_result_is_a_bad_result() -> None:
    none = {"client/stdout": json.dumps({"end": {"sum_received": {"bytes": 0}}})}
    judged = Iperf3Tool({}).judge(outcome({"server": 0, "client": 0}, none))
    assert judged.failure is FailureClass.VERDICT
    with pytest.raises(BadResult, match="printed no result"):
        Iperf3Tool({}).parse(outcome({"server": 0, "client": 0}, {"client/stdout": "hello"}))


# --- the real program --------------------------------------------------------------------------


def really(folder: Path, **point: Any) -> Row:
    needs_program("iperf3", "iperf3")
    tool = Iperf3Tool({"port": free_port(), "after": "300ms"})
    here = place(host("here", "server", "client", address=LOOPBACK))
    ended = really_run(tool.plan({"duration_secs": 1, **point}, here), folder)
    judged = tool.judge(ended)
    assert judged.status == "success", judged.explanation
    (row,) = tool.parse(ended)
    return row


def test_iperf3_with_tcp(tmp_path: Path) -> None:
    row = really(tmp_path, parallel=2)
    assert float(str(row["throughput_mbps"])) > 10
    assert row["retransmits"] is not None
    assert float(str(row["rtt_mean_us"])) > 0
    assert row["jitter_ms"] is None


def test_iperf3_with_udp(tmp_path: Path) -> None:
    row = really(tmp_path, protocol="udp", rate="5M")
    assert float(str(row["throughput_mbps"])) == pytest.approx(5, rel=0.5)
    assert float(str(row["jitter_ms"])) >= 0
    assert row["loss_percent"] is not None
    assert int(str(row["packets_total"])) > 0


def test_iperf3_without_its_server(tmp_path: Path) -> None:
    needs_program("iperf3", "iperf3")
    tool = Iperf3Tool({"port": free_port(), "after": 0})
    here = place(host("here", "server", "client", address=LOOPBACK))
    client = tool.plan({"duration_secs": 1}, here).processes[1:]
    judged = tool.judge(really_run(Plan(processes=client), tmp_path))
    assert judged.failure is FailureClass.EXPERIMENT
    assert "unable to connect" in judged.explanation
