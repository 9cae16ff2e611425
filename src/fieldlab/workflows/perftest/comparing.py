"""Comparing two campaigns test by test: ratios, and what got worse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fieldlab.domain.ids import Value
from fieldlab.workflows.perftest.summaries import Summary

#: what is compared → whether more of it is better
METRICS = {
    "latency_mean_us": False,
    "latency_p50_us": False,
    "latency_p99_us": False,
    "throughput_mbps": True,
    "loss_percent": False,
    "jitter_ms": False,
}
#: a difference counts if it is larger than so many of its standard errors (about 95 %)
_STANDARD_ERRORS = 2.0
#: loss that is nothing, %: more where there was none before is worse
_NO_LOSS_PERCENT = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One result of one test, before and after."""

    test: str
    metric: str
    before: float
    after: float
    #: standard error of the difference; None where a side has one run only
    noise: float | None
    #: worse by more than the threshold, and beyond the noise where that is known
    regressed: bool

    @property
    def ratio(self) -> float | None:
        """After to before; None if that was 0."""
        return self.after / self.before if self.before else None

    def document(self) -> dict[str, Value]:
        """Write it as one flat row."""
        return {
            "test": self.test,
            "metric": self.metric,
            "before": self.before,
            "after": self.after,
            "ratio": self.ratio,
            "noise": self.noise,
            "regressed": self.regressed,
        }


def compare(
    before: Sequence[Summary], after: Sequence[Summary], threshold: float
) -> list[Comparison]:
    """Compare the tests that both have.

    Parameters
    ----------
    threshold
        The part by which a result may get worse: 0.05 is 5 %.
    """
    earlier = {each.test: each for each in before}
    found = []
    for summary in after:
        other = earlier.get(summary.test)
        if other is None:
            continue
        for metric, more_is_better in METRICS.items():
            old, new = other.values.get(metric), summary.values.get(metric)
            if old is None or new is None:
                continue
            noise = _noise(other, summary, metric)
            worse = old - new if more_is_better else new - old
            least = threshold * abs(old) or _NO_LOSS_PERCENT
            beyond = noise is None or worse > _STANDARD_ERRORS * noise
            found.append(
                Comparison(
                    test=summary.test,
                    metric=metric,
                    before=old,
                    after=new,
                    noise=noise,
                    regressed=worse > least and beyond,
                )
            )
    return found


def _noise(before: Summary, after: Summary, metric: str) -> float | None:
    """Give the standard error of the difference of two means."""
    if metric not in before.deviations or metric not in after.deviations:
        return None
    return math.sqrt(
        before.deviations[metric] ** 2 / before.repeats
        + after.deviations[metric] ** 2 / after.repeats
    )
