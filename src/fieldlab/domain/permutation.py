"""Keyed permutations of ``range(size)``: any order of a huge range, one element at a time."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

#: ranges up to this size are shuffled outright, which is uniform over all their orders
_SHUFFLED_SIZE = 1024
#: halves of a wider range don't fit the 64-bit round function well and get a hash instead
_NARROW_SIZE = 1 << 80
_ROUNDS = 8
_MASK = (1 << 64) - 1
#: multipliers of the mixing function MurmurHash3 ends in (fmix64; Austin Appleby, public domain)
_M1 = 0xFF51AFD7ED558CCD
_M2 = 0xC4CEB9FE1A85EC53


class Permutation:
    """A bijection of ``range(size)`` that a seed and a label choose, in O(1) memory.

    A generalised Feistel network over two halves of nearly equal size with cycle walking: J. Black,
    P. Rogaway, *Ciphers with Arbitrary Finite Domains*, CT-RSA 2002. Its eight round keys are
    BLAKE2b (RFC 7693) of seed and label; the rounds mix 64-bit integers, or hash where a half is
    wider than that serves. Ranges up to 1024 are sorted by hash instead. It is integer arithmetic
    only: the same on every machine. It shuffles; it keeps no secrets.
    """

    __slots__ = ("_first", "_keys", "_second", "_table", "size")

    def __init__(self, size: int, seed: int, label: str = "") -> None:
        if size < 1:
            raise ValueError(f"a permutation needs at least one element, not {size}")
        self.size = size
        self._table: tuple[int, ...] = ()
        name = f"fieldlab permutation\0{label}\0{seed}".encode()
        if size <= _SHUFFLED_SIZE:
            order = sorted(range(size), key=_hashed(name))
            self._table = tuple(order)
        self._first = math.isqrt(size - 1) + 1
        self._second = -(-size // self._first)
        key = hashlib.blake2b(name, digest_size=8 * _ROUNDS).digest()
        self._keys = tuple(
            (int.from_bytes(key[at : at + 8], "big"), int.from_bytes(key[at + 8 : at + 16], "big"))
            for at in range(0, len(key), 16)
        )

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> int:
        """Give the element at ``index``.

        Raises
        ------
        IndexError
            ``index`` is not in ``range(size)``.
        """
        if not 0 <= index < self.size:
            raise IndexError(f"{index} is outside a permutation of {self.size} elements")
        if self._table:
            return self._table[index]
        once = self._mixed if self.size <= _NARROW_SIZE else self._hashed
        index = once(index)
        while index >= self.size:
            index = once(index)
        return index

    def _mixed(self, index: int) -> int:
        first, second = self._first, self._second
        right, left = divmod(index, first)
        for even, odd in self._keys:
            mixed = ((right ^ even) * _M1) & _MASK
            mixed = ((mixed ^ mixed >> 32) * _M2) & _MASK
            left = (left + (mixed ^ mixed >> 29)) % first
            mixed = ((left ^ odd) * _M1) & _MASK
            mixed = ((mixed ^ mixed >> 32) * _M2) & _MASK
            right = (right + (mixed ^ mixed >> 29)) % second
        return right * first + left

    def _hashed(self, index: int) -> int:
        first, second = self._first, self._second
        right, left = divmod(index, first)
        for even, odd in self._keys:
            left = (left + _wide(even, right, first)) % first
            right = (right + _wide(odd, left, second)) % second
        return right * first + left


def _wide(key: int, number: int, size: int) -> int:
    """Hash a number of any width to one with 64 bits more than ``size``."""
    width = number.bit_length() // 8 + 1
    count = -(-(size.bit_length() + 64) // 512)
    text = b"".join(
        hashlib.blake2b(
            number.to_bytes(width, "big") + part.to_bytes(8, "big"), key=key.to_bytes(8, "big")
        ).digest()
        for part in range(count)
    )
    return int.from_bytes(text, "big")


def _hashed(name: bytes) -> Callable[[int], bytes]:
    keyed = hashlib.blake2b(name, digest_size=16)

    def rank(number: int) -> bytes:
        ranked = keyed.copy()
        ranked.update(b"\0" + number.to_bytes(8, "big"))
        return ranked.digest()

    return rank
