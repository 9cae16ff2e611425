"""The page on spaces counts right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from fieldlab.definitions import loads
from fieldlab.domain.definition import PLACEHOLDERS, RESERVED_COLUMNS
from fieldlab.domain.parameters import TrialSequence, sequence_from
from fieldlab.execution.sequences import quasi_sequence
from tests.docs.pages import Block, blocks, section, table_rows, text_of

PAGE = "how-to/define-a-space.md"


def sequence(text: str) -> TrialSequence:
    definition = loads(
        f"name: counted\ntool: {{command: ['true']}}\n{text}",
        format="yaml",
        folder=Path(),
        quasi=quasi_sequence,
    )
    return sequence_from(definition.space, quasi=quasi_sequence)


@pytest.mark.parametrize("block", blocks(PAGE, "yaml"), ids=lambda block: f"line {block.line}")
def test_each_example_has_as_many_trials_as_it_says(block: Block) -> None:
    counted = re.match(r"# ([\d,]+) trials\n", block.text)
    assert counted, "the example begins with its count"
    trials = sequence(block.text)
    assert trials.total == int(counted[1].replace(",", ""))
    assert trials.positions is not None
    found = {trial.fingerprint for _, trial in trials.run(0, trials.positions) if trial}
    assert len(found) == trials.total


def axes() -> list[tuple[str, str]]:
    rows = table_rows(section(text_of(PAGE), "Every combination"))
    return [(axis.strip("`"), values) for axis, values in rows]


@pytest.mark.parametrize(("axis", "values"), axes())
def test_each_axis_has_the_values_that_it_says(axis: str, values: str) -> None:
    trials = sequence(f"space: {{matrix: {{x: {axis}}}}}")
    assert trials.total is not None
    shown: list[Any] = [trials[n].parameters["x"] for n in range(trials.total)]  # type: ignore[union-attr]
    assert ", ".join(map(str, shown)) == values


def test_a_larger_sample_keeps_its_points_where_the_page_says_so() -> None:
    rows = {row[0].strip("`"): row[2] for row in table_rows(section(text_of(PAGE), "A sample"))}
    for method, larger in rows.items():
        text = "space: {{matrix: {{x: {{uniform: [0, 1]}}}}, sample: {{count: {}, method: {}}}}}"
        few, more = sequence(text.format(16, method)), sequence(text.format(32, method))
        kept = [few[n] == more[n] for n in range(16)]
        assert all(kept) if larger == "keeps the points" else not any(kept)
    assert rows.keys() == {"random", "sobol", "latin-hypercube"}


def test_the_names_that_are_taken_are_all_listed() -> None:
    listed = re.findall(r"`([a-z_]+)`", section(text_of(PAGE), "Names"))
    assert set(listed) >= RESERVED_COLUMNS | PLACEHOLDERS


def test_examples_are_plain_yaml() -> None:
    for block in blocks(PAGE, "yaml"):
        assert set(YAML(typ="safe").load(block.text)) == {"space"}
