"""The tool perftest: whose command lines run where, and how a test is judged and read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fieldlab.domain.commands import ExitStatus
from fieldlab.domain.errors import BadInput
from fieldlab.domain.ids import Point
from fieldlab.domain.sites import ALL
from fieldlab.domain.trials import FailureClass
from fieldlab.ports.tool import CheckedTool, Plan, SpreadTool
from fieldlab.workflows.perftest.parameters import PARAMETERS
from fieldlab.workflows.perftest.rti import PerftestTool
from tests.workflows.perftest.samples import LATENCY, THROUGHPUT, unfinished
from tests.workflows.staging import host, outcome, place, really_run, shared_data

POINT: Point = {
    "duration_secs": 30,
    "datalen_bytes": 100,
    "pub_count": 1,
    "sub_count": 1,
    "use_reliable": True,
    "use_multicast": False,
    "durability_level": 0,
    "latency_count": 100,
}
PAIR = place(host("p1", "pub"), host("p2", "sub"))


def plan(point: Point | None = None, **options: Any) -> Plan:
    return PerftestTool(options).plan({**POINT, **(point or {})}, PAIR)


def words(made: Plan, name: str) -> str:
    (process,) = [each for each in made.processes if each.name == name]
    return " ".join(process.command.argv)


def test_it_is_a_tool_over_hosts_that_checks_its_space() -> None:
    tool = PerftestTool({})
    assert isinstance(tool, SpreadTool)
    assert isinstance(tool, CheckedTool)
    assert tool.roles() == {"pub": ALL, "sub": ALL}


def test_command_lines_are_autoperfs() -> None:
    made = plan()
    assert words(made, "pub_0") == (
        "perftest_cpp -dataLen 100 -durability 0 -pub -outputFile pub_0.csv -numSubscribers 1"
        " -executionTime 30 -latencyCount 100 -batchSize 0 -transport UDPv4"
    )
    assert words(made, "sub_0") == (
        "perftest_cpp -dataLen 100 -durability 0 -outputFile sub_0.csv -numPublishers 1"
        " -transport UDPv4"
    )


def test_several_participants_are_numbered() -> None:
    made = plan(
        {"pub_count": 2, "sub_count": 2, "use_reliable": False, "use_multicast": True},
        transport="SHMEM",
    )
    assert words(made, "pub_1") == (
        "perftest_cpp -dataLen 100 -bestEffort -multicast -durability 0 -pub -pidMultiPubTest 1"
        " -numSubscribers 2 -executionTime 30 -latencyCount 100 -batchSize 0 -transport SHMEM"
    )
    assert "-pidMultiPubTest 0 -outputFile pub_0.csv" in words(made, "pub_0")
    assert words(made, "sub_1") == (
        "perftest_cpp -dataLen 100 -bestEffort -multicast -durability 0 -sidMultiSubTest 1"
        " -outputFile sub_1.csv -numPublishers 2 -transport SHMEM"
    )


def test_participants_go_round_the_machines_from_both_ends() -> None:
    hosts = place(*(host(f"h{n}", "pub", "sub") for n in (1, 2, 3)))
    made = PerftestTool({}).plan({**POINT, "pub_count": 4, "sub_count": 4}, hosts)
    assert {each.name: each.host for each in made.processes} == {
        "pub_0": "h1",
        "pub_1": "h2",
        "pub_2": "h3",
        "pub_3": "h1",
        "sub_0": "h3",
        "sub_1": "h2",
        "sub_2": "h1",
        "sub_3": "h3",
    }


def test_each_runs_in_its_folder_on_its_host_and_files_are_brought_back_from_there() -> None:
    pub, sub = plan().processes
    assert (pub.command.directory, pub.reads[0]) == ("/out/p1", "pub_0.csv")
    assert (sub.command.directory, sub.reads[0]) == ("/out/p2", "sub_0.csv")


def test_a_machine_may_have_an_executable_of_its_own() -> None:
    made = plan(executable="/opt/perftest_cpp", executables={"p2": "~/rti/perftest_publisher"})
    assert words(made, "pub_0").startswith("/opt/perftest_cpp -dataLen")
    # no shell expands ~ in an argument vector
    argv = made.processes[1].command.argv
    assert argv[:4] == ("sh", "-c", 'exec "$HOME/$0" "$@"', "rti/perftest_publisher")


def test_extra_words_follow_those_of_their_side() -> None:
    made = plan(extra={"pub": ["-pubRate", "1000:spin"], "sub": ["-cpu"]})
    assert words(made, "pub_0").endswith("-transport UDPv4 -pubRate 1000:spin")
    assert words(made, "sub_0").endswith("-transport UDPv4 -cpu")


@pytest.mark.parametrize(
    ("duration", "options", "limit"),
    [
        (30, {}, 90.0),
        (3600, {}, 3780.0),
        (30, {"margin": "10s"}, 40.0),
        (30, {"margin": 0}, 30.0),
    ],
)
def test_the_limit_is_the_duration_and_a_margin(
    duration: int, options: dict[str, Any], limit: float
) -> None:
    tool = PerftestTool(options)
    point: Point = {**POINT, "duration_secs": duration}
    assert tool.limit_s(point) == limit
    assert {each.command.timeout_s for each in tool.plan(point, PAIR).processes} == {limit}


def test_a_shorter_timeout_of_the_definition_wins() -> None:
    made = PerftestTool({}, 12.0).plan(POINT, PAIR)
    assert {each.command.timeout_s for each in made.processes} == {12.0}


def test_a_parameter_may_be_fixed_in_the_options() -> None:
    fixed = {name: POINT[name] for name in PARAMETERS if name != "sub_count"}
    tool = PerftestTool(fixed)
    tool.check(dict.fromkeys(("sub_count",)))
    assert len(tool.plan({"sub_count": 3}, PAIR).processes) == 4


def test_a_space_without_a_parameter_is_refused_with_the_one_that_was_meant() -> None:
    names = tuple(name for name in PARAMETERS if name != "sub_count")
    with pytest.raises(BadInput, match=r"needs sub_count.*Did you mean 'sub_counts'"):
        PerftestTool({}).check(dict.fromkeys((*names, "sub_counts")))


@pytest.mark.parametrize(
    ("options", "key", "said"),
    [
        ({"executabel": "x"}, "executabel", "Did you mean 'executable'?"),
        ({"executable": ""}, "executable", "must be text"),
        ({"executables": {"p1": 3}}, "executables.p1", "must be text"),
        ({"extra": {"pubs": []}}, "extra.pubs", "Did you mean 'pub'?"),
        ({"extra": {"pub": "-cpu -x"}}, "extra.pub", "Write [-cpu, -x]"),
        ({"margin": "soon"}, "margin", "Write seconds"),
        ({"durability_level": 4}, "durability_level", "from 0 to 3, not 4"),
        ({"use_reliable": 1}, "use_reliable", "true or false"),
    ],
)
def test_wrong_options_say_where_and_what_to_do(
    options: dict[str, Any], key: str, said: str
) -> None:
    with pytest.raises(BadInput) as caught:
        PerftestTool(options)
    assert f"tool.perftest.{key}: " in str(caught.value)
    assert said in str(caught.value)


def test_all_wrong_options_are_told_at_once() -> None:
    with pytest.raises(BadInput) as caught:
        PerftestTool({"transport": 1, "margin": "x", "executable": 2})
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("hosts", "missing"),
    [(place(host("a", "pub")), "sub"), (place(host("a", "sub")), "pub"), (place(), "pub")],
)
def test_without_a_machine_for_a_side_it_cannot_be_planned(hosts: Any, missing: str) -> None:
    with pytest.raises(BadInput, match=f"No host has the role '{missing}'"):
        PerftestTool({}).plan(POINT, hosts)


def test_a_point_that_is_no_test_is_refused() -> None:
    with pytest.raises(BadInput, match="pub_count must be an integer of at least 1, not 0"):
        plan({"pub_count": 0})


# --- judging -----------------------------------------------------------------------------------

EXITS = {"pub_0": 0, "pub_1": 0, "sub_0": 0, "sub_1": 0}
FILES = {
    "pub_0/pub_0.csv": LATENCY,
    "sub_0/sub_0.csv": THROUGHPUT,
    "sub_1/sub_1.csv": THROUGHPUT,
}


def test_it_passes_when_all_end_well_and_every_file_has_data_and_a_summary() -> None:
    judged = PerftestTool({}).judge(outcome(EXITS, FILES))
    assert (judged.status, judged.failure) == ("success", None)


@pytest.mark.parametrize(
    ("exits", "files", "status", "failure", "said"),
    [
        ({"sub_1": 3}, {}, "script_execution_fail", FailureClass.EXPERIMENT, "sub_1: exit code 3"),
        ({"pub_1": 127}, {}, "script_execution_fail", FailureClass.EXPERIMENT, "change its path"),
        ({"sub_0": -9}, {}, "script_execution_fail", FailureClass.EXPERIMENT, "SIGKILL"),
        (
            {"sub_1": ExitStatus(code=-15, duration_s=90, timed_out=True), "pub_0": 1},
            {},
            "timeout",
            FailureClass.EXPERIMENT,
            "sub_1 ran beyond the time limit",
        ),
        (
            {},
            {"sub_1/sub_1.csv": None},
            "file_count_mismatch",
            FailureClass.VERDICT,
            "2 of 3 files are there: sub_1 wrote none",
        ),
        (
            {},
            {"sub_0/sub_0.csv": ""},
            "empty_file_found",
            FailureClass.VERDICT,
            "sub_0 (no table)",
        ),
        (
            {},
            {"pub_0/pub_0.csv": unfinished(LATENCY)},
            "empty_file_found",
            FailureClass.VERDICT,
            "pub_0 (no summary: the run did not finish)",
        ),
        (
            {},
            {"sub_1/sub_1.csv": THROUGHPUT.replace(" 3000,", "    0,")},
            "empty_file_found",
            FailureClass.VERDICT,
            "sub_1 (no sample was received)",
        ),
    ],
)
def test_every_way_to_fail_has_its_status_and_its_fault(
    exits: dict[str, Any], files: dict[str, Any], status: str, failure: FailureClass, said: str
) -> None:
    there = {name: text for name, text in {**FILES, **files}.items() if text is not None}
    judged = PerftestTool({}).judge(outcome({**EXITS, **exits}, there))
    assert (judged.status, judged.failure) == (status, failure)
    assert said in judged.explanation


def test_what_a_failed_program_said_is_repeated() -> None:
    said = {"sub_0/stderr": "loading\nError: no license file\n"}
    judged = PerftestTool({}).judge(outcome({**EXITS, "sub_0": 1}, said))
    assert "Error: no license file" in judged.explanation


# --- reading -----------------------------------------------------------------------------------


def test_the_row_has_the_summaries_in_the_terms_of_the_field() -> None:
    (row,) = PerftestTool({}).parse(outcome(EXITS, FILES))
    assert row == {
        "latency_mean_us": 8208329,
        "latency_std_us": 39504353.6,
        "latency_min_us": 120,
        "latency_max_us": 201738760,
        "latency_p50_us": 132562,
        "latency_p90_us": 281689,
        "latency_p99_us": 201738760,
        "latency_p9999_us": 201738760,
        "latency_p999999_us": 201738760,
        "throughput_mbps": 2.4,
        "throughput_mean_mbps": 1.2,
        "samples_per_s": 3000,
        "samples_total": 6000,
        "samples_lost": 20,
        "loss_percent": pytest.approx(100 * 20 / 6020),
    }


def test_a_real_test_of_three_subscribers() -> None:
    folder = shared_data("perftest-csv", "300SEC_128000B_1P_3S_REL_UC_0DUR_100LC")
    files = {f"{each.stem}/{each.name}": each.read_bytes() for each in folder.iterdir()}
    ended = outcome(dict.fromkeys(("pub_0", "sub_0", "sub_1", "sub_2"), 0), files)
    tool = PerftestTool({})
    assert tool.judge(ended).status == "success"
    (row,) = tool.parse(ended)
    assert row["latency_mean_us"] == 841452
    assert row["latency_p90_us"] == 1561478
    assert row["throughput_mbps"] == pytest.approx(96.2)
    assert row["samples_total"] == 3 * 9374
    assert row["loss_percent"] == 0


def test_reals_are_reals_whether_or_not_a_file_has_decimals() -> None:
    (row,) = PerftestTool({}).parse(outcome(EXITS, FILES))
    whole = {name for name, value in row.items() if isinstance(value, int)}
    assert whole == {"samples_total", "samples_lost"}


# --- with a program in Perftest's place --------------------------------------------------------

PROGRAM = """\
#!/bin/sh
file=
is_pub=
while [ $# -gt 0 ]; do
    case $1 in
        -outputFile) file=$2; shift ;;
        -pub) is_pub=latency ;;
    esac
    shift
done
here=$(dirname "$0")
if [ -n "$file" ]; then
    cat "$here/${is_pub:-throughput}" >> "$file"
fi
"""


def test_really_run_below_the_home_of_whoever_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "home" / "my rti; $(x)"
    folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (folder / "perftest").write_text(PROGRAM)
    (folder / "perftest").chmod(0o755)
    (folder / "latency").write_text(LATENCY)
    (folder / "throughput").write_text(THROUGHPUT)
    tool = PerftestTool({"executable": "~/my rti; $(x)/perftest"})
    ended = really_run(tool.plan({**POINT, "pub_count": 2, "sub_count": 2}, PAIR), tmp_path / "out")
    judged = tool.judge(ended)
    assert judged.status == "success", judged.explanation
    assert tool.parse(ended)[0]["samples_total"] == 6000


def test_really_run_without_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    tool = PerftestTool({"executable": "~/none/perftest"})
    judged = tool.judge(really_run(tool.plan(POINT, PAIR), tmp_path / "out"))
    assert (judged.status, judged.failure) == (
        "script_execution_fail",
        FailureClass.EXPERIMENT,
    )
    assert (
        "There is no program ~/none/perftest on p1, ~/none/perftest on p2, or it can't be executed "
        "there. Put it there, or change its path: `executable` and `executables`"
    ) in judged.explanation


def test_of_several_hosts_those_without_their_program_are_named() -> None:
    tool = PerftestTool({"executable": "/opt/perftest", "executables": {"p2": "/opt/rti/x"}})
    made = tool.plan(POINT, PAIR)
    ended = replace(outcome({"pub_0": -15, "sub_0": 127}), processes=made.processes)
    said = tool.judge(ended).explanation
    assert "There is no program /opt/rti/x on p2, or" in said
    assert "p1" not in said


def test_a_line_that_cannot_be_read_is_told_with_its_file() -> None:
    head, summary = THROUGHPUT.rsplit(" 100,", 1)
    ended = outcome(EXITS, {**FILES, "sub_1/sub_1.csv": f"{head} inf,{summary}"})
    judged = PerftestTool({}).judge(ended)
    assert judged.status == "empty_file_found"
    assert "sub_1.csv: line 9: the length is inf bytes." in judged.explanation
