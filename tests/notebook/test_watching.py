"""Watching a campaign: in a terminal, and in a real notebook."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from fieldlab.app import Lab
from fieldlab.domain.errors import UnknownName
from fieldlab.notebook.reading import LabReader
from tests.cli.program import finish, start
from tests.store.staging import HandEngine, running
from tests.waiting import wait_until

STUDY = """\
import pathlib
import time

def measure(rho, delta, word):
    pathlib.Path("started").touch()
    while delta > 1 and not pathlib.Path("go").exists():
        time.sleep(0.01)
    if rho == 3:
        raise ValueError("three is no good")
    return {"y": rho * delta}
"""
EXPERIMENT = """\
name: grid
tool: {function: "study.py:measure"}
space: {matrix: {delta: [1, 2, 3], rho: [1, 2, 3, 4], word: [a, b]}}
guard: {consecutive_failures: 0}
executor: {local: {slots: 2}}
"""


class TestInATerminal:
    def test_it_writes_a_line_when_something_has_changed(
        self, lab: Lab, reader: LabReader, capsys: pytest.CaptureFixture[str]
    ) -> None:
        campaign = running(lab.store)
        engine = HandEngine(lab.store, campaign)
        engine.acquire()
        printed: list[str] = []

        def said(text: str) -> bool:
            printed.append(capsys.readouterr().out)
            return text in "".join(printed)

        watcher = threading.Thread(target=reader.watch, args=("probe",), kwargs={"every_s": 0.01})
        watcher.start()
        wait_until(lambda: said("probe.1: running, 0/10\n"), "the start is told")
        engine.end(*range(6))
        engine.fail(6)
        engine.record()
        wait_until(lambda: said("probe.1: running, 7/10, 1 failed"), "the change is told")
        engine.end(*range(7, 10))
        engine.record()
        lab.store.finish(campaign.id)
        lab.store.retire(campaign.id, engine.id)
        watcher.join(timeout=60)
        assert not watcher.is_alive()
        said("")
        lines = "".join(printed).splitlines()
        assert lines[-1] == "probe.1: finished, 10/10, 1 failed"
        assert len(lines) <= 4, "a line a change"

    def test_it_stops_watching_when_the_time_is_over(
        self, lab: Lab, reader: LabReader, capsys: pytest.CaptureFixture[str]
    ) -> None:
        engine = HandEngine(lab.store, running(lab.store))
        reader.watch("probe", every_s=3600, for_s=0.05)
        assert set(capsys.readouterr().out.splitlines()) == {"probe.1: running, 0/10"}
        assert lab.engines_alive(engine.campaign) == 1

    def test_a_name_that_is_unknown_is_explained(self, lab: Lab, reader: LabReader) -> None:
        running(lab.store)
        with pytest.raises(UnknownName, match="Did you mean 'probe'"):
            reader.watch("probes")


def executed(folder: Path, *cells: str) -> Any:
    """Run cells in a notebook of a kernel of its own."""
    notebook = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
        cells=[nbformat.v4.new_code_cell(each) for each in cells]  # type: ignore[no-untyped-call]
    )
    client = NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    return client.execute()


def test_a_notebook_redraws_its_output_until_the_campaign_ends(
    folder: Path, lab: Lab, reader: LabReader
) -> None:
    (folder / "study.py").write_text(STUDY)
    (folder / "grid.yaml").write_text(EXPERIMENT)
    process = start("run", "grid.yaml", folder=folder)
    wait_until((folder / "started").exists, "a trial runs", process)
    # the first look lets the trials go on: it has seen them running
    go_on = (
        "import pathlib, fieldlab.notebook.watching as w\n"
        "show = w.NotebookScreen.show\n"
        "def counted(self, view):\n"
        "    show(self, view); seen.append(view.state); pathlib.Path('go').touch()\n"
        "seen = []; w.NotebookScreen.show = counted\n"
    )
    done = executed(
        folder,
        "import fieldlab\nlab = fieldlab.open()\n" + go_on,
        "lab.watch('grid', every_s=0.05)",
        "print(seen[0], seen[-1], len(lab.results('grid')))",
        "lab.tree()",
    )
    assert finish(process)[0] == 1
    (shown,) = done.cells[1].outputs
    html = shown["data"]["text/html"]
    assert shown["data"]["text/plain"] == "grid.1: finished, 24/24, 6 failed"
    assert '<progress max="24" value="24"' in html
    assert html.count("<rect") == 12
    assert "→ delta 1 … 3" in html
    assert "↑ rho 1 … 4" in html
    assert done.cells[2].outputs[0]["text"] == "running finished 18\n"
    assert "<details open>" in done.cells[3].outputs[0]["data"]["text/html"]
