"""Campaigns from their definition to their end, in this process."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fieldlab.domain.definition import ToolSpec
from fieldlab.domain.errors import BadInput
from fieldlab.domain.ids import canonical
from fieldlab.domain.parameters import sequence_from
from fieldlab.domain.trials import CampaignState
from fieldlab.ports.store import Campaign, Work
from tests.engine.campaigning import BREAKABLE, DOUBLE, TEN, Bench
from tests.store.staging import topics


def test_a_campaign_ends_finished_with_one_result_per_trial(bench: Bench) -> None:
    space = {
        "matrix": {"x": {"range": [1, 50]}, "mode": ["a", "b"]},
        "repeat": 3,
        "order": "shuffled",
    }
    source = """
def work(x, mode, repeat):
    return [{"part": part, "y": x * repeat / 2} for part in range(2)]
"""
    definition = bench.define(source, space)
    seen: list[Campaign] = []
    campaign = bench.lab.run(bench.lab.start(definition), listener=seen.append).campaign
    assert campaign.state is CampaignState.FINISHED
    bench.check(campaign)
    assert (campaign.succeeded, campaign.attempts, campaign.done, campaign.total) == (300,) * 4
    assert campaign.started_at
    assert campaign.ended_at
    assert campaign.started_at <= campaign.ended_at
    assert topics(bench.lab.store) == ["campaign.finished"]
    assert [each.succeeded for each in seen] == sorted(each.succeeded for each in seen)
    sequence = sequence_from(space)
    trials = bench.trials(campaign)
    for position, trial in trials.items():
        point = sequence[position]
        assert point is not None
        assert trial["fingerprint"] == point.fingerprint
        assert trial["parameters"] == canonical(point.parameters)
        assert trial["repeat"] == point.repeat
    rows = bench.results(campaign)
    expected = Counter(
        (x, mode, repeat, part, x * repeat / 2)
        for x in range(1, 51)
        for mode in "ab"
        for repeat in (1, 2, 3)
        for part in (0, 1)
    )
    found = Counter((r["x"], r["mode"], r["repeat"], r["part"], r["y"]) for r in rows)
    assert found == expected
    names = {row["test_name"] for row in bench.sheet(campaign)}
    assert {"mode=a x=1", "mode=b x=50 #3"} <= names


def test_running_a_finished_campaign_again_runs_nothing(bench: Bench) -> None:
    (bench.folder / "count").write_text("")
    source = """
def work(x):
    with open("count", "a") as file:
        file.write(".")
"""
    definition = bench.define(source, TEN)
    first = bench.finish(definition)
    again = bench.finish(definition)
    assert again.id == first.id
    assert again.attempts == 10
    assert (bench.folder / "count").read_text() == "." * 10


def test_failing_trials_do_not_stop_the_others(bench: Bench) -> None:
    (bench.folder / "break3").touch()
    (bench.folder / "break7").touch()
    campaign = bench.finish(bench.define(BREAKABLE, TEN))
    assert (campaign.succeeded, campaign.failed) == (8, 2)
    [three, seven] = [row for row in bench.attempts(campaign) if row["state"] == "failed"]
    assert (three["status"], three["failure"]) == ("ValueError: 3 is broken", "experiment")
    assert 'raise ValueError(f"{x} is broken")' in three["error"]
    assert seven["status"] == "ValueError: 7 is broken"
    assert len(bench.results(campaign)) == 8


#: what trials return or raise → how they end
ODDITIES = {
    "'text'": "success",
    "{'text': 'žluťoučký \\U0001f40e'}": "success",
    "{'number': float('nan')}": "success",
    "{'number': float('inf')}": "success",
    "{'number': 2}": "success",
    "{'flag': True}": "success",
    "{'whole': 2**63 - 1}": "success",
    "{'nested': [1, {'a': None}]}": "success",
    "{'a name: with \"quotes\" %s :x': 1}": "success",
    "{'Zähler': 1}": "success",
    "{}": "success",
    "[{'a': 1}, {'b': 'x'}]": "success",
    "[{'n': float(n)} for n in range(20_000)]": "success",
    "{'text': 3}": "bad result",
    "{'number': 'three'}": "bad result",
    "{'text': 'a\\0b'}": "bad result",
    "{'text': '\\ud800'}": "bad result",
    "{'a\\0b': 1}": "bad result",
    "{'\\ud800': 1}": "bad result",
    "{'': 1}": "bad result",
    "{'x' * 100: 1}": "bad result",
    "{'FLAG': True}": "bad result",
    "{'attempt': 1}": "bad result",
    "{f'y{n}': n for n in range(2000)}": "bad result",
    "{'whole': 2**63}": "bad result",
    "b'bytes'": "bad result",
    "{'case': 'other'}": "bad result",
    "fail('a\\0b \\ud800 c')": "Exception: a?b ? c",
    "fail(0)": "Exception: 0",
    "fail('x' * 10**7)": f"Exception: {'x' * 189}",
    "exit(4)": "process died: exit code 4",
}


def test_whatever_trials_return_is_recorded_or_refused(bench: Bench) -> None:
    source = """
import os

def fail(what):
    raise Exception(what)

def exit(code):
    os._exit(code)

def work(case):
    return eval(case)
"""
    space = {"matrix": {"case": list(ODDITIES)}}
    campaign = bench.finish(bench.define(source, space, slots=1))
    statuses = {
        json.loads(trial["parameters"])["case"]: attempt["status"]
        for trial in bench.trials(campaign).values()
        for attempt in bench.attempts(campaign)
        if attempt["trial_id"] == trial["id"]
    }
    assert statuses == ODDITIES
    for attempt in bench.attempts(campaign):
        assert bool(attempt["error"]) == (attempt["status"] != "success")
        assert len(attempt["error"] or "") < 40_000
    rows = {row["case"]: row for row in bench.results(campaign)}
    assert rows["{'number': float('nan')}"]["number"] is None
    assert rows["{'number': float('inf')}"]["number"] == math.inf
    assert rows["{'number': 2}"]["number"] == 2
    assert rows["{'text': 'žluťoučký \\U0001f40e'}"]["text"] == "žluťoučký \U0001f40e"
    assert rows["{'whole': 2**63 - 1}"]["whole"] == 2**63 - 1
    assert rows["{'flag': True}"]["flag"] is True
    assert sum(row["n"] is not None for row in bench.results(campaign)) == 20_000


def test_a_trial_may_have_no_rows_of_results(bench: Bench) -> None:
    definition = bench.define("def work(x): return [{'y': x}] if x > 7 else []", TEN)
    campaign = bench.lab.run(bench.lab.start(definition)).campaign
    assert (campaign.state, campaign.succeeded) == (CampaignState.FINISHED, 10)
    assert [row["x"] for row in bench.results(campaign)] == [8, 9, 10]


def test_a_refused_result_leaves_no_column_behind(bench: Bench) -> None:
    source = """
def work(x):
    return [{"y": "text"}, {"z": object()}] if x == 1 else {"y": 1.5}
"""
    campaign = bench.finish(bench.define(source, TEN, slots=1))
    assert (campaign.succeeded, campaign.failed) == (9, 1)
    assert all("z" not in row for row in bench.results(campaign))


def test_points_that_are_excluded_while_running_are_counted(bench: Bench) -> None:
    rule = ["(x * 7919 + y * y) % 5 == 0"]
    grid = {"x": {"range": [1, 99_999]}, "y": {"range": [1, 99_999]}}
    space: dict[str, Any] = {"matrix": grid, "exclude": rule, "sample": {"count": 60, "seed": 1}}
    sequence = sequence_from(space)
    assert sequence.total is None
    campaign = bench.finish(bench.define("def work(x, y): ...", space))
    assert campaign.succeeded == 60
    assert campaign.excluded > 0
    first = [each.parameters for at in range(campaign.cursor) if (each := sequence[at])]
    assert {trial["parameters"] for trial in bench.trials(campaign).values()} == {
        canonical(point) for point in first[:60]
    }


def test_a_sample_of_a_continuous_axis_has_as_many_trials_as_asked_for(bench: Bench) -> None:
    space = {
        "matrix": {"x": {"uniform": [0, 1]}},
        "exclude": ["x > 0.7"],
        "sample": {"count": 40, "seed": 5},
    }
    campaign = bench.finish(bench.define("def work(x): return {'y': x}", space))
    assert campaign.succeeded == 40
    assert all(row["x"] <= 0.7 for row in bench.results(campaign))


def test_every_point_that_is_not_excluded_runs_when_none_are_counted(bench: Bench) -> None:
    space = {
        "matrix": {"x": {"range": [1, 60]}, "y": {"range": [1, 50]}},
        "exclude": ["(x + y) % 10 != 0"],
    }
    campaign = bench.finish(bench.define("def work(x, y): ...", space))
    assert campaign.succeeded == 300


def test_a_larger_sample_runs_only_what_is_missing(bench: Bench) -> None:
    space = {"matrix": {"x": {"range": [1, 1000]}}, "sample": {"count": 10, "seed": 3}}
    first = bench.finish(bench.define(DOUBLE, space))
    larger = {**space, "sample": {"count": 25, "seed": 3}}
    second = bench.finish(bench.define(DOUBLE, larger))
    assert second.experiment_id == first.experiment_id
    assert (first.name, second.name) == ("probe.1", "probe.2")
    assert (second.succeeded, second.skipped, second.done) == (15, 10, 25)
    assert len(bench.results(second)) == 25
    assert len({row["x"] for row in bench.results(second)}) == 25


def acquisitions(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Note each time that an engine asks for work."""
    asked: list[object] = []
    acquire = bench.lab.store.acquire

    def noting(*args: Any) -> Work:
        asked.append(args)
        return acquire(*args)

    monkeypatch.setattr(bench.lab.store, "acquire", noting)
    return asked


@pytest.mark.parametrize("repeat", [1, 2])
def test_a_longer_axis_passes_over_what_is_recorded_in_large_steps(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, repeat: int
) -> None:
    space = {"matrix": {"x": {"range": [1, 3000 // repeat]}}, "repeat": repeat}
    bench.finish(bench.define(DOUBLE, space))
    longer = {**space, "matrix": {"x": {"range": [1, 3000 // repeat + 1]}}}
    asked = acquisitions(bench, monkeypatch)
    second = bench.finish(bench.define(DOUBLE, longer))
    assert (second.succeeded, second.skipped) == (repeat, 3000)
    assert len(asked) < 20


def test_draws_that_are_left_out_cost_no_commit_each(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = {
        "matrix": {"x": {"uniform": [0, 1]}},
        "exclude": ["x < 0.99"],
        "sample": {"count": 40, "seed": 5},
    }
    asked = acquisitions(bench, monkeypatch)
    campaign = bench.finish(bench.define("def work(x): return {'y': x}", space))
    assert campaign.succeeded == campaign.attempts == 40
    assert campaign.excluded > 2000
    assert len(asked) < 60


def test_a_changed_tool_is_another_version_with_its_own_results(bench: Bench) -> None:
    first = bench.finish(bench.define(DOUBLE, TEN))
    tool = ToolSpec(kind="function", options={"call": "study.py:other"})
    changed = bench.define("def other(x): return {'z': -x}", TEN, tool=tool)
    second = bench.finish(changed)
    assert (second.version, second.name) == (2, "probe.v2.1")
    assert (second.succeeded, second.skipped) == (10, 0)
    assert {tuple(sorted(row)) for row in bench.results(first)} != {
        tuple(sorted(row)) for row in bench.results(second)
    }
    assert len(bench.results(first)) == len(bench.results(second)) == 10


def test_a_million_million_points_cost_nothing(bench: Bench) -> None:
    axis = {"range": [1, 1_000_000]}
    space = {"matrix": {"x": axis, "y": axis}, "order": "shuffled"}
    source = "import time\ndef work(x, y):\n    time.sleep(0.005)\n    return {'z': x + y}"
    definition = bench.define(source, space)
    ended = bench.lab.run(bench.lab.start(definition), for_s=0.3)
    assert ended.campaign.positions == 10**12
    assert ended.campaign.succeeded > 0
    bench.check(ended.campaign)


def test_commands_are_recorded_with_their_exit_codes(bench: Bench, folder: Path) -> None:
    read = {"format": "csv", "file": "", "values": {}}
    argv = ["sh", "-c", "printf 'y,note\\n%s.5,ok\\n' {x}; exit {x}"]
    options = {"argv": argv, "read": read, "success": [0, 1]}
    tool = ToolSpec(kind="command", options=options)
    campaign = bench.finish(bench.define("", {"matrix": {"x": [0, 1, 2]}}, tool=tool))
    ends = [(row["status"], row["exit_code"]) for row in bench.attempts(campaign)]
    assert sorted(ends) == [("exit code 2", 2), ("success", 0), ("success", 1)]
    assert sorted((row["x"], row["y"], row["note"]) for row in bench.results(campaign)) == [
        (0, 0.5, "ok"),
        (1, 1.5, "ok"),
    ]


def test_parameters_that_no_column_holds_fail_their_trials_only(bench: Bench) -> None:
    space = {"matrix": {"x": ["a\0b", "\ud800", "fine"]}}
    campaign = bench.finish(bench.define("def work(x): ...", space))
    assert (campaign.succeeded, campaign.failed) == (1, 2)
    assert [row["x"] for row in bench.results(campaign)] == ["fine"]


def test_a_parameter_of_another_kind_than_before_is_refused_before_anything_runs(
    bench: Bench,
) -> None:
    bench.finish(bench.define(DOUBLE, TEN))
    with pytest.raises(BadInput, match="'x' are text, but those recorded so far are numbers"):
        bench.lab.start(bench.define(DOUBLE, {"matrix": {"x": ["a", "b"]}}))
    assert len(bench.lab.store.campaigns()) == 1
