"""What the pages show works: definitions load, commands print what is shown, links have targets."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from fieldlab.definitions import EXECUTORS, TOOLS, from_mapping
from fieldlab.execution.sequences import quasi_sequence
from tests.docs.pages import (
    DOCS,
    ROOT,
    Block,
    all_pages,
    blocks,
    play,
    section,
    table_rows,
    text_of,
)

#: pages whose commands are run, from the first to the last
RUN = [
    "../README.md",
    "how-to/run-commands.md",
    "how-to/read-results.md",
    "how-to/notebooks.md",
    "how-to/run-from-python.md",
    "how-to/adaptive-search.md",
    "how-to/come-from-ems.md",
    "how-to/people-and-projects.md",
    "how-to/provenance.md",
    "how-to/actors.md",
    "how-to/watch.md",
    "how-to/notifications.md",
]
#: what the shown parts of definitions are parts of
WHOLE: dict[str, Any] = {
    "name": "whole",
    "tool": {"command": ["true"]},
    "space": {"matrix": {"size": [100, 1024], "rate": [1, 10]}},
}


def definitions() -> list[tuple[str, Block]]:
    return [
        (f"{page}:{block.line}", block)
        for page in ("../README.md", *all_pages())
        for block in blocks(page, "yaml")
    ]


@pytest.mark.parametrize(
    "block", [block for _, block in definitions()], ids=[place for place, _ in definitions()]
)
def test_each_definition_loads(block: Block) -> None:
    data = YAML(typ="safe").load(block.text)
    whole = data if "name" in data else WHOLE | data
    tools = TOOLS | {"timeit", *(each.name for each in entry_points(group="fieldlab.tools"))}
    executors = EXECUTORS | {"ssh"}
    from_mapping(whole, Path(), quasi=quasi_sequence, tools=tools, executors=executors)


@pytest.mark.parametrize("page", RUN)
def test_each_command_prints_what_the_page_shows(page: str, folder: Path) -> None:
    play(page, folder)


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text())
    assert sorted(listed) == all_pages()


@pytest.mark.parametrize("file", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_links_between_the_repository_s_own_files_have_targets(file: str) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / file).read_text())
    missing = [link for link in links if not (ROOT / link).exists()]
    assert not missing


def test_the_figures_of_the_readme_are_the_measured_ones() -> None:
    rows = table_rows(section(text_of("../README.md"), "How fast"))
    quoted = {n for row in rows for cell in row for n in re.findall(r"[\d,.]*\d(?: s| MB)?", cell)}
    measured = text_of("../benchmarks/README.md")
    stale = {figure for figure in quoted if f" {figure}" not in measured}
    assert not stale - {"2"}, "copy them from benchmarks/README.md"


def test_pages_take_nothing_from_elsewhere() -> None:
    for page in all_pages():
        assert not re.search(r"!\[[^]]*\]\(http|<script|<iframe|<img", text_of(page)), page
    assert DOCS.joinpath("images", "phase-transition.png").stat().st_size > 1000
