"""A test's name both ways: AutoPerf's, and fieldlab's ``datalen_bytes=100 … use_reliable=true``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fieldlab.domain.errors import BadInput
from fieldlab.domain.ids import Point, Value
from fieldlab.ports.store import EndedAttempt
from fieldlab.workflows.perftest.parameters import PARAMETERS, TestName

#: of AutoPerf's status spreadsheets
COLUMNS = (
    "start_timestamp",
    "end_timestamp",
    "test_name",
    "pings_count",
    "ssh_check_count",
    "end_status",
    "attempt_number",
    "qos_settings",
)
_PAIR = re.compile(r"(\w+)=(.*?)(?= \w+=| #\d+$|$)", re.ASCII)


def test_of(text: str) -> TestName:
    """Read the name of a test as AutoPerf or fieldlab writes it.

    Raises
    ------
    BadInput
        It is neither, or says not all of a test's parameters.
    """
    pairs = _PAIR.findall(text.strip())
    if not pairs:
        return TestName.parse(text)
    point: Point = {name: _value(word) for name, word in pairs if name in PARAMETERS}
    try:
        return TestName.of(point)
    except BadInput as error:
        remedy = "`fieldlab perftest ess` writes names that have the tool's fixed values too"
        raise BadInput(error.what, remedy=remedy) from None


test_of.__test__ = False  # type: ignore[attr-defined]


def _value(word: str) -> Any:
    try:
        return json.loads(word)
    except ValueError:
        return word


def ess_rows(
    attempts: Iterable[EndedAttempt], fixed: Mapping[str, Value]
) -> Iterator[tuple[object, ...]]:
    """Write attempts as rows of AutoPerf's status spreadsheet; see ``COLUMNS``.

    Parameters
    ----------
    fixed
        Options of the tool, among which the parameters may be that have one value.

    Raises
    ------
    BadInput
        The parameters are not those of a test.
    """
    constant = {name: value for name, value in fixed.items() if name in PARAMETERS}
    for each in attempts:
        test = TestName.of({**constant, **json.loads(each.parameters)})
        yield (
            each.started_at[:19],
            each.ended_at[:19],
            str(test),
            each.pings,
            each.ssh_checks,
            " ".join(each.status.split()),
            each.number,
            repr(test.point()),
        )
