"""The compressors example: its corpus, its trial, its picture."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from tests.examples.notebooks import EXAMPLES, copied, run_campaign

EXAMPLE = EXAMPLES / "compressors"
PACKAGES = {"gzip": "gzip", "bzip2": "bzip2", "xz": "xz-utils", "zstd": "zstd"}


@pytest.fixture(scope="module")
def example() -> Iterator[dict[str, ModuleType]]:
    """Import the example the way a user in its folder does, and forget it afterwards."""
    names = ("measure", "plot")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLE))
        for name in names:
            patch.delitem(sys.modules, name, raising=False)
        yield {name: importlib.import_module(name) for name in names}
        for name in names:
            sys.modules.pop(name, None)


@pytest.fixture
def measure(example: dict[str, ModuleType]) -> ModuleType:
    return example["measure"]


@pytest.fixture
def plot(example: dict[str, ModuleType]) -> ModuleType:
    return example["plot"]


def needed(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}: `make system`, or install '{PACKAGES[program]}'")


class TestCorpus:
    def test_it_is_the_same_each_time_and_a_smaller_one_is_its_beginning(
        self, measure: ModuleType
    ) -> None:
        large, small = measure.corpus(300), measure.corpus(100)
        assert large == measure.corpus(300)
        assert len(large) == 300 * 1024
        assert large.startswith(small)

    def test_it_is_made_of_python_s_own_sources(self, measure: ModuleType) -> None:
        name, size = measure.corpus(100).split(b"\n", 1)[0].split()
        root = Path(os.__file__).parent
        assert (root / name.decode()).stat().st_size == int(size)

    def test_more_than_there_is_is_refused(self, measure: ModuleType) -> None:
        with pytest.raises(ValueError, match="ask for less"):
            measure.corpus(10**7)


class TestTrial:
    @pytest.mark.parametrize("program", PACKAGES)
    def test_each_program_is_measured(self, measure: ModuleType, program: str) -> None:
        needed(program)
        data = measure.corpus(64)
        row = measure.measure(program, 1, data)
        assert row["original_bytes"] == 64 * 1024
        assert row["ratio"] == row["original_bytes"] / row["compressed_bytes"] > 1.5
        assert row["compress_mb_per_s"] > 0
        assert row["decompress_mb_per_s"] > 0

    def test_a_program_that_is_missing_says_what_to_install(self, tmp_path: Path) -> None:
        argv = [sys.executable, str(EXAMPLE / "measure.py"), "zstd", "3", "64"]
        environment = {**os.environ, "PATH": str(tmp_path)}
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, env=environment, timeout=60
        )
        assert done.returncode == 127
        assert "zstd isn't on PATH: install it" in done.stderr
        argv[2:] = ["--check"]
        checked = subprocess.run(
            argv, capture_output=True, text=True, check=True, env=environment, timeout=60
        )
        assert checked.stdout.count("isn't on PATH") == 4

    def test_what_comes_back_changed_is_an_error(
        self, measure: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken = tmp_path / "gzip"
        broken.write_text("#!/bin/sh\necho other data\n")
        broken.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        with pytest.raises(RuntimeError, match="gave back other data"):
            measure.measure("gzip", 1, b"data")


def test_a_campaign_runs_with_what_there_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only gzip is installed, its trials are recorded, and the others say what is missing."""
    programs = folder / "programs"
    programs.mkdir()
    gzip = shutil.which("gzip")
    assert gzip is not None
    (programs / "gzip").symlink_to(gzip)
    (programs / "python3").symlink_to(Path(sys.executable).resolve())
    copy = copied("compressors", folder, {"[2048]": "[64]", "repeat: 3": "repeat: 1"})
    monkeypatch.setenv("PATH", str(programs))
    code, told = run_campaign(copy)
    assert code == 1
    assert "9 trials succeeded, 18 failed" in told
    failures = folder.glob("compressors/.fieldlab/attempts/*/*/1/stderr")
    assert sum("isn't on PATH: install it" in each.read_text() for each in failures) == 18


def results(*rows: tuple[str, int, float, float]) -> pd.DataFrame:
    names = ["program", "level", "compress_mb_per_s", "ratio"]
    return pd.DataFrame(rows, columns=names).assign(decompress_mb_per_s=100.0)


class TestPicture:
    def test_medians_are_taken_over_the_repeats(self, plot: ModuleType) -> None:
        found = plot.summary(
            results(("gzip", 1, 10.0, 3.0), ("gzip", 1, 90.0, 3.0), ("gzip", 1, 11.0, 3.0))
        )
        assert found["compress_mb_per_s"].tolist() == [11.0]

    def test_the_front_is_what_nothing_beats(self, plot: ModuleType) -> None:
        found = plot.summary(
            results(
                ("fast", 1, 100.0, 2.0),
                ("both", 1, 50.0, 4.0),
                ("beaten", 1, 40.0, 3.0),
                ("same-speed", 1, 50.0, 3.5),
                ("small", 1, 1.0, 5.0),
            )
        )
        assert set(found[found["best"]]["program"]) == {"fast", "both", "small"}

    def test_the_command_line_reads_csv_and_writes_png(self, tmp_path: Path) -> None:
        results(("gzip", 1, 100.0, 2.0), ("xz", 6, 5.0, 4.0)).to_csv(tmp_path / "r.csv")
        done = run_plot(tmp_path / "r.csv", tmp_path / "out.png")
        assert done.stdout == "best, from the fastest to the smallest: gzip -1, xz -6\n"
        assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")

    @pytest.mark.parametrize(
        ("text", "message"),
        [(None, "No such file"), ("program,level\n", "no column ratio"), ("x\n1\n", "no column")],
    )
    def test_bad_results_are_explained(
        self, tmp_path: Path, text: str | None, message: str
    ) -> None:
        if text is not None:
            (tmp_path / "r.csv").write_text(text)
        done = run_plot(tmp_path / "r.csv", tmp_path / "out.png")
        assert done.returncode == 2
        assert message in done.stderr
        assert not (tmp_path / "out.png").exists()


def run_plot(table: Path, picture: Path) -> Any:
    argv = [sys.executable, "-B", str(EXAMPLE / "plot.py"), str(table), str(picture)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=100)


def test_the_trial_s_document_is_one_row(measure: ModuleType, capsys: Any) -> None:
    needed("gzip")
    assert measure.main(["gzip", "6", "64"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {
        "original_bytes", "compressed_bytes", "ratio", "compress_mb_per_s", "decompress_mb_per_s",
        "corpus",
    }  # fmt: skip
    assert measure.main(["rar", "6", "64"]) == 2
