"""The picture of how far a campaign is."""

from __future__ import annotations

import re
from typing import Any

from fieldlab.domain.ids import canonical
from fieldlab.domain.parameters import sequence_from
from fieldlab.notebook.picture import MOST_CELLS, MOST_POSITIONS, ProgressMap, progress_map


def map_of(space: dict[str, Any]) -> ProgressMap | None:
    return progress_map(sequence_from(space))


def squares(svg: str) -> dict[tuple[int, int], str]:
    """Read the colours of the cells, counted from the lower left."""
    found = re.findall(r'<rect x="(\d+)" y="(\d+)" width="(\d+)" height="\d+" fill="([^"]+)"', svg)
    side = int(found[0][2])
    top = max(int(y) for _, y, _, _ in found) // side
    return {(int(x) // side, top - int(y) // side): colour for x, y, _, colour in found}


def test_colours_say_how_far_and_how_well_each_point_is() -> None:
    drawn = map_of({"matrix": {"x": [1, 2, 4], "y": [0.5, 1]}, "repeat": 4})
    assert drawn is not None
    point = [canonical({"x": x, "y": y}) for x, y in ((1, 0.5), (2, 0.5), (4, 1), (1, 1))]
    colours = squares(
        drawn.svg(
            [
                (point[0], "succeeded", 4),
                (point[1], "succeeded", 1),
                (point[2], "failed", 4),
                (point[3], "running", 1),
                (canonical({"x": 9, "y": 9}), "succeeded", 4),
            ]
        )
    )
    assert len(colours) == 6
    assert colours[0, 0] == "rgb(27,108,168)"
    assert colours[2, 1] == "rgb(200,55,45)"
    untouched = colours[0, 1]
    assert untouched == colours[1, 1] == colours[2, 0] == "rgb(226,226,232)"
    assert colours[1, 0] not in (colours[0, 0], untouched)


def test_the_two_parameters_with_most_values_are_drawn_in_their_order() -> None:
    drawn = map_of(
        {"matrix": {"word": ["a", "b"], "few": [1, 2], "b": {"range": [1, 3]}, "a": [1, 2, 3, 4]}}
    )
    assert drawn is not None
    assert (drawn.across.name, drawn.up.name) == ("b", "a")
    assert sum(drawn.trials.values()) == 48


def test_many_values_share_cells() -> None:
    drawn = map_of(
        {"matrix": {"x": {"range": [1, 100]}, "y": {"uniform": [0, 1]}}, "sample": {"count": 500}}
    )
    assert drawn is not None
    assert (drawn.across.cells, drawn.up.cells) == (MOST_CELLS, MOST_CELLS)
    assert sum(drawn.trials.values()) == 500
    assert all(0 <= x < MOST_CELLS and 0 <= y < MOST_CELLS for x, y in drawn.trials)


def test_excluded_points_have_no_cell() -> None:
    drawn = map_of({"matrix": {"x": [1, 2, 3], "y": [1, 2, 3]}, "exclude": ["x > y"]})
    assert drawn is not None
    assert len(squares(drawn.svg([]))) == 6


def test_what_has_no_two_axes_of_numbers_or_is_too_large_is_not_drawn() -> None:
    assert map_of({"matrix": {"x": [1, 2], "word": ["a", "b"]}}) is None
    assert map_of({"matrix": {"x": [1, 2], "flag": [True, False], "one": [1]}}) is None
    large = {"range": [1, MOST_POSITIONS]}
    assert map_of({"matrix": {"x": large, "y": [1, 2]}}) is None


def test_names_are_written_as_text() -> None:
    drawn = map_of({"matrix": {"x": [1, 2], "y": [1, 2]}})
    assert drawn is not None
    assert 'aria-label="→ x 1 … 2   ↑ y 1 … 2"' in drawn.svg([])
