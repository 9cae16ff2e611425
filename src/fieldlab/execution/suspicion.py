"""Which trial kills the keeper, when all that run beside it die with it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence


class Suspicion:
    """Remembers which trials ran when the keeper died.

    Once it may be an accident. Those to which it has happened twice are run apart from each other;
    the one of them that runs when it happens again is the culprit.
    """

    def __init__(self) -> None:
        #: held while trials run that have seen the keeper die twice
        self.apart = asyncio.Lock()
        self._seen: Counter[int] = Counter()
        self._guilty: set[int] = set()

    def keeper_died(self, running: Iterable[int]) -> None:
        """Take note of the positions that were running."""
        now = set(running)
        self._seen.update(now)
        repeated = self.suspects(now)
        self._guilty = set(repeated) if len(repeated) == 1 else set()

    def suspects(self, positions: Iterable[int]) -> list[int]:
        """Pick those that have seen the keeper die more than once."""
        return [each for each in positions if self._seen[each] > 1] if self._seen else []

    def is_guilty(self, position: int) -> bool:
        """Whether the keeper's last death is this trial's doing, as far as can be told."""
        return position in self._guilty

    def clear(self, positions: Sequence[int]) -> None:
        """Forget trials that have ended by themselves."""
        if self._seen:
            for each in positions:
                self._seen.pop(each, None)
