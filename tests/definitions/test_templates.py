"""What `fieldlab init` writes works as it is."""

from __future__ import annotations

import json
import math
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from fieldlab.definitions import load, template
from fieldlab.domain.errors import BadInput
from fieldlab.domain.parameters import sequence_from


def written(folder: Path, name: str, kind: str) -> Path:
    for file, text in template(name, kind).items():
        (folder / file).write_text(text)
    return folder / "experiment.yaml"


@pytest.mark.parametrize("kind", ["function", "command"])
@pytest.mark.parametrize("name", ["pi", "2024", "1e3", "true", "null", "x_y-z"])
def test_it_loads_under_any_name(tmp_path: Path, kind: str, name: str) -> None:
    definition = load(written(tmp_path, name, kind))
    assert definition.name == name
    assert definition.tool.kind == kind
    assert sequence_from(definition.space).total == 20


def test_the_function_runs_at_every_point(tmp_path: Path) -> None:
    definition = load(written(tmp_path, "spring", "function"))
    file, _, function = definition.tool.options["call"].partition(":")
    respond = runpy.run_path(str(tmp_path / file))[function]
    for _, trial in sequence_from(definition.space).run(0, 20):
        assert trial is not None
        results = respond(**trial.parameters)
        assert 0 < results["overshoot"] < 1
    # half the critical damping: the textbook's 16.3 %
    assert math.isclose(respond(frequency=1, damping=0.5)["overshoot"], 0.163, rel_tol=1e-2)


def test_the_command_prints_its_results(tmp_path: Path) -> None:
    definition = load(written(tmp_path, "pi", "command"))
    words = [word.format(points=10_000, repeat=1) for word in definition.tool.options["argv"]]
    assert words[0] == "python3"
    done = subprocess.run(
        [sys.executable, *words[1:]], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert abs(json.loads(done.stdout)["estimate"] - math.pi) < 0.1


def test_bad_names_and_kinds_are_refused() -> None:
    with pytest.raises(BadInput, match=r"'\.\./x' can't be a name"):
        template("../x", "function")
    with pytest.raises(BadInput, match=r"there is no template 'comand'\. Did you mean"):
        template("x", "comand")
