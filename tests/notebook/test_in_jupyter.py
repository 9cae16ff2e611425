"""Running and searching in the cells of a notebook."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

CELLS = (
    "import fieldlab\nFACTOR = 3",
    "def helper(x):\n    return FACTOR * x",
    "def trial(x):\n    if x == 4:\n        raise ValueError('four')\n    return {'y': helper(x)}",
    "ran = fieldlab.run(trial, matrix={'x': range(1, 6)})\nprint(ran, ran.results()['y'].sum())",
    "print(ran.failures()['error'][0])",
    "with fieldlab.session(trial, name='searched') as session:\n"
    "    print(session.submit(x=7).result())",
    "await __import__('asyncio').sleep(0)\nprint('the loop runs')",
)


def test_cells_run_campaigns_with_a_bar_that_changes(here: Path) -> None:
    document = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
        cells=[nbformat.v4.new_code_cell(text) for text in CELLS]  # type: ignore[no-untyped-call]
    )
    client = NotebookClient(
        document, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(here)}}
    )
    client.execute()
    outputs = [cell["outputs"] for cell in document.cells]
    texts = [
        "".join(each.get("text", "") for each in some if each["output_type"] == "stream")
        for some in outputs
    ]
    assert "<trial.1: finished, 4 succeeded, 1 failed> 33" in texts[3]
    assert "raise ValueError('four')" in texts[4], "the cell's lines are in the traceback"
    assert "{'y': 21}" in texts[5]
    assert "the loop runs" in texts[6]
    shown = [each for each in outputs[3] if "text/html" in each.get("data", {})]
    assert len(shown) == 1, "it changes in place"
    assert "finished" in shown[0]["data"]["text/html"]
