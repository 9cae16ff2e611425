"""How a space is written, for editors.

This only describes: :func:`fieldlab.domain.parameters.sequence_from` is what checks a space, and
explains what is wrong with it far better than a schema can.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from fieldlab.domain.axis_reading import LONGEST_NAME

Scalar = bool | int | float | str | None
ParameterName = Annotated[str, Field(pattern=rf"^[A-Za-z_][A-Za-z0-9_]{{0,{LONGEST_NAME - 1}}}$")]
_Pair = Annotated[list[float], Field(min_length=2, max_length=2)]
_Triple = Annotated[list[float], Field(min_length=3, max_length=3)]
_PairOrTriple = Annotated[list[float], Field(min_length=2, max_length=3)]
_Values = Annotated[list[Scalar], Field(min_length=1)]
_Seed = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Choice(_Part):
    """The values themselves."""

    choice: _Values = Field(description="The values of the parameter.")


class Range(_Part):
    """Numbers at equal distances."""

    range: _PairOrTriple = Field(
        description="[start, stop] or [start, stop, step]; stop is included where it falls on "
        "the grid."
    )


class Linspace(_Part):
    """A number of values at equal distances."""

    linspace: _Triple = Field(description="[start, stop, count]; both ends are included.")


class Logspace(_Part):
    """A number of values in equal ratios."""

    logspace: _Triple = Field(
        description="[start, stop, count] in equal ratios between two values above 0, both ends "
        "included (as numpy.geomspace)."
    )


class Uniform(_Part):
    """Any number between two, under 'sample' only."""

    uniform: _Pair = Field(description="[low, high]: every value alike; needs 'sample'.")


class LogUniform(_Part):
    """Any number between two, every ratio alike, under 'sample' only."""

    loguniform: _Pair = Field(description="[low, high]: every ratio alike; needs 'sample'.")


class Normal(_Part):
    """The normal distribution, under 'sample' only."""

    normal: _Pair = Field(description="[mean, deviation]; needs 'sample'.")


_Computed = Choice | Range | Linspace | Logspace | Uniform | LogUniform | Normal


class Axis(RootModel[_Values | Scalar | _Computed]):
    """A list of values, a single value, or a mapping that computes them."""


Axes = Annotated[dict[ParameterName, Axis], Field(min_length=1)]
PointModel = Annotated[dict[ParameterName, Scalar], Field(min_length=1)]
Exclusion = Annotated[str, Field(min_length=1)] | PointModel


class Block(_Part):
    """A product of axes, with its extra and its forbidden points."""

    matrix: Axes = Field(
        default={}, description="Axes by name: every combination, the last axis changing fastest."
    )
    zip: list[Axes] | Axes = Field(
        default=[], description="Groups of axes of equal length that move in step."
    )
    include: list[PointModel] | PointModel = Field(
        default=[], description="Further points; one that is there already isn't run twice."
    )
    exclude: list[Exclusion] | Exclusion = Field(
        default=[],
        description='What to leave out: expressions such as "pubs > 3 and not reliable", or '
        "points with some or all parameters.",
    )


class Sample(_Part):
    """Random points instead of all of them."""

    count: int = Field(
        default=0, ge=1, description="Number of points; absent: until the space is used up."
    )
    seed: _Seed = Field(default=0, description="The same seed draws the same points anywhere.")
    method: Literal["random", "sobol", "latin-hypercube"] = Field(
        default="random", description="How points are drawn; sobol needs the 'sampling' extra."
    )


class Space(Block):
    """The parameter space: which points are run."""

    blocks: Annotated[list[Block], Field(min_length=1)] = Field(
        default=[], description="Several blocks joined, instead of matrix and zip; no point twice."
    )
    sample: Sample = Field(default=Sample(), description="Draw random points without repetition.")
    repeat: int = Field(default=1, ge=1, description="How often every point is run.")
    order: Literal["sequential", "shuffled"] = Field(
        default="sequential", description="The order in which trials start."
    )
    seed: _Seed = Field(default=0, description="Seed of the shuffled order, and of a sample.")
    submitted: Annotated[list[ParameterName], Field(min_length=1)] = Field(
        default=[],
        description="Names of parameters, instead of all else: points come one by one from Python "
        "(fieldlab.session).",
    )
