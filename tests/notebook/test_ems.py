"""Scripts of EMS run with another import line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster, Scheduler, SpecCluster

import fieldlab
from fieldlab.domain.errors import BadInput, render_key
from fieldlab.notebook import ems
from tests.notebook.programs import output, written


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ems, "_said", set())


def experiment(*, nrow: int, ncol: int, seed: int) -> pd.DataFrame:
    """Give a row with its parameters, as EMS wants it."""
    d = {"nrow": nrow, "ncol": ncol, "seed": seed, "norm": float(nrow * ncol + seed)}
    return pd.DataFrame(data=d, index=[0])


GRID = {"nrow": [10], "ncol": [10, 20], "seed": list(range(3))}


def points(frame: Any) -> list[tuple[Any, ...]]:
    return sorted(map(tuple, frame[["nrow", "ncol", "seed"]].to_numpy().tolist()))


@pytest.mark.parametrize("form", ["params", "multi_res"])
def test_grids_are_joined(here: Path, form: str) -> None:
    exp = {"table_name": "stats285_hw5", form: [GRID, {**GRID, "nrow": [30], "ncol": [5]}]}
    ran = fieldlab.do_on_cluster(exp, experiment, None, quiet=True)
    assert (ran.name, ran.state, ran.succeeded) == ("stats285_hw5.1", "finished", 9)
    frame = ran.results()
    assert set(frame.columns) == {"nrow", "ncol", "seed", "norm"}
    assert len(points(frame)) == len(set(points(frame))) == 9


def test_one_grid_with_a_stop_list(here: Path) -> None:
    stops = [{"nrow": 10, "ncol": 20, "seed": 1}, {"nrow": 10, "ncol": 10, "seed": 0}]
    exp = {"table_name": "one", "parameters": GRID, "stop_list": stops}
    frame = fieldlab.do_on_cluster(exp, experiment, quiet=True).results()
    assert points(frame) == [(10, 10, 1), (10, 10, 2), (10, 20, 0), (10, 20, 2)]


def test_grids_that_overlap_run_no_point_twice(here: Path) -> None:
    exp = {"table_name": "overlap", "params": [GRID, GRID, {**GRID, "seed": [2, 3]}]}
    assert fieldlab.do_on_cluster(exp, experiment, quiet=True).succeeded == 8


def test_a_json_file(here: Path) -> None:
    (here / "exp.json").write_text(json.dumps({"table_name": "filed", "params": [GRID]}))
    assert fieldlab.do_on_cluster("exp.json", experiment, quiet=True).succeeded == 6


def test_numpys_arrays_and_numbers_are_values(here: Path) -> None:
    def instance(p: float, m: int, flag: bool) -> pd.DataFrame:
        assert (type(p), type(m), type(flag)) == (float, int, bool)
        return pd.DataFrame({"p": [p], "m": [m], "y": [p * m]})

    p = np.concatenate((np.linspace(0.1, 0.5, 5), np.linspace(0.5, 1.0, 6)))
    grid = {"p": p, "m": [np.int64(3)], "flag": [np.bool_(True)]}
    ran = fieldlab.do_on_cluster({"table_name": "np", "params": [grid]}, instance, quiet=True)
    assert (ran.succeeded, ran.failed) == (10, 0), "the end that both arrays share comes once"
    assert ran.results()["p"].tolist() == sorted(set(p.tolist())) or len(ran.results()) == 10


def test_parameters_need_not_be_in_the_frame(here: Path) -> None:
    def instance(x: int) -> pd.DataFrame:
        return pd.DataFrame({"y": [x, 2 * x]})

    exp = {"table_name": "short", "parameters": {"x": [1, 2]}}
    frame = fieldlab.do_on_cluster(exp, instance, quiet=True).results()
    assert frame.sort_values(["x", "y"]).to_numpy().tolist() == [[1, 1], [1, 2], [2, 2], [2, 4]]


def test_points_that_are_there_are_not_run_again_by_another_script(here: Path) -> None:
    text = """
        import sys
        import pandas as pd
        from fieldlab import do_on_cluster

        def instance(x):
            with open("calls", "a") as file:
                file.write(f"{x}\\n")
            return pd.DataFrame({"x": [x], "y": [2 * x]})

        exp = {"table_name": "shared", "params": [{"x": list(range(int(sys.argv[1])))}]}
        print(do_on_cluster(exp, instance, quiet=True).succeeded)
    """
    assert output(written(here, text, "one.py"), "3") == "3\n"
    assert output(written(here, text, "two.py"), "5") == "2\n"
    assert sorted((here / "calls").read_text().split()) == ["0", "1", "2", "3", "4"]


def test_a_point_that_raises_is_recorded_and_the_rest_goes_on(here: Path) -> None:
    def instance(x: int) -> pd.DataFrame:
        if x < 30:
            raise ValueError(f"{x} is small")
        return pd.DataFrame({"x": [x]})

    exp = {"table_name": "raises", "parameters": {"x": range(40)}}
    ran = fieldlab.do_on_cluster(exp, instance, quiet=True)
    assert (ran.state, ran.succeeded, ran.failed) == ("finished", 10, 30)
    assert sorted(ran.failures()["x"]) == list(range(30))


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"params": [{"x": []}]}, ["params[0].x"]),
        ({"params": [{"x": [1.5, float("nan")]}]}, ["params[0].x[1]"]),
        ({"params": [{"x": [1]}, {"y": [1]}]}, ["params[1]"]),
        ({"params": []}, ["params"]),
        ({"params": {"x": [1]}}, ["params"]),
        ({"table_name": None}, ["table_name"]),
        ({"table_name": "a b"}, ["table_name"]),
        ({"stop_list": [{"x": 1, "y": 2}]}, ["stop_list[0]"]),
        ({"parms": []}, ["parms"]),
        ({"parameters": {"x": [1]}}, ["parameters"]),
    ],
)
def test_what_is_wrong_is_named_in_emss_words(
    here: Path, changed: dict[str, Any], wrong: list[str]
) -> None:
    exp = {"table_name": "wrong", "params": [{"x": [1, 2]}], **changed}
    with pytest.raises(BadInput) as raised:
        fieldlab.do_on_cluster(exp, lambda x: None, quiet=True)
    assert [render_key(each.key) for each in raised.value.problems] == wrong


# --- clients of Dask ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Have workers with three threads in all, in this process."""
    with LocalCluster(
        n_workers=3, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as cluster:
        yield cluster


def test_a_local_cluster_says_how_many_trials_run_at_a_time(
    here: Path, cluster: LocalCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    exp = {"table_name": "local", "params": [GRID]}
    with Client(cluster) as client:
        ran = fieldlab.do_on_cluster(exp, experiment, client, quiet=True)
        fieldlab.do_on_cluster(exp, experiment, client, quiet=True)
    assert (ran.succeeded, ran.campaign.definition.executor.slots) == (6, 3)
    assert capsys.readouterr().err.count("3 processes of its own") == 1, "said once"


def test_no_other_cluster_is_taken_for_this_machine(here: Path, cluster: LocalCluster) -> None:
    exp = {"table_name": "a", "params": [GRID]}
    scheduler = {"cls": Scheduler, "options": {"dashboard_address": ":0"}}
    with (
        SpecCluster(scheduler=scheduler) as other,
        Client(other) as client,
        pytest.raises(BadInput, match=r"\(SpecCluster\) isn't a LocalCluster"),
    ):
        fieldlab.do_on_cluster(exp, experiment, client)
    with (
        Client(cluster.scheduler_address) as by_address,
        pytest.raises(BadInput, match=cluster.scheduler_address),
    ):
        fieldlab.do_on_cluster(exp, experiment, by_address)
    with pytest.raises(BadInput, match="no Dask client"):
        fieldlab.do_on_cluster(exp, experiment, 42)


def test_arguments_of_databases_are_ignored_and_said_to_be(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exp = {"table_name": "ignored", "params": [GRID]}
    fieldlab.do_on_cluster(exp, experiment, None, object(), credentials=object(), quiet=True)
    assert "fieldlab ignores remote, credentials" in capsys.readouterr().err


def test_points_one_by_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def instance(w: float, x: int) -> pd.DataFrame:
        if x == 5:
            raise ValueError
        return pd.DataFrame({"w": [w], "x": [x], "y": [w * x]})

    evaluator = fieldlab.EvalOnCluster(None, "search", slots=2)
    assert evaluator.eval_params(instance, {"x": 1, "w": 0.5}) == (0.5, 1)
    assert evaluator.eval_params_list(instance, [{"x": n, "w": 0.5} for n in (2, 5)]) == [
        (0.5, 2),
        (0.5, 5),
    ]
    seen = {}
    for frame, key in evaluator:
        seen[key] = frame["y"].tolist()
        if len(seen) < 4:
            evaluator.eval_params(instance, {"x": 10 * len(seen), "w": 0.5})
    evaluator.final_push()
    assert seen == {(0.5, 1): [0.5], (0.5, 2): [1.0], (0.5, 10): [5.0], (0.5, 20): [10.0]} | seen
    assert len(seen) >= 4
    assert "failed: ValueError" in capsys.readouterr().err
    with fieldlab.open() as lab:
        assert lab.campaigns()["state"].tolist() == ["finished"]
