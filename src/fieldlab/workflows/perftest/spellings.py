"""Keys that were called otherwise in each generation of AutoPerf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fieldlab.workflows.options import Options


def naming(
    part: Options, spellings: Mapping[str, Sequence[str]], others: Sequence[str] = ()
) -> dict[str, str]:
    """Find what each meaning is called in a mapping; keys of no meaning are noted.

    Returns
    -------
    dict of str to str
        Meaning → the key that is there; absent where none is.
    """
    part.only(*(name for names in spellings.values() for name in names), *others)
    found: dict[str, str] = {}
    for meaning, names in spellings.items():
        there = [name for name in names if name in part]
        if len(there) > 1:
            part.note(f"'{there[0]}' and '{there[1]}' say the same", "Keep one of them", there[1])
        if there:
            found[meaning] = there[0]
    return found
