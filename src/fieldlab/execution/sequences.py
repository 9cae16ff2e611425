"""Low-discrepancy sequences, from scipy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fieldlab.domain.errors import BadInput, MissingExtra

if TYPE_CHECKING:
    from scipy.stats import qmc

#: points drawn at a time; a power of two, as the sequence is balanced in such blocks
BLOCK = 1024
#: bits of each number and of the length; with more, scipy (1.17) can't skip forward
BITS = 32


class SobolSequence:
    """A scrambled Sobol' sequence whose points can be had in any order.

    ``scipy.stats.qmc.Sobol(scramble=True)``: direction numbers of S. Joe and F. Y. Kuo (2008), a
    left matrix scramble with a digital shift. Point *i* is the same whatever was drawn before.
    Going back starts over, which takes time in proportion to *i*.
    """

    def __init__(self, dimensions: int, seed: int) -> None:
        self._dimensions = dimensions
        self._seed = seed
        self._engine = self._fresh()
        self._next_block = 0
        self._held: tuple[int, list[list[float]]] = (-1, [])

    def unit(self, i: int, /) -> Sequence[float]:
        """Give point ``i`` of the sequence, one number in [0, 1) per dimension."""
        block, place = divmod(i, BLOCK)
        if self._held[0] != block:
            if block >= 2**BITS // BLOCK:
                raise BadInput(
                    f"a sobol sample has {2**BITS} points and no point {i}",
                    remedy="Use method: random",
                )
            self._held = (block, self._drawn(block))
        return self._held[1][place]

    def _drawn(self, block: int) -> list[list[float]]:
        if block < self._next_block:
            self._engine = self._fresh()
            self._next_block = 0
        if block > self._next_block:
            self._engine.fast_forward((block - self._next_block) * BLOCK)
        self._next_block = block + 1
        drawn: list[list[float]] = self._engine.random(BLOCK).tolist()
        return drawn

    def _fresh(self) -> qmc.Sobol:
        try:
            from scipy.stats import qmc
        except ImportError:
            raise MissingExtra("sampling", "a sobol sample") from None
        return qmc.Sobol(self._dimensions, scramble=True, bits=BITS, rng=self._seed)


def quasi_sequence(method: str, dimensions: int, seed: int) -> SobolSequence:
    """Make the sequence of a sampling method, see ``QuasiSource`` in the domain.

    Raises
    ------
    BadInput
        The method isn't one of low discrepancy, or has too many dimensions.
    MissingExtra
        scipy isn't installed.
    """
    if method != "sobol":
        raise BadInput(f"there is no sequence '{method}'", remedy="Use method: sobol")
    try:
        return SobolSequence(dimensions, seed)
    except ValueError as error:
        raise BadInput(
            f"a sobol sample of {dimensions} axes can't be drawn: {error}",
            remedy="Use method: random",
        ) from error
