"""Reading a definition's ``space`` and telling everything that is wrong with it at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from fieldlab.domain.axes import Axis, Continuous, Values, value_key
from fieldlab.domain.axis_reading import check_names, read_axis, read_value
from fieldlab.domain.errors import Problem
from fieldlab.domain.exclusions import Rule
from fieldlab.domain.fields import Key, check_keys, key_part, one_of, whole
from fieldlab.domain.ids import Point
from fieldlab.domain.point_reading import check_same_names, read_exclude, read_include
from fieldlab.domain.sampling import Drawn
from fieldlab.domain.spaces import Factor

_BLOCK_KEYS = ("matrix", "zip", "include", "exclude")
_SPACE_KEYS = (*_BLOCK_KEYS, "blocks", "sample", "repeat", "order", "seed", "submitted")
_SAMPLE_KEYS = ("count", "seed", "method")
METHODS = ("random", "sobol", "latin-hypercube")
ORDERS = ("sequential", "shuffled")


@dataclass(slots=True)
class Block:
    """One product of axes with its extra and its forbidden points."""

    key: Key
    dimensions: list[Factor | Drawn] = field(default_factory=list)
    include: list[Point] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, ...]:
        if not self.dimensions and self.include:
            return tuple(self.include[0])
        return tuple(name for dimension in self.dimensions for name in dimension.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSpec:
    """How points are drawn; a ``count`` of None draws until the space is used up."""

    count: int | None
    seed: int
    method: str


@dataclass(slots=True)
class SpaceSpec:
    """A whole space as it was written, every part of it checked by itself."""

    blocks: list[Block]
    #: points and exclusions next to ``blocks``, which go for all of them
    include: list[Point]
    rules: list[Rule]
    sample: SampleSpec | None
    repeat: int
    shuffled: bool
    seed: int
    #: parameters of points that come one by one while it runs, instead of all of the above
    submitted: tuple[str, ...] = ()

    @property
    def drawn(self) -> list[Drawn]:
        """The continuous axes."""
        return [
            axis for block in self.blocks for axis in block.dimensions if isinstance(axis, Drawn)
        ]


def read_space(space: object, problems: list[Problem]) -> SpaceSpec | None:
    """Read a space, adding what is wrong to ``problems``; None when it isn't even a mapping."""
    root: Key = ("space",)
    if not isinstance(space, Mapping):
        problems.append(
            Problem(what="the space is not a mapping", remedy="Write space: {matrix: …}", key=root)
        )
        return None
    check_keys(space, _SPACE_KEYS, root, problems)
    seed = whole(space, "seed", root, problems, default=0, least=0)
    spec = SpaceSpec(
        blocks=[],
        include=[],
        rules=[],
        sample=_read_sample(space, seed, problems),
        repeat=whole(space, "repeat", root, problems, default=1, least=1),
        shuffled=one_of(space, "order", ORDERS, root, problems) == "shuffled",
        seed=seed,
    )
    if "submitted" in space:
        spec.submitted = _read_submitted(space, problems)
    elif "blocks" not in space:
        spec.blocks.append(_read_block(space, root, problems))
        _check_has_axes(space, spec.blocks[0], problems)
    else:
        _read_blocks(space, spec, problems)
    return spec


def _read_submitted(space: Mapping[Any, Any], problems: list[Problem]) -> tuple[str, ...]:
    """Read the names of parameters whose values nobody knows yet."""
    key: Key = ("space", "submitted")
    names = space["submitted"]
    problems.extend(
        Problem(
            what=f"'{other}' can't stand beside 'submitted': the points come one by one",
            remedy="Leave one of them out",
            key=("space", other),
        )
        for other in _SPACE_KEYS
        if other in space and other != "submitted"
    )
    if not isinstance(names, list | tuple) or not names:
        problems.append(
            Problem(
                what="'submitted' needs a list of parameter names",
                remedy="Write submitted: [x, y]",
                key=key,
            )
        )
        return ()
    check_names([(name, (*key, number)) for number, name in enumerate(names)], problems)
    return tuple(str(name) for name in names)


def _check_has_axes(space: Mapping[Any, Any], block: Block, problems: list[Problem]) -> None:
    if block.names or any(key in space for key in ("matrix", "zip", "include")):
        return
    problems.extend(
        Problem(
            what=f"there is nothing to {key}: the space has no axes",
            remedy="Add 'matrix', 'zip', 'include' or 'blocks'",
            key=("space", key),
        )
        for key in ("sample", "exclude")
        if key in space
    )


def _read_blocks(space: Mapping[Any, Any], spec: SpaceSpec, problems: list[Problem]) -> None:
    root: Key = ("space",)
    problems.extend(
        Problem(
            what=f"'{key}' can't stand beside 'blocks'",
            remedy="Make it a block of its own",
            key=(*root, key),
        )
        for key in ("matrix", "zip")
        if key in space
    )
    listed = space["blocks"]
    if not isinstance(listed, list | tuple) or not listed:
        problems.append(
            Problem(
                what="'blocks' needs a list of blocks, at least one",
                remedy="Write blocks: [{matrix: …}, {matrix: …}]",
                key=(*root, "blocks"),
            )
        )
        return
    for number, entry in enumerate(listed):
        place: Key = (*root, "blocks", number)
        if not isinstance(entry, Mapping):
            problems.append(Problem(what="a block is a mapping", key=place))
            continue
        check_keys(entry, _BLOCK_KEYS, place, problems)
        block = _read_block(entry, place, problems)
        if block.names:
            spec.blocks.append(block)
        elif not any(problem.key[: len(place)] == place for problem in problems):
            problems.append(Problem(what="the block has no axes", remedy="Remove it", key=place))
    if not spec.blocks:
        return
    names = spec.blocks[0].names
    for block in spec.blocks[1:]:
        check_same_names(block.names, names, block.key, "the first block", problems)
    spec.include = read_include(space, names, root, problems)
    spec.rules = read_exclude(space, names, root, problems)


def _read_block(data: Mapping[Any, Any], key: Key, problems: list[Problem]) -> Block:
    block = Block(key)
    named: list[tuple[Any, Key]] = []
    if "matrix" in data:
        _read_matrix(data["matrix"], (*key, "matrix"), block, named, problems)
    if "zip" in data:
        groups = data["zip"]
        groups = [groups] if isinstance(groups, Mapping) else groups
        if not isinstance(groups, list | tuple):
            problems.append(Problem(what="'zip' needs a list of mappings", key=(*key, "zip")))
            groups = []
        for number, group in enumerate(groups):
            _read_zip(group, (*key, "zip", number), block, named, problems)
    check_names(named, problems)
    names = [name for name, _ in named if isinstance(name, str)]
    block.include = read_include(data, names, key, problems)
    if not names and block.include:
        names = list(block.include[0])
        check_names([(name, (*key, "include", 0, name)) for name in names], problems)
    block.rules = read_exclude(data, names, key, problems) if names else []
    return block


def _read_matrix(
    matrix: object,
    key: Key,
    block: Block,
    named: list[tuple[Any, Key]],
    problems: list[Problem],
) -> None:
    if not isinstance(matrix, Mapping) or not matrix:
        problems.append(
            Problem(
                what="'matrix' needs a mapping of axes, at least one",
                remedy="Write matrix: {size: [1, 2]}, or leave it out",
                key=key,
            )
        )
        return
    for name, data in matrix.items():
        place = (*key, key_part(name))
        named.append((name, place))
        axis = read_axis(data, place, problems)
        if axis is None or not isinstance(name, str):
            continue
        if _is_continuous(axis):
            block.dimensions.append(Drawn(name, cast("Continuous", axis)))
        else:
            block.dimensions.append(Factor((name,), (cast("Axis", axis),)))


def _read_zip(
    group: object,
    key: Key,
    block: Block,
    named: list[tuple[Any, Key]],
    problems: list[Problem],
) -> None:
    if not isinstance(group, Mapping) or not group:
        problems.append(
            Problem(
                what="an entry of 'zip' is a mapping of axes, at least one",
                remedy="Write zip: [{rate: [10, 100], burst: [1, 4]}]",
                key=key,
            )
        )
        return
    axes: dict[str, Axis] = {}
    for name, data in group.items():
        place = (*key, key_part(name))
        named.append((name, place))
        axis = _zipped_axis(data, place, problems)
        if axis is not None:
            axes[key_part(name)] = axis
    if len(axes) < len(group):
        return
    if len({axis.size for axis in axes.values()}) > 1:
        sizes = ", ".join(f"'{name}' has {axis.size}" for name, axis in axes.items())
        problems.append(
            Problem(
                what=f"zipped axes need equal lengths: {sizes}",
                remedy="Give each as many values, or use 'matrix' for every combination",
                key=key,
            )
        )
        return
    factor = Factor(tuple(axes), tuple(axes.values()))
    if not _repeats_row(factor, key, problems):
        block.dimensions.append(factor)


def _zipped_axis(data: object, key: Key, problems: list[Problem]) -> Axis | None:
    """Read an axis of a zip, where one value may come several times beside different others."""
    listed = data["choice"] if isinstance(data, Mapping) and set(data) == {"choice"} else data
    if isinstance(listed, list | tuple) and listed:
        fine = [read_value(value, (*key, at), problems) for at, value in enumerate(listed)]
        return Values(tuple(listed)) if all(fine) else None
    axis = read_axis(data, key, problems)
    if axis is not None and _is_continuous(axis):
        problems.append(
            Problem(
                what="a continuous axis can't be zipped",
                remedy="Move it to 'matrix'",
                key=key,
            )
        )
        return None
    return cast("Axis | None", axis)


def _repeats_row(factor: Factor, key: Key, problems: list[Problem]) -> bool:
    if not all(isinstance(axis, Values) for axis in factor.axes):
        return False
    seen: dict[object, int] = {}
    for place in range(factor.size):
        row = tuple(value_key(axis[place]) for axis in factor.axes)
        first = seen.setdefault(row, place)
        if first != place:
            problems.append(
                Problem(
                    what=f"entries {first + 1} and {place + 1} of the zipped axes are the same",
                    remedy="Remove one; to run every point several times use 'repeat'",
                    key=key,
                )
            )
            return True
    return False


def _read_sample(space: Mapping[Any, Any], seed: int, problems: list[Problem]) -> SampleSpec | None:
    if "sample" not in space:
        return None
    key: Key = ("space", "sample")
    data = space["sample"]
    if not isinstance(data, Mapping):
        problems.append(
            Problem(
                what="'sample' needs a mapping",
                remedy="Write sample: {count: 200, seed: 7}",
                key=key,
            )
        )
        return None
    check_keys(data, _SAMPLE_KEYS, key, problems)
    count = whole(data, "count", key, problems, default=0, least=1) if "count" in data else None
    return SampleSpec(
        count=count,
        seed=whole(data, "seed", key, problems, default=seed, least=0),
        method=one_of(data, "method", METHODS, key, problems),
    )


def _is_continuous(axis: Axis | Continuous) -> bool:
    return hasattr(axis, "at")
