"""Functions that a script has left in the lab's folder."""

from __future__ import annotations

from pathlib import Path

import cloudpickle
import pytest

from fieldlab.domain.errors import BadInput
from fieldlab.execution.functions import load_shipped
from fieldlab.notebook.shipping import callee_of

DIGEST = "0123456789abcdef0123"


def test_a_function_comes_back(tmp_path: Path) -> None:
    def double(x: int) -> int:
        return 2 * x

    callee = callee_of(double)
    callee.ship(tmp_path / "functions")
    options = callee.tool.options
    assert load_shipped(options, str(tmp_path / "functions"), str(tmp_path))(x=4) == 8
    assert [each.name for each in (tmp_path / "functions").iterdir()] == [
        f"{options['source']}.pickle"
    ]


@pytest.mark.parametrize("source", ["", "../../etc/passwd", "0123", DIGEST.upper(), f"{DIGEST}\n"])
def test_only_a_digest_names_a_pickle(tmp_path: Path, source: str) -> None:
    with pytest.raises(BadInput, match="names no shipped function"):
        load_shipped({"function": "f", "source": source}, str(tmp_path), str(tmp_path))


def test_what_cannot_be_loaded_is_explained(tmp_path: Path) -> None:
    options = {"function": "f", "source": DIGEST}
    with pytest.raises(BadInput, match="'f' isn't in the lab's folder"):
        load_shipped(options, str(tmp_path), str(tmp_path))
    (tmp_path / f"{DIGEST}.pickle").write_bytes(cloudpickle.dumps(42)[:-3])
    with pytest.raises(BadInput, match="can't be loaded") as raised:
        load_shipped(options, str(tmp_path), str(tmp_path))
    assert "again" in raised.value.remedy
