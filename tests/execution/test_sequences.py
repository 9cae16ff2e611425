"""Sobol' sequences through scipy."""

from __future__ import annotations

import sys

import pytest

from fieldlab.domain.errors import BadInput, MissingExtra
from fieldlab.domain.parameters import sequence_from
from fieldlab.execution.sequences import quasi_sequence

qmc = pytest.importorskip("scipy.stats.qmc")

SPACE = {
    "matrix": {"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}, "mode": ["a", "b"]},
    "sample": {"count": 5000, "seed": 7, "method": "sobol"},
}


def test_any_point_can_be_had_in_any_order() -> None:
    straight = qmc.Sobol(3, scramble=True, bits=32, rng=7).random(4096)
    sequence = quasi_sequence("sobol", 3, 7)
    for index in (0, 3000, 1023, 1024, 4095, 1, 2047):
        assert list(sequence.unit(index)) == list(straight[index])


def test_a_sobol_sample_resumes_where_it_stopped() -> None:
    whole = sequence_from(SPACE, quasi=quasi_sequence)
    assert whole.total == 5000
    resumed = sequence_from(SPACE, quasi=quasi_sequence)
    assert [resumed[at] for at in range(3000, 3100)] == [whole[at] for at in range(3000, 3100)]


def test_a_sobol_sample_covers_more_evenly_than_a_random_one() -> None:
    def discrepancy(method: str) -> float:
        space = {**SPACE, "sample": {"count": 512, "seed": 7, "method": method}}
        sequence = sequence_from(space, quasi=quasi_sequence)
        trials = [sequence[at] for at in range(512)]
        return float(qmc.discrepancy([[t.parameters["x"], t.parameters["y"]] for t in trials if t]))

    assert discrepancy("sobol") < discrepancy("random") / 5


def test_too_many_axes_are_explained() -> None:
    with pytest.raises(BadInput, match="99999 axes"):
        quasi_sequence("sobol", 99999, 0)
    with pytest.raises(BadInput, match="no sequence 'halton'"):
        quasi_sequence("halton", 2, 0)


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(MissingExtra, match=r"\[sampling\]"):
        quasi_sequence("sobol", 2, 0)
