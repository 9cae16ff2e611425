"""A row per test over folders of data and over a lab, and comparisons of two campaigns."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldlab.domain.errors import BadInput
from fieldlab.domain.ids import Value
from fieldlab.workflows.perftest.comparing import Comparison, compare
from fieldlab.workflows.perftest.plotting import plot_comparison, plot_summaries
from fieldlab.workflows.perftest.summaries import (
    Observation,
    Summary,
    read_folders,
    recorded,
    summarise,
)
from tests.workflows.perftest.samples import LATENCY, THROUGHPUT, unfinished
from tests.workflows.staging import shared_data

ONE = "30SEC_100B_1PUB_2SUB_REL_UC_0DUR_100LC"


def write_test(folder: Path, name: str = ONE, ending: str = ".csv", **files: str) -> None:
    """Write the folder of a test; by default all its files."""
    (folder / name).mkdir(parents=True)
    texts = files or {"pub_0": LATENCY, "sub_0": THROUGHPUT, "sub_1": THROUGHPUT}
    for file, text in texts.items():
        (folder / name / f"{file}{ending}").write_text(text)


def test_real_folders() -> None:
    found, problems = read_folders(shared_data("perftest-csv"))
    whole, partial = found
    assert (whole.test, whole.status) == ("300SEC_128000B_1PUB_3SUB_REL_UC_0DUR_100LC", "success")
    assert whole.values["throughput_mbps"] == pytest.approx(96.2)
    # subscribers' files are not there, and what there is of the test is saved
    assert partial.status == "file_count_mismatch"
    assert partial.values["latency_mean_us"] == 8208329
    assert partial.values["throughput_mbps"] is None
    assert problems == []


@pytest.mark.parametrize("ending", [".csv", "_output.csv"])
def test_folders_at_any_depth_with_either_name_of_files(tmp_path: Path, ending: str) -> None:
    write_test(tmp_path / "campaign" / "run", ending=ending)
    (each,) = read_folders(tmp_path)[0]
    assert (each.status, each.point["sub_count"]) == ("success", 2)
    assert each.values["samples_total"] == 6000


def test_a_test_that_did_not_finish_is_saved_as_far_as_it_went(tmp_path: Path) -> None:
    write_test(tmp_path, pub_0=unfinished(LATENCY), sub_0=THROUGHPUT, sub_1=unfinished(THROUGHPUT))
    (each,) = read_folders(tmp_path)[0]
    assert each.status == "empty_file_found"
    assert "sub_1 (no summary: the run did not finish)" in each.explanation
    assert each.values["samples_total"] == 6000
    assert each.values["latency_max_us"] == 201738760
    assert each.values["latency_p99_us"] is None


def test_an_empty_folder_of_a_test(tmp_path: Path) -> None:
    (tmp_path / ONE).mkdir()
    (each,) = read_folders(tmp_path)[0]
    assert each.status == "no csv files"


def test_what_is_not_read_is_told(tmp_path: Path) -> None:
    write_test(tmp_path)
    write_test(tmp_path, "misc", pub_0=LATENCY)
    (tmp_path / "30SEC.zip").touch()
    said = "\n".join(map(str, read_folders(tmp_path)[1]))
    assert "misc: the folder has Perftest's files, but 'misc' is not the name of a test" in said
    assert "1 archives are not looked into, such as 30SEC.zip. Unpack them first" in said


def test_a_place_without_tests(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="There is no test in"):
        read_folders(tmp_path)
    with pytest.raises(BadInput, match="There is no folder"):
        read_folders(tmp_path / "none")


@pytest.mark.parametrize("length", ["inf", "nan", "1e400"])
def test_a_bad_file_is_told_with_its_reason_and_other_tests_are_shown(
    tmp_path: Path, length: str
) -> None:
    other = ONE.replace("30SEC", "40SEC")
    bad = THROUGHPUT.replace("           100,", f"{length},")
    write_test(tmp_path, pub_0=LATENCY, sub_0=THROUGHPUT, sub_1=bad)
    write_test(tmp_path, other)
    first, second = read_folders(tmp_path)[0]
    assert first.status == "empty_file_found"
    assert f"{tmp_path / ONE / 'sub_1.csv'}: line 4: the length is " in first.explanation
    assert ", and 2 more lines can't be read" in first.explanation
    assert first.values["throughput_mbps"] == 1.2
    assert (second.test, second.status) == (other, "success")


def test_what_is_no_file_is_told_with_its_place(tmp_path: Path) -> None:
    write_test(tmp_path, pub_0=LATENCY, sub_0=THROUGHPUT)
    (tmp_path / ONE / "sub_1.csv").mkdir()
    (each,) = read_folders(tmp_path)[0]
    assert each.status == "file_count_mismatch"
    assert f"{tmp_path / ONE / 'sub_1.csv'} is no file" in each.explanation


def test_a_name_may_ask_for_any_number_of_subscribers(tmp_path: Path) -> None:
    write_test(tmp_path, ONE.replace("2SUB", f"{10**17}SUB"))
    (each,) = read_folders(tmp_path)[0]
    assert f"3 of {10**17 + 1} files are there" in each.explanation


def test_repeats_are_one_row_with_their_deviation() -> None:
    found = summarise([seen(rate=10.0), seen(rate=14.0), seen(rate=99.0, status="timeout")])
    (summary,) = found
    assert (summary.repeats, summary.status) == (2, "success")
    assert summary.values["throughput_mbps"] == 12.0
    assert summary.deviations["throughput_mbps"] == pytest.approx(8**0.5)


def test_where_no_run_succeeded_its_status_stands() -> None:
    (summary,) = summarise([seen(rate=10.0, status="timeout")])
    assert (summary.status, summary.values["throughput_mbps"]) == ("timeout", 10.0)


def test_recorded_rows_are_named_for_their_parameters() -> None:
    rows: list[dict[str, Value]] = [{"size": 3, "mode": "a", "latency_mean_us": 5.0}]
    (each,) = recorded(rows, ("size", "mode"), {"executable": "x", "pub_count": 2})
    assert each.test == "pub_count=2 size=3 mode=a"
    assert each.values == {"latency_mean_us": 5.0}


# --- comparing ---------------------------------------------------------------------------------


def seen(
    rate: float = 10.0,
    latency: float = 100.0,
    loss: float = 0.0,
    status: str = "success",
    test: str = ONE,
) -> Observation:
    values: dict[str, Value] = {
        "throughput_mbps": rate,
        "latency_mean_us": latency,
        "loss_percent": loss,
    }
    return Observation(test=test, point={}, status=status, values=values)


def compared(before: list[Observation], after: list[Observation]) -> dict[str, Comparison]:
    found = compare(summarise(before), summarise(after), 0.05)
    return {each.metric: each for each in found}


@pytest.mark.parametrize(
    ("changes", "worse"),
    [
        ({}, set()),
        ({"rate": 9.6, "latency": 104.0}, set()),
        ({"rate": 9.0}, {"throughput_mbps"}),
        ({"rate": 12.0}, set()),
        ({"latency": 110.0}, {"latency_mean_us"}),
        ({"latency": 50.0}, set()),
        ({"loss": 0.05}, set()),
        ({"loss": 2.0}, {"loss_percent"}),
    ],
)
def test_worse_is_less_throughput_and_more_latency_or_loss(
    changes: dict[str, float], worse: set[str]
) -> None:
    found = compared([seen()], [seen(**changes)])  # type: ignore[arg-type]
    assert {name for name, each in found.items() if each.regressed} == worse


def test_a_ratio_is_after_to_before() -> None:
    found = compared([seen(rate=10)], [seen(rate=8)])
    assert found["throughput_mbps"].ratio == pytest.approx(0.8)
    assert found["loss_percent"].ratio is None


def test_with_repeats_a_difference_within_their_noise_is_none() -> None:
    before = [seen(rate=rate) for rate in (6.0, 10.0, 14.0)]
    after = [seen(rate=rate) for rate in (5.0, 9.0, 13.0)]
    assert not compared(before, after)["throughput_mbps"].regressed
    steady = [seen(rate=rate) for rate in (9.0, 9.01, 8.99)]
    sure = [seen(rate=rate) for rate in (10.0, 10.01, 9.99)]
    assert compared(sure, steady)["throughput_mbps"].regressed


def test_tests_that_only_one_side_has_are_not_compared() -> None:
    assert not compared([seen()], [seen(test="other")])


# --- pictures ----------------------------------------------------------------------------------


def summaries(folder: Path) -> list[Summary]:
    write_test(folder / "data")
    return summarise(read_folders(folder / "data")[0])


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_plots(tmp_path: Path, ending: str) -> None:
    found = summaries(tmp_path)
    plot_summaries(found, tmp_path / f"a.{ending}")
    plot_comparison(compare(found, found, 0.05), tmp_path / f"b.{ending}", 0.05)
    for name in ("a", "b"):
        assert (tmp_path / f"{name}.{ending}").stat().st_size > 1000


def test_a_plot_that_cannot_be_written(tmp_path: Path) -> None:
    for name in ("none/a.png", "a.nothing"):
        with pytest.raises(BadInput, match="can't be written"):
            plot_summaries(summaries(tmp_path / name.replace("/", "-")), tmp_path / name)
