"""Identities: time-ordered ids for what happens, fingerprints for what things are."""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Mapping

#: a parameter's value: what JSON can say, less the containers
Value = bool | int | float | str | None
#: a point of a parameter space: parameter name → value
Point = dict[str, Value]

#: hexadecimal digits of a fingerprint: in 80 bits, two of 10^9 trials collide with odds below 10^-6
FINGERPRINT_DIGITS = 20


def uuid7() -> str:
    """Make a UUID version 7 (RFC 9562, section 5.7): ids made later sort later.

    Returns
    -------
    str
        36 characters, lower case: 48 bits of Unix time in ms, then 74 random bits.
    """
    return _uuid7(time.time_ns() // 1_000_000, int.from_bytes(os.urandom(10), "big"))


def uuid7_at(moment: float) -> str:
    """Give the first id that could be made at a moment (Unix time, s): others sort after it."""
    return _uuid7(int(moment * 1000), 0)


def _uuid7(milliseconds: int, noise: int) -> str:
    value = (milliseconds & (1 << 48) - 1) << 80 | noise
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def canonical(value: object) -> str:
    """Write plain data as the one JSON text that equal data share.

    Keys are sorted and white space is left out. A float that is a whole number (below 2^53) is
    written as that integer, so ``1`` and ``1.0`` are the same content; ``True`` is not ``1``.
    """
    return _encode(_whole(value))


def _whole(value: object) -> object:
    if type(value) is float:
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, Mapping):
        return {str(key): _whole(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(item) for item in value]
    return value


def digest(value: object) -> str:
    """Fingerprint any plain data: BLAKE2b (RFC 7693) of its canonical JSON, in hexadecimal."""
    return _hash(canonical(value))


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=FINGERPRINT_DIGITS // 2).hexdigest()


def fingerprint(point: Mapping[str, Value], repeat: int) -> str:
    """Fingerprint a trial: its parameters and which repeat it is (counted from 1).

    The order of the parameters doesn't matter, nor whether a whole number was written as a float.
    """
    return fingerprint_of(canonical(point), repeat)


def fingerprint_of(parameters: str, repeat: int) -> str:
    """Fingerprint a trial whose parameters are canonical JSON already."""
    return _hash(f"[{parameters},{repeat}]")


def trial_name(parameters: str, repeat: int) -> str:
    """Name a trial for people: ``delta=0.5 rho=0.1``, with ``#2`` for a second repeat.

    Parameters
    ----------
    parameters
        Its point as canonical JSON.
    """
    if ':"' not in parameters:  # no text among the values, and parameters are identifiers
        name = parameters[1:-1].translate(_PLAIN)
    else:
        point = json.loads(parameters)
        name = " ".join(f"{name}={_word(value)}" for name, value in point.items())
    return f"{name} #{repeat}".lstrip() if repeat > 1 or not name else name


_PLAIN = str.maketrans({'"': None, ":": "=", ",": " "})


def _word(value: object) -> str:
    return " ".join(value.split()) if isinstance(value, str) else json.dumps(value)
