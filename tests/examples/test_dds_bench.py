"""The DDS bench: a campaign on virtual hosts, one of which restarts in the middle."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import fieldlab
from fieldlab.sandbox.fixtures import require_sandbox
from tests.cli.program import document, invoke
from tests.examples.notebooks import EXAMPLES, copied
from tests.workflows.staging import needs_program

EXAMPLE = EXAMPLES / "dds-bench"


@pytest.fixture
def copy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have a copy of the example, whose sandbox is down afterwards."""
    require_sandbox()
    needs_program("ddsperf", "cyclonedds-tools")
    copy = copied("dds-bench", folder, {})
    monkeypatch.chdir(copy)
    yield copy
    invoke("sandbox", "down")


@pytest.mark.timeout(200)
def test_a_host_restarts_and_all_trials_succeed(copy: Path) -> None:
    done = subprocess.run(
        [sys.executable, "run.py", "out.png"],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "6 trials succeeded" in told
    assert (copy / "out.png").read_bytes().startswith(b"\x89PNG")
    assert not (copy / ".fieldlab" / "sandbox" / "site.toml").exists(), "the sandbox is down"

    assert len(fieldlab.open(copy).results("dds-bench")) == 6
    attempts = document(invoke("attempts", "dds-bench", "--json"))
    lost = [each for each in attempts if each["failure"] == "infrastructure"]
    assert lost, told
    assert len(attempts) == 6 + len(lost)


def results(*rows: tuple[float, int, float, float]) -> pd.DataFrame:
    names = ["loss", "datalen_bytes", "latency_p50_us", "throughput_mbps"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(latency_p90_us=2 * frame["latency_p50_us"])


def run_plot(table: Path, picture: Path) -> Any:
    argv = [sys.executable, "-B", str(EXAMPLE / "plot.py"), str(table), str(picture)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=100)


def test_the_picture_is_drawn_from_what_there_is(tmp_path: Path) -> None:
    table = results((0, 100, 40.0, 1.0), (20, 100, 60.0, 1.0), (20, 1000, float("nan"), 1.0))
    table.to_csv(tmp_path / "r.csv")
    done = run_plot(tmp_path / "r.csv", tmp_path / "out.png")
    assert "drawn from 3 trials" in done.stdout, done.stderr
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file"),
        ("loss,datalen_bytes\n", "no column latency_p50_us"),
        (",".join(results().columns) + "\n", "no trial has a result yet"),
    ],
)
def test_bad_results_are_explained(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "r.csv").write_text(text)
    done = run_plot(tmp_path / "r.csv", tmp_path / "out.png")
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "out.png").exists()
