"""The parameters of a test, as AutoPerf calls them, and the names that it makes of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Self

from fieldlab.domain.errors import BadInput, nearest
from fieldlab.domain.ids import Point, Value

#: parameter → least and, if it has one, greatest value; the switches have none
INTEGERS: Mapping[str, tuple[int, int | None]] = {
    "duration_secs": (1, None),
    "datalen_bytes": (0, None),
    "pub_count": (1, None),
    "sub_count": (1, None),
    "durability_level": (0, 3),
    "latency_count": (1, None),
}
SWITCHES = ("use_reliable", "use_multicast")
#: all of them, in the order of a test's name
PARAMETERS = (
    "duration_secs",
    "datalen_bytes",
    "pub_count",
    "sub_count",
    "use_reliable",
    "use_multicast",
    "durability_level",
    "latency_count",
)
#: more digits than this has no database's integer
_NUMBER = r"\d{1,18}"
_NAME = re.compile(
    rf"(?P<duration_secs>{_NUMBER})SEC_(?P<datalen_bytes>{_NUMBER})B_"
    rf"(?P<pub_count>{_NUMBER})P(?:UB)?_(?P<sub_count>{_NUMBER})S(?:UB)?_"
    r"(?P<use_reliable>REL|BE)_(?P<use_multicast>MC|UC)_"
    rf"(?P<durability_level>{_NUMBER})DUR_(?P<latency_count>{_NUMBER})LC",
    re.IGNORECASE | re.ASCII,
)
_LONGEST_SHOWN = 100
_EXAMPLE = "300SEC_100B_1PUB_3SUB_REL_MC_0DUR_100LC"


def fault_of(name: str, value: object) -> str:
    """Say what is wrong with a parameter's value; nothing if it is fine."""
    if name in SWITCHES:
        return "" if isinstance(value, bool) else f"{name} must be true or false, not {value!r}"
    least, greatest = INTEGERS[name]
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and least <= value
        and (greatest is None or value <= greatest)
    ):
        return ""
    span = f"of at least {least}" if greatest is None else f"from {least} to {greatest}"
    return f"{name} must be an integer {span}, not {value!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestName:
    """What a test of AutoPerf is called: its parameters."""

    __test__: ClassVar[bool] = False  # nothing for pytest to collect

    duration_secs: int
    datalen_bytes: int
    pub_count: int
    sub_count: int
    use_reliable: bool
    use_multicast: bool
    durability_level: int
    latency_count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name, in either spelling: ``…_1PUB_3SUB_…`` and ``…_1P_3S_…``.

        Raises
        ------
        BadInput
            It isn't one, or it names what no test can have.
        """
        found = _NAME.fullmatch(text)
        if found is None:
            raise BadInput(
                f"{_shown(text)} is not the name of a test{_first_fault(text)}",
                remedy=f"A name looks like {_EXAMPLE}",
            )
        point: Point = {name: int(found[name]) for name in INTEGERS}
        point["use_reliable"] = found["use_reliable"].upper() == "REL"
        point["use_multicast"] = found["use_multicast"].upper() == "MC"
        return cls.of(point)

    @classmethod
    def of(cls, point: Mapping[str, Value]) -> Self:
        """Take the parameters of a test from a point, which may have others too.

        Raises
        ------
        BadInput
            One is missing, or has a value that no test can have.
        """
        faults = []
        for name in PARAMETERS:
            if name not in point:
                hint = nearest(name, point)
                faults.append(f"{name} is missing{f' ({hint})' if hint else ''}")
            elif fault := fault_of(name, point[name]):
                faults.append(fault)
        if faults:
            remedy = "Make it a parameter of the space, or a fixed value in the tool's options"
            raise BadInput(f"This is no test: {'; '.join(faults)}", remedy=remedy)
        return cls(**{name: point[name] for name in PARAMETERS})  # type: ignore[arg-type]

    def __str__(self) -> str:
        return self._written("PUB", "SUB")

    def short(self) -> str:
        """Write it in the other spelling: ``…_1P_3S_…``."""
        return self._written("P", "S")

    def _written(self, pub: str, sub: str) -> str:
        return (
            f"{self.duration_secs}SEC_{self.datalen_bytes}B_"
            f"{self.pub_count}{pub}_{self.sub_count}{sub}_"
            f"{'REL' if self.use_reliable else 'BE'}_{'MC' if self.use_multicast else 'UC'}_"
            f"{self.durability_level}DUR_{self.latency_count}LC"
        )

    def point(self) -> Point:
        """Give the parameters as a point of a space."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…")


def _first_fault(text: str) -> str:
    """Say which part of a name is the first that is wrong."""
    shapes = (
        (rf"{_NUMBER}SEC", "300SEC"),
        (rf"{_NUMBER}B", "100B"),
        (rf"{_NUMBER}P(UB)?", "1PUB"),
        (rf"{_NUMBER}S(UB)?", "3SUB"),
        (r"REL|BE", "REL or BE"),
        (r"MC|UC", "MC or UC"),
        (rf"{_NUMBER}DUR", "0DUR"),
        (rf"{_NUMBER}LC", "100LC"),
    )
    parts = text.split("_")
    for (shape, example), part in zip(shapes, parts, strict=False):
        if not re.fullmatch(shape, part, re.IGNORECASE | re.ASCII):
            return f": {_shown(part)} stands where {example} should"
    return f": it has {len(parts)} parts, and must have {len(shapes)}"
