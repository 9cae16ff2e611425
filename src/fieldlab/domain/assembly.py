"""Putting a space together from its checked parts: blocks, exclusions, sample and order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fieldlab.domain.errors import BadExpression, BadInput, Problem
from fieldlab.domain.exclusions import ContainedRule, PointsRule, Rule, excluded
from fieldlab.domain.filtering import without
from fieldlab.domain.ids import Point
from fieldlab.domain.sampling import (
    CounterUnits,
    Draws,
    LatinHypercube,
    QuasiSource,
    Sample,
    SampledPositions,
    UnitSequence,
)
from fieldlab.domain.space_reading import Block, SampleSpec, SpaceSpec, read_space
from fieldlab.domain.spaces import (
    Factor,
    Grid,
    Joined,
    JoinedPositions,
    Listed,
    ParameterSpace,
    Positions,
    Submitted,
)

#: draws that are tried to find one that isn't excluded before the exclusions are called wrong
_PROBED_DRAWS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """What a sequence of trials is made of."""

    source: ParameterSpace | Positions
    repeat: int
    shuffle_seed: int | None
    #: whether some exclusions are decided point by point
    streams: bool
    #: stop after so many trials
    limit: int | None


def assemble(space: Mapping[str, Any], quasi: QuasiSource | None) -> Assembled:
    """Read and assemble a space, see :func:`fieldlab.domain.parameters.sequence_from`."""
    problems: list[Problem] = []
    spec = read_space(space, problems)
    if spec is not None:
        _check_drawn(spec, problems)
    if spec is None or problems:
        raise BadInput.of(problems)
    if spec.submitted:
        return Assembled(
            source=Submitted(spec.submitted),
            repeat=1,
            shuffle_seed=None,
            streams=False,
            limit=None,
        )
    if spec.sample is not None and _draws_axes(spec):
        return _drawn(spec, spec.sample, quasi)
    return _indexed(spec)


def _draws_axes(spec: SpaceSpec) -> bool:
    """Say whether axes are drawn one by one, not points from the whole space."""
    return spec.sample is not None and (bool(spec.drawn) or spec.sample.method != "random")


def _check_drawn(spec: SpaceSpec, problems: list[Problem]) -> None:
    if spec.sample is None:
        problems.extend(
            Problem(
                what=f"the axis '{axis.name}' is continuous, so it has no values to go through",
                remedy="Add sample: {count: 200}, or use linspace or logspace",
                key=("space", "matrix", axis.name),
            )
            for axis in spec.drawn
        )
    if spec.sample is None or not _draws_axes(spec):
        return
    why = "continuous axes" if spec.drawn else f"method: {spec.sample.method}"
    if len(spec.blocks) > 1:
        problems.append(
            Problem(
                what=f"'blocks' can't be sampled with {why}",
                remedy="Use one matrix, or lists and ranges with method: random",
                key=("space", "blocks"),
            )
        )
    if spec.include or any(block.include for block in spec.blocks):
        problems.append(
            Problem(
                what=f"'include' can't be sampled with {why}",
                remedy="Run the included points as an experiment without 'sample'",
                key=("space", "include"),
            )
        )
    if spec.sample.method == "latin-hypercube" and spec.sample.count is None:
        problems.append(
            Problem(
                what="a latin-hypercube sample needs a count: it cuts every axis into that many",
                remedy="Add count: 200",
                key=("space", "sample"),
            )
        )


def _drawn(spec: SpaceSpec, sample: SampleSpec, quasi: QuasiSource | None) -> Assembled:
    block = spec.blocks[0]
    rules = [*block.rules, *spec.rules]
    if not spec.drawn:
        _check_count(sample, _grid_of(block).size, exact=not rules)
    # A hypercube has as many draws as it has strata; otherwise one that is left out is made up for.
    ends = sample.method == "latin-hypercube" or not rules
    draws = Draws(
        block.dimensions,
        _units(block, sample, quasi),
        sample.count if ends else None,
        rules,
    )
    if rules:
        _check_some_kept(draws)
    return _ordered(
        spec,
        draws,
        streams=bool(rules),
        limit=None if ends or sample.count is None else sample.count * spec.repeat,
    )


def _ordered(
    spec: SpaceSpec, source: ParameterSpace | Positions, *, streams: bool, limit: int | None
) -> Assembled:
    if spec.shuffled and (source.size is None or limit is not None):
        raise BadInput(
            "only a sequence whose length is known in advance can be shuffled",
            remedy="Leave 'order' out: a sample is in random order already",
            key=("space", "order"),
        )
    return Assembled(
        source=source,
        repeat=spec.repeat,
        shuffle_seed=spec.seed if spec.shuffled else None,
        streams=streams,
        limit=limit,
    )


def _units(block: Block, sample: SampleSpec, quasi: QuasiSource | None) -> UnitSequence:
    labels = ["+".join(dimension.names) for dimension in block.dimensions]
    if sample.method == "random":
        return CounterUnits(labels, sample.seed)
    if sample.method == "latin-hypercube":
        assert sample.count is not None
        return LatinHypercube(labels, sample.count, sample.seed)
    if quasi is None:
        raise BadInput(
            f"method '{sample.method}' isn't available here",
            remedy="Use method: random or latin-hypercube",
            key=("space", "sample", "method"),
        )
    return quasi(sample.method, len(labels), sample.seed)


def _check_some_kept(draws: Draws) -> None:
    tried = min(_PROBED_DRAWS, draws.size or _PROBED_DRAWS)
    if all(draws[index] is None for index in range(tried)):
        raise BadInput(
            f"the exclusions leave out each of the first {tried} draws",
            remedy="Loosen them, or narrow the axes to what they keep",
            key=("space", "exclude"),
        )


def _indexed(spec: SpaceSpec) -> Assembled:
    try:
        source, streams = _joined(spec)
    except BadExpression as error:
        raise BadInput.of(error.problems) from None
    size = source.size or 0
    if size == 0:
        raise BadInput(
            f"the exclusions leave out every one of the {_raw_size(spec)} points",
            remedy="Loosen them",
            key=("space", "exclude"),
        )
    limit: int | None = None
    sample = spec.sample
    if sample is not None:
        _check_count(sample, size, exact=not streams)
        if isinstance(source, ParameterSpace):
            source = Sample(source, sample.count or size, sample.seed)
        else:
            source = SampledPositions(source, size, sample.seed)
            limit = sample.count * spec.repeat if sample.count is not None else None
    return _ordered(spec, source, streams=streams, limit=limit)


def _check_count(sample: SampleSpec, size: int, *, exact: bool) -> None:
    if sample.count is not None and sample.count > size:
        raise BadInput(
            f"the sample asks for {sample.count} points; the space has "
            f"{'' if exact else 'at most '}{size}",
            remedy="Ask for fewer, or leave 'count' out to run them all in random order",
            key=("space", "sample", "count"),
        )


def _joined(spec: SpaceSpec) -> tuple[ParameterSpace | Positions, bool]:
    """Join all blocks so that no point comes twice; say whether some are decided while running."""
    parts: list[ParameterSpace | Positions] = []
    before: list[Rule] = []
    for block in spec.blocks:
        rules = [*block.rules, *spec.rules]
        if block.dimensions or not block.include:
            grid = _grid_of(block)
            parts.append(without(grid, [*rules, *before]))
            before.append(ContainedRule(grid, rules))
        _append_points(block.include, rules, before, parts)
    _append_points(spec.include, spec.rules, before, parts)
    filled = [part for part in parts if part.size] or parts[:1]
    if len(filled) == 1:
        return filled[0], not isinstance(filled[0], ParameterSpace)
    spaces = [part for part in filled if isinstance(part, ParameterSpace)]
    if len(spaces) == len(filled):
        return Joined(spaces), False
    return JoinedPositions(filled), True


def _append_points(
    included: Sequence[Point],
    rules: Sequence[Rule],
    before: list[Rule],
    parts: list[ParameterSpace | Positions],
) -> None:
    kept = [point for point in included if not excluded([*rules, *before], point)]
    if kept or (included and not parts):
        parts.append(Listed(kept))
        before.append(PointsRule(kept))


def _grid_of(block: Block) -> Grid:
    return Grid([axis for axis in block.dimensions if isinstance(axis, Factor)])


def _raw_size(spec: SpaceSpec) -> int:
    grids = sum(_grid_of(block).size for block in spec.blocks if block.dimensions)
    return grids + sum(len(block.include) for block in spec.blocks) + len(spec.include)
