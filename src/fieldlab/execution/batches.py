"""What the engine and a worker tell each other of a batch.

A trial can have written anything to its worker's socket, so what comes from there is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from fieldlab.domain.trials import AttemptState
from fieldlab.execution.channel import Message
from fieldlab.ports.executor import AttemptRecord, Batch, Outcomes, Shape

_ENDS = (AttemptState.SUCCEEDED, AttemptState.FAILED)
_NUMBER = (int, float)
_is: Callable[[Any, Any], bool] = isinstance
#: of the fields of a record, as JSON gives them
_TYPES = (
    int, int, str, str, int, _NUMBER, _NUMBER, str, str, str, (int, type(None)), str, list,
)  # fmt: skip


def batch_message(batch: Batch, ordinals: Sequence[int]) -> Message:
    """Write what a worker is to run of a batch."""
    if isinstance(batch.positions, range) and isinstance(ordinals, range) and not batch.numbers:
        part = batch.positions[ordinals.start : ordinals.stop]
        return {"batch": batch.id, "start": part.start, "stop": part.stop}
    return {
        "batch": batch.id,
        "positions": [batch.positions[each] for each in ordinals],
        "numbers": [batch.number(each) for each in ordinals],
        "points": [
            (batch.points[each].parameters, batch.points[each].repeat)
            for each in (ordinals if batch.points else ())
        ],
    }


def read_end(message: Message, batch: Batch, done: int, given: int) -> int:
    """Read how many trials of a batch a worker has done.

    Raises
    ------
    ValueError
        Something else than the worker has written the message.
    """
    unrun = message.get("unrun")
    if message["ended"] != batch.id or type(unrun) is not int or not done <= unrun <= given:
        raise ValueError(f"{unrun} of {given} trials, after {done}")
    return unrun


def read_outcomes(message: Message, batch: Batch, ordinals: Sequence[int]) -> Outcomes:
    """Read what a worker tells of the next trials of a batch.

    Raises
    ------
    ValueError
        Something else than the worker has written the message.
    """
    try:
        shapes = [Shape(tuple(names), tuple(types)) for names, types in message["shapes"]]
        records = [_record(each) for each in message["records"]]
        parameters = frozenset(message["parameters"])
        excluded = int(message["excluded"])
        if message["outcomes"] != batch.id or not _are_texts(parameters, *map(_texts, shapes)):
            raise ValueError("it is not of this batch")
        there = len(records) + excluded
        given = (batch.positions[each] for each in islice(ordinals, there))
        for record in records:
            _check(record, shapes)
            if record.position not in given:  # the search goes on behind the last one found
                raise ValueError(f"position {record.position} is not in its place")
    except (TypeError, KeyError, IndexError) as error:
        raise ValueError(f"no outcomes: {error!r}") from error
    if excluded < 0 or there > len(ordinals):
        raise ValueError(f"{there} outcomes of {len(ordinals)} trials")
    return Outcomes(
        batch=batch.id, shapes=shapes, records=records, parameters=parameters, excluded=excluded
    )


def _record(fields: Sequence[Any]) -> AttemptRecord:
    """Read a record; what only an executor knows isn't a worker's to say."""
    if len(fields) != len(_TYPES):
        raise ValueError(f"a record of {len(fields)} fields")
    return AttemptRecord(*fields)


def _texts(shape: Shape) -> tuple[str, ...]:
    return (*shape.names, *shape.types)


def _are_texts(*groups: Iterable[object]) -> bool:
    return all(isinstance(each, str) for group in groups for each in group)


def _check(record: AttemptRecord, shapes: Sequence[Shape]) -> None:
    if not all(map(_is, record, _TYPES)) or record.state not in _ENDS:
        raise ValueError(f"position {record.position} ended in no way that there is")
    for shape, values in record.rows:
        if len(values) != len(shapes[shape].names):
            raise ValueError(f"position {record.position} has a row that doesn't fit")
