"""Noise on a network, as definitions state it and netem takes it."""

from __future__ import annotations

from typing import Any

import pytest

from fieldlab.domain.errors import BadInput
from fieldlab.domain.noise import Noise, noise_like, noise_of


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({}, ""),
        ({"loss_percent": 1}, "loss 1%"),
        ({"rate": "10mbit", "loss_percent": 0.25}, "loss 0.25% rate 10mbit"),
        ({"delay_ms": 50}, "delay 50ms"),
        (
            {
                "delay_ms": 100, "jitter_ms": 10, "correlation_percent": 25,
                "distribution": "normal", "duplicate_percent": 1, "corrupt_percent": 0.1,
            },
            "delay 100ms 10ms 25% distribution normal duplicate 1% corrupt 0.1%",
        ),
    ],
)  # fmt: skip
def test_noise_is_written_as_netem_takes_it(stated: dict[str, Any], words: str) -> None:
    assert " ".join(noise_of(stated, {}).netem()) == words
    assert bool(noise_of(stated, {})) == bool(words)


def test_a_parameter_stands_for_its_value() -> None:
    stated = {"loss_percent": "{loss}", "rate": "{rate}"}
    assert noise_of(stated, {"loss": 2, "rate": "1mbit"}).netem() == ("loss", "2%", "rate", "1mbit")
    assert not noise_of(stated, {"loss": 0, "rate": ""})
    assert noise_like(stated) == Noise(loss_percent=1.0, rate="1mbit")


@pytest.mark.parametrize(
    ("stated", "key", "what", "remedy"),
    [
        ({"los_percent": 1}, "los_percent", "unknown key", "'loss_percent'"),
        ({"loss_percent": 101}, "loss_percent", "not from 0 to 100", ""),
        ({"loss_percent": -1}, "loss_percent", "not from 0 to 100", ""),
        ({"loss_percent": float("nan")}, "loss_percent", "must be a number", ""),
        ({"loss_percent": True}, "loss_percent", "must be a number", ""),
        ({"loss_percent": "{lss}"}, "loss_percent", "no parameter 'lss'", "'loss'"),
        ({"rate": "fast"}, "rate", "is no rate", "10mbit"),
        ({"rate": 10}, "rate", "is no rate", "10mbit"),
        ({"distribution": "gauss"}, "distribution", "unknown distribution", "normal"),
        ({"jitter_ms": 5}, "jitter_ms", "jitter needs a delay", "delay_ms"),
    ],
)
def test_what_is_no_noise_is_refused(
    stated: dict[str, Any], key: str, what: str, remedy: str
) -> None:
    with pytest.raises(BadInput) as caught:
        noise_of(stated, {"loss": 1})
    (problem,) = caught.value.problems
    assert problem.key == ("noise", key)
    assert what in problem.what
    assert remedy in problem.remedy
