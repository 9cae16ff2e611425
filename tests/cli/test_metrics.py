"""What hosts did during an attempt, as people see it."""

from __future__ import annotations

from pathlib import Path

from tests.cli.program import document, invoke

METRICS = """time_s,cpu_percent,memory_bytes,received_bytes_per_s,sent_bytes_per_s
100.0,50.0,600000000,1000000.0,500000.0
101.0,100.0,700000000,3000000.0,500000.0
"""


def attempted(folder: Path) -> Path:
    """Run a command, and give its attempt's folder."""
    (folder / "experiment.yaml").write_text("name: once\ntool: {command: ['true']}\n")
    assert invoke("run", "experiment.yaml").exit_code == 0
    (made,) = (folder / ".fieldlab" / "attempts" / "once.1").glob("*/1")
    return made


def test_metrics_are_shown_and_drawn(folder: Path) -> None:
    (attempted(folder) / "metrics-h1.csv").write_text(METRICS)
    shown = invoke("metrics", "once").stdout.split()
    assert shown[-7:] == ["h1", "2", "75", "100", "700", "2.00", "0.50"]
    assert document(invoke("metrics", "once", "--json"))["hosts"]["h1"]["time_s"] == [100.0, 101.0]
    assert invoke("metrics", "once", "--plot", "m.svg").exit_code == 0
    assert "</svg>" in (folder / "m.svg").read_text()


def test_an_attempt_without_metrics_says_how_to_have_them(folder: Path) -> None:
    attempted(folder)
    result = invoke("metrics", "once")
    assert result.exit_code == 2
    assert "metrics: true" in result.stderr


def test_a_file_that_is_no_metrics_is_refused(folder: Path) -> None:
    (attempted(folder) / "metrics-h1.csv").write_text("time_s\nsoon\n")
    result = invoke("metrics", "once")
    assert result.exit_code == 2
    assert "isn't a file of metrics" in result.stderr
