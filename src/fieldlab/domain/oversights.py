"""What a space may say but hardly means: exclusions that leave nothing, or that fit no point."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from typing import Any

from fieldlab.domain.axes import value_key
from fieldlab.domain.errors import Problem
from fieldlab.domain.fields import Key, entries
from fieldlab.domain.ids import Value
from fieldlab.domain.parameters import TrialSequence
from fieldlab.domain.space_reading import Block, read_space
from fieldlab.domain.spaces import Factor

#: positions that are looked at from the first on, and as many more at random
LOOKED_AT = 10_000
#: a look takes no longer than this, s
_LONGEST_LOOK_S = 0.15


def oversights(space: Mapping[str, Any], sequence: TrialSequence) -> list[Problem]:
    """Find what was probably not meant in a space that can be run.

    Parameters
    ----------
    space, sequence
        A definition's space, and the sequence of trials made from it.

    Raises
    ------
    BadExpression
        An exclusion can't decide for one of the positions that were looked at.
    """
    return [*_unmatched(space), *_nothing_left(sequence)]


def _nothing_left(sequence: TrialSequence) -> Iterator[Problem]:
    """Look whether exclusions that are decided while running leave anything, as far as time is."""
    if not sequence.streams or sequence.positions is None:
        return
    chosen = random.Random(0)
    end = time.monotonic() + _LONGEST_LOOK_S
    looked = 0
    for number in range(2 * min(LOOKED_AT, sequence.positions)):
        # by turns, so that a look that ends early has been at both
        position = chosen.randrange(sequence.positions) if number % 2 else number // 2
        if sequence[position] is not None:
            return
        looked = number + 1
        if time.monotonic() > end:
            break
    yield Problem(
        what=f"none of the first {-(-looked // 2):,} positions is left, nor of {looked // 2:,}"
        f" random ones among {sequence.positions:,}",
        remedy="If they leave nothing at all, a run searches in vain: check the expressions",
        key=("space", "exclude"),
    )


def _unmatched(space: Mapping[str, Any]) -> Iterator[Problem]:
    """Find excluded points that no point of the space is like."""
    spec = read_space(space, [])
    if spec is None:
        return
    root: Key = ("space",)
    parts: list[tuple[Key, Any, list[Block]]] = [(root, space, spec.blocks)]
    within = [block for block in spec.blocks if block.key != root]
    parts += [(block.key, space["blocks"][block.key[-1]], [block]) for block in within]
    for key, data, blocks in parts:
        included = [*spec.include, *(point for block in blocks for point in block.include)]
        for place, entry in entries(data, "exclude", key, []):
            if not isinstance(entry, Mapping) or any(_meets(block, entry) for block in blocks):
                continue
            if not any(_agrees(point, entry) for point in included):
                said = ", ".join(f"{name}: {value}" for name, value in entry.items())
                yield Problem(
                    what=f"no point of the space has {said}, so nothing is left out",
                    remedy="Check the values against the axes, or remove the entry",
                    key=place,
                )


def _meets(block: Block, wanted: Mapping[str, Value]) -> bool:
    """Whether a block's axes have the wanted values; a continuous one may have any."""
    factors = [each for each in block.dimensions if isinstance(each, Factor)]
    return bool(block.dimensions) and all(
        factor.places(wanted) for factor in factors if any(name in wanted for name in factor.names)
    )


def _agrees(point: Mapping[str, Value], wanted: Mapping[str, Value]) -> bool:
    return all(
        name in point and value_key(point[name]) == value_key(value)
        for name, value in wanted.items()
    )
