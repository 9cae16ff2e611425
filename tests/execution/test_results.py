"""Results on their way from a worker: odd and large ones fail their trial, and only it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldlab.execution.local import LocalExecutor
from tests.execution.staging import Ran, function_setup, run_batches

SOURCE = r"""
class Unwilling:
    ndim = 0
    def item(self):
        raise RuntimeError("I won't")

class Rows:
    columns = ["y"]
    def to_dict(self, orient):
        return [{"y": Unwilling()}]

class Shy:
    def __getattr__(self, name):
        raise RuntimeError(f"no {name}")

def work(case, then):
    if then == "works":
        return {"y": 1.5}
    return {
        "bytes": lambda: {"y": b"1"},
        "unwilling": lambda: {"y": Unwilling()},
        "unwilling rows": Rows,
        "shy": lambda: {"y": Shy()},
        "a shy result": Shy,
        "huge text": lambda: {"y": "x" * 100_000_000},
        "many rows": lambda: [{"y": float(n), "n": n} for n in range(100_000)],
        "too many rows": lambda: [{"y": "x" * 200} for n in range(100_000)],
        "generator": lambda: ({"y": n} for n in range(3)),
        "half a character": lambda: {"y": "\ud800"},
        "half a name": lambda: {"\ud800": 1},
        "wide": lambda: {f"y{n}": n for n in range(5000)},
    }[case]()
"""
CASES = [line.split('"')[1] for line in SOURCE.splitlines() if line.startswith('        "')]

#: case → what the error says
REFUSED = {
    "bytes": "'y' is a builtins.bytes, which can't be recorded",
    "unwilling": "What it returned can't be read: RuntimeError: I won't",
    "unwilling rows": "What it returned can't be read: RuntimeError: I won't",
    "shy": "What it returned can't be read: RuntimeError: no ",
    "huge text": "are 95.4 MiB, more than the 16 MiB that a trial may record. Write large data to",
    "too many rows": "more than the 16 MiB",
    "generator": "builtins.generator",
    "half a character": "half of a character",
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("results")
    space = {"matrix": {"case": CASES, "then": ["", "works"]}}
    setup = function_setup(folder, SOURCE, space)
    return run_batches(
        LocalExecutor(2), setup, [range(n, n + 2) for n in range(0, 2 * len(CASES), 2)]
    )


@pytest.mark.parametrize("case", list(REFUSED))
def test_a_refused_result_is_a_bad_verdict(ran: Ran, case: str) -> None:
    record = ran.record(2 * CASES.index(case))
    assert (record.state, record.status, record.failure) == ("failed", "bad result", "verdict")
    assert REFUSED[case] in record.error
    assert record.rows == []


def test_a_result_that_breaks_when_looked_at_fails_its_trial(ran: Ran) -> None:
    record = ran.record(2 * CASES.index("a shy result"))
    assert (record.state, record.failure) == ("failed", "experiment")
    assert record.status.startswith("RuntimeError: no ")


@pytest.mark.parametrize("case", CASES)
def test_the_next_trial_works(ran: Ran, case: str) -> None:
    [row] = ran.rows_of(2 * CASES.index(case) + 1)
    assert row == {"case": case, "then": "works", "y": 1.5}


def test_many_rows_arrive_whole(ran: Ran) -> None:
    rows = ran.rows_of(2 * CASES.index("many rows"))
    assert len(rows) == 100_000
    assert all((row["y"], row["n"]) == (n, n) for n, row in enumerate(rows))


def test_repeats_are_told_apart(folder: Path) -> None:
    source = "def work(x, repeat):\n    return {'again': repeat}"
    setup = function_setup(folder, source, {"matrix": {"x": [5, 6]}, "repeat": 3})
    ran = run_batches(LocalExecutor(1), setup, [range(6)])
    assert [rows[0]["again"] for rows in ran.rows] == [1, 2, 3, 1, 2, 3]
    assert [record.repeat for record in ran.records] == [1, 2, 3, 1, 2, 3]
    assert len({record.fingerprint for record in ran.records}) == 6
