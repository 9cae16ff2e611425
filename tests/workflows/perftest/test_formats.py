"""Reading Perftest's files: real ones, every known variation of them, and what is cut off."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldlab.workflows.perftest.formats import parse
from fieldlab.workflows.perftest.measures import flaws_of, row_of, verdict
from tests.workflows.perftest.samples import LATENCY, THROUGHPUT, unfinished
from tests.workflows.staging import shared_data

# --- real files --------------------------------------------------------------------------------


def test_a_real_publisher() -> None:
    folder = shared_data("perftest-csv", "300SEC_128000B_1P_3S_REL_UC_0DUR_100LC")
    report = parse((folder / "pub_0.csv").read_bytes())
    assert (report.kind, report.datalen_bytes, report.broken) == ("latency", 128000, ())
    assert report.intervals[0] == {
        "latency_us": 336882,
        "mean_us": 574377,
        "std_us": 237495.0,
        "min_us": 336882,
        "max_us": 811872,
    }
    assert report.summary is not None
    assert report.summary["p9999_us"] == 2385778
    assert report.is_complete


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_real_subscriber(number: int) -> None:
    folder = shared_data("perftest-csv", "300SEC_128000B_1P_3S_REL_UC_0DUR_100LC")
    report = parse((folder / f"sub_{number}.csv").read_bytes())
    assert (report.kind, report.broken) == ("throughput", ())
    assert len(report.intervals) > 250
    assert report.summary is not None
    assert report.summary["samples_total"] == 9374
    assert report.summary["loss_percent"] == 0


def test_a_real_captured_output_with_a_banner() -> None:
    folder = shared_data("perftest-csv", "900SEC_100B_75PUB_75SUB_REL_UC_0DUR_1000LC")
    report = parse((folder / "pub_0_output.csv").read_bytes())
    assert report.broken == ()
    assert report.summary is not None
    assert report.summary["mean_us"] == 8208329  # no space before the next value
    assert report.summary["std_us"] == 39504353.6
    assert report.intervals[-1]["max_us"] == 201738760


# --- what goes wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "\n\n", "perftest: command not found\n"])
def test_a_file_without_a_table(text: str) -> None:
    report = parse(text)
    assert not report.is_complete
    assert report.fault == "no table"
    assert report.best() == {}


@pytest.mark.parametrize("text", [LATENCY, THROUGHPUT])
def test_without_a_summary_the_run_did_not_finish(text: str) -> None:
    report = parse(unfinished(text))
    assert report.summary is None
    assert report.fault == "no summary: the run did not finish"
    # what the last interval says of all before it can be saved
    assert report.best()
    assert "latency_us" not in report.best()
    assert "mbps" not in report.best()


def test_a_line_that_was_being_written_is_left_out_and_told() -> None:
    cut = unfinished(THROUGHPUT)[:-40]
    report = parse(cut)
    assert len(report.intervals) == 1
    assert report.broken == (5,)


def test_a_summary_that_was_being_written_is_none() -> None:
    report = parse(LATENCY.rstrip()[:-30])
    assert report.summary is None
    assert len(report.broken) == 1


def test_of_runs_that_were_appended_the_last_counts() -> None:
    second = THROUGHPUT.replace("3000", "4000")
    report = parse(THROUGHPUT + second)
    assert report.runs == 2
    assert report.summary is not None
    assert report.summary["samples_total"] == 4000
    assert len(report.intervals) == 2


def test_a_run_that_was_appended_and_did_not_finish_is_not_saved_by_the_one_before() -> None:
    assert not parse(THROUGHPUT + unfinished(THROUGHPUT)).is_complete


def test_free_text_between_the_lines_is_no_data() -> None:
    noisy = THROUGHPUT.replace("\n\nThroughput", "\nWaiting for publishers\n\nThroughput")
    assert parse(noisy) == parse(THROUGHPUT)


def test_nanosecond_headings_become_microseconds() -> None:
    report = parse(LATENCY.replace("(us)", "(ns)").replace("(\N{GREEK SMALL LETTER MU}s)", "(ns)"))
    assert report.summary is not None
    assert report.summary["min_us"] == pytest.approx(0.12)


@pytest.mark.parametrize("length", ["inf", "nan", "1e400", "-1", "9" * 5000])
def test_a_length_that_is_none_is_a_broken_line_with_its_reason(length: str) -> None:
    report = parse(THROUGHPUT.replace("           100,          1000", f"{length}, 1000"))
    assert report.broken == (4,)
    assert report.flaw.startswith("line 4: the length is ")
    assert report.is_complete


# what is in files, so that tables are met often
PIECES = st.sampled_from([*LATENCY.splitlines(True), *THROUGHPUT.splitlines(True)])
CELLS = st.sampled_from(["inf", "nan", "-nan", "1e400", "1e300", "9" * 400, "9" * 5000, "-3", ""])
LINES = st.lists(CELLS, min_size=1, max_size=10).map(lambda cells: ", ".join(cells) + "\n")


@given(st.binary() | st.lists(PIECES | LINES | st.text()).map("".join))
def test_anything_can_be_read_judged_and_made_a_row(content: bytes | str) -> None:
    report = parse(content)
    reports = {"pub_0": report, "sub_0": report}
    verdict(reports, 2)
    flaws_of(reports)
    values = row_of(report, [report, report]).values()
    assert all(value is None or math.isfinite(float(str(value))) for value in values)


# --- round trips -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Style:
    """One way in which some version writes its files."""

    unit: str
    average: str
    length: str
    summary_length: str
    way: str
    banner: str
    ending: str


STYLES = st.builds(
    Style,
    unit=st.sampled_from(["us", "\N{GREEK SMALL LETTER MU}s", "\N{MICRO SIGN}s"]),
    average=st.sampled_from(["Ave", "Avg"]),
    length=st.just("Length (Bytes)"),
    summary_length=st.sampled_from(["Length (Bytes)", "Sample Size (Bytes)"]),
    way=st.sampled_from(["One-way", "One-Way"]),
    banner=st.sampled_from(["", "\n", "RTI Perftest 3.3.0 (x)\n\n\tData Size: 100\n\n"]),
    ending=st.sampled_from(["\n", "\r\n"]),
)
COUNT = st.integers(0, 10**10)
# nanosecond builds print decimals
MICROSECONDS = COUNT | st.floats(0, 10**9).map(lambda value: round(value, 3))
LATENCY_ROW = st.lists(MICROSECONDS, min_size=5, max_size=5)
LATENCY_SUMMARY = st.lists(MICROSECONDS, min_size=9, max_size=9)
RATE = st.floats(0, 10**6).map(lambda value: round(value, 1))
THROUGHPUT_ROW = st.tuples(COUNT, COUNT, COUNT, RATE, RATE, COUNT, RATE).map(list)
THROUGHPUT_SUMMARY = st.tuples(COUNT, COUNT, RATE, COUNT, RATE).map(list)


def written(size: int, values: list[float]) -> str:
    """Write a line in columns, which wide values burst."""
    return f"{size:>14}," + ",".join(f"{value:>9}" for value in values)


@given(
    STYLES, st.integers(0, 10**6), st.lists(LATENCY_ROW, min_size=1, max_size=5), LATENCY_SUMMARY
)
def test_every_latency_file_is_read_as_it_was_written(
    style: Style, size: int, rows: list[list[float]], summary: list[float]
) -> None:
    unit = f"({style.unit})"
    names = [f"{name} {unit}" for name in (style.average, "Std", "Min", "Max")]
    percentiles = [f"{each}% {unit}" for each in ("50", "90", "99", "99.99", "99.9999")]
    lines = [
        f"Intervals {style.way} Latency for {size} Bytes:",
        ", ".join([style.length, f"Latency {unit}", *names]),
        *(written(size, row) for row in rows),
        "",
        f"{style.way} Latency Summary:",
        ", ".join([style.summary_length, *names, *percentiles]),
        written(size, summary),
        "",
    ]
    report = parse(style.banner + style.ending.join(lines))
    assert (report.kind, report.datalen_bytes) == ("latency", size)
    assert [list(each.values()) for each in report.intervals] == rows
    assert report.summary is not None
    assert list(report.summary.values()) == summary
    assert report.is_complete


@given(
    STYLES,
    st.integers(0, 10**6),
    st.lists(THROUGHPUT_ROW, min_size=1, max_size=5),
    THROUGHPUT_SUMMARY,
)
def test_every_throughput_file_is_read_as_it_was_written(
    style: Style, size: int, rows: list[list[float]], summary: list[float]
) -> None:
    average = style.average
    lines = [
        f"Interval Throughput for {size} Bytes:",
        f"{style.length}, Total Samples,  Samples/s, {average} Samples/s,     Mbps,"
        f"  {average} Mbps, Lost Samples, Lost Samples (%)",
        *(written(size, row) for row in rows),
        "",
        "Throughput Summary:",
        f"{style.summary_length}, Total Samples, {average} Samples/s,    {average} Mbps,"
        " Lost Samples, Lost Samples (%)",
        written(size, summary),
        "",
    ]
    report = parse((style.banner + style.ending.join(lines)).encode())
    assert (report.kind, report.datalen_bytes) == ("throughput", size)
    assert [list(each.values()) for each in report.intervals] == rows
    assert report.summary is not None
    assert list(report.summary) == [
        "samples_total",
        "mean_samples_per_s",
        "mean_mbps",
        "samples_lost",
        "loss_percent",
    ]
    assert list(report.summary.values()) == summary


@given(st.sampled_from([LATENCY, THROUGHPUT]), st.integers(0, 2000))
def test_a_file_cut_anywhere_is_never_taken_for_more_than_it_is(text: str, length: int) -> None:
    whole, cut = parse(text), parse(text[:length])
    if cut.kind:
        shown = list(cut.intervals)
        complete = shown[:-1] if not text[:length].endswith("\n") else shown
        assert list(whole.intervals)[: len(complete)] == complete


@given(st.binary(max_size=300))
def test_no_content_makes_it_fail(content: bytes) -> None:
    parse(content)
