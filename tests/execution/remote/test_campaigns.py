"""Campaigns over hosts that behave: what they record, and what they leave behind."""

from __future__ import annotations

import tarfile
from typing import Any

import pytest

from fieldlab.domain.definition import ToolSpec
from fieldlab.domain.errors import BadInput
from fieldlab.domain.policies import RetryPolicy
from fieldlab.domain.trials import CampaignState
from fieldlab.outlets.packing import unpack
from tests.execution.remote.rehearsal import READ, TEN, WRITES, Rehearsal


def test_a_command_runs_on_every_host_of_the_site(rehearsal: Rehearsal) -> None:
    campaign = rehearsal.run(rehearsal.define(["hostname"], TEN)).campaign
    assert (campaign.state, campaign.succeeded) == (CampaignState.FINISHED, 10)
    attempts = rehearsal.attempts(campaign)
    assert {each["hosts"] for each in attempts} == {"h1", "h2", "h3"}
    for each in attempts:
        assert (each["pings"], each["ssh_checks"]) == (1, 1)
        assert [step["name"] for step in each["steps"]] == ["check", "run", "judge"]
    printed = (rehearsal.lab.settings.attempts / campaign.name).glob("*/1/stdout")
    assert {each.read_text() for each in printed} == {"h1\n", "h2\n", "h3\n"}


def test_what_it_writes_comes_back_packed_and_its_results_are_read(rehearsal: Rehearsal) -> None:
    definition = rehearsal.define(WRITES, {"matrix": {"x": [3, 4], "s": [0]}}, read=READ)
    campaign = rehearsal.run(definition).campaign
    assert sorted((row["x"], row["y"]) for row in rehearsal.results(campaign)) == [(3, 3), (4, 4)]
    (first, second) = sorted(
        (rehearsal.lab.settings.attempts / campaign.name).glob("*/1/outputs.tar.zst")
    )
    contents = set()
    for packed in (first, second):
        unpack(packed, rehearsal.folder)
        contents.add((rehearsal.folder / "outputs" / "file").read_text())
    assert contents == {"3\n", "4\n"}
    assert not tarfile.is_tarfile(first), "it is compressed"


def test_files_beside_the_definition_go_along(rehearsal: Rehearsal) -> None:
    script = rehearsal.folder / "measure.sh"
    script.write_text('#!/bin/sh\necho "y=$(cat data/in)$1"\n')
    script.chmod(0o755)
    (rehearsal.folder / "data").mkdir()
    (rehearsal.folder / "data" / "in").write_text("7")
    argv = ["./measure.sh", "{x}"]
    definition = rehearsal.define(argv, read=READ, send=["measure.sh", "data"])
    campaign = rehearsal.run(definition).campaign
    assert sorted(row["y"] for row in rehearsal.results(campaign)) == [*range(71, 80), 710]


def test_a_failure_shows_the_command_and_what_it_printed(rehearsal: Rehearsal) -> None:
    argv = ["sh", "-c", "echo out; echo err >&2; exit {x}"]
    definition = rehearsal.define(argv, {"matrix": {"x": [3]}}, retry=RetryPolicy(attempts=2))
    campaign = rehearsal.run(definition).campaign
    assert (campaign.failed, campaign.attempts) == (1, 2)
    attempt = rehearsal.attempts(campaign)[-1]
    assert (attempt["status"], attempt["failure"], attempt["exit_code"]) == (
        "exit code 3",
        "experiment",
        3,
    )
    for part in ('"sh"', "stdout:\nout", "stderr:\nerr", f"on {attempt['hosts']}"):
        assert part in attempt["error"]


def test_a_time_limit_ends_all_that_was_started(rehearsal: Rehearsal) -> None:
    argv = ["sh", "-c", "sleep 300 & setsid sleep 301 & sleep 302"]
    definition = rehearsal.define(argv, {"matrix": {"x": [1]}}, timeout_s=1.0)
    campaign = rehearsal.run(definition).campaign
    (attempt,) = rehearsal.attempts(campaign)
    assert (attempt["status"], attempt["failure"]) == ("timeout", "experiment")


def test_a_flood_of_output_is_cut_and_said(rehearsal: Rehearsal) -> None:
    argv = ["sh", "-c", "head -c 100000000 /dev/zero"]
    campaign = rehearsal.run(rehearsal.define(argv, {"matrix": {"x": [1]}})).campaign
    (attempt,) = rehearsal.attempts(campaign)
    (run,) = [each for each in attempt["steps"] if each["name"] == "run"]
    assert f"{100_000_000 - (64 << 20)} bytes more than are kept" in run["note"]


def test_metrics_of_the_hosts_become_columns(rehearsal: Rehearsal) -> None:
    definition = rehearsal.define(["sleep", "2.5"], {"matrix": {"x": [1]}}, metrics=True)
    campaign = rehearsal.run(definition).campaign
    (row,) = rehearsal.results(campaign)
    assert 0 <= row["h1_cpu_percent"] <= row["h1_cpu_percent_max"] <= 100
    assert row["h1_memory_bytes_max"] > 0
    (file,) = (rehearsal.lab.settings.attempts / campaign.name).glob("*/1/metrics-h1.csv")
    assert len(file.read_text().splitlines()) >= 2


@pytest.mark.parametrize(
    ("executor", "tool", "what", "remedy"),
    [
        ({"site": "sandbux"}, None, "There is no site 'sandbux'", "Did you mean 'sandbox'"),
        ({"tags": ["pi"]}, None, "no host with the tags pi", "Tags there: none"),
        ({"send": ["run.sh"]}, None, "There is no 'run.sh' in", "beside the definition"),
        (
            {},
            ToolSpec(kind="function", options={"call": "study.py:f"}),
            "A Python function runs on this machine",
            "command: [python3, study.py]",
        ),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(
    rehearsal: Rehearsal, executor: dict[str, Any], tool: ToolSpec | None, what: str, remedy: str
) -> None:
    definition = rehearsal.define(["true"], tool=tool, **executor)
    with pytest.raises(BadInput) as caught:
        rehearsal.lab.check(definition, settings=rehearsal.lab.settings)
    assert what in caught.value.what
    assert remedy in caught.value.remedy


def test_what_attempts_leave_running_is_ended(rehearsal: Rehearsal) -> None:
    argv = ["sh", "-c", "setsid sleep 500 </dev/null >/dev/null 2>&1 & echo"]
    campaign = rehearsal.run(rehearsal.define(argv)).campaign
    assert campaign.succeeded == 10
    for host in rehearsal.sandbox.hosts:
        assert not rehearsal.runs_on(host.name)
