"""The tool that the page shows, installed as a package is, runs."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import blocks, commands, matches, run

PAGE = "how-to/write-a-tool.md"


def install(folder: Path) -> Path:
    """Put the tool where a package manager would: its module, and the entry points it declares."""
    files = {block.title: block.text for block in blocks(PAGE) if block.title}
    project = tomllib.loads(files["pyproject.toml"])["project"]
    site = folder / "site"
    about = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir(parents=True)
    (site / "timeit_tool.py").write_text(files["timeit_tool.py"])
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (about / "METADATA").write_text(head)
    points = [
        f"[{group}]\n" + "".join(f"{name} = {place}\n" for name, place in found.items())
        for group, found in project["entry-points"].items()
    ]
    (about / "entry_points.txt").write_text("\n".join(points))
    (folder / "experiment.yaml").write_text(files["experiment.yaml"])
    return site


def test_the_tool_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(install(folder)), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    [block] = blocks(PAGE, "console")
    for shown in commands(block):
        code, printed = run(shown.command, folder)
        assert code == 0, printed
        assert matches(shown.printed, printed), printed
    code, printed = run("fieldlab doctor --json", folder)
    assert '"check": "tool timeit", "health": "ok"' in printed
    (folder / "experiment.yaml").write_text(
        (folder / "experiment.yaml").read_text().replace("statement", "statment")
    )
    code, printed = run("fieldlab run experiment.yaml", folder)
    assert code == 2, printed
    assert "timeit has no statement" in printed
