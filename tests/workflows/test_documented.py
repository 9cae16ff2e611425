"""What the documentation shows of the tools is what they take."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

import pytest
from ruamel.yaml import YAML

from fieldlab.domain.stating import stated_values
from fieldlab.ports.tool import CheckedTool, SpreadTool
from tests.docs.pages import blocks

PAGE = "how-to/benchmark-tools.md"
SHOWN = [YAML(typ="safe").load(block.text) for block in blocks(PAGE, "yaml")]


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: next(iter(shown["tool"])))
def test_each_shown_tool_is_found_and_takes_its_options_and_space(shown: dict[str, Any]) -> None:
    ((kind, options),) = shown["tool"].items()
    (found,) = entry_points(group="fieldlab.tools", name=kind)
    tool = found.load()(options, 0.0)
    assert isinstance(tool, SpreadTool)
    assert isinstance(tool, CheckedTool)
    space = shown.get("space", {"matrix": {"duration": [10]}})
    tool.check(stated_values(space))


def test_all_tools_are_shown() -> None:
    assert {next(iter(shown["tool"])) for shown in SHOWN} == {
        "ddsperf",
        "iperf3",
        "perftest",
        "processes",
    }
