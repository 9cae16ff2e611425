"""Configurations that nobody means well with: refused soon, with what ails them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldlab.domain.errors import BadInput
from fieldlab.workflows.perftest.importing import read_autoperf
from fieldlab.workflows.perftest.writing import definition_text, sites_text
from tests.workflows.perftest.autoperf import MACHINES, QOS, campaign, write


@pytest.mark.parametrize("value", [None, "p1", {"p1": {}}, 3, False])
def test_machines_that_are_no_list(tmp_path: Path, value: Any) -> None:
    path = write(tmp_path, {**campaign(), "slave_machines": value})
    with pytest.raises(BadInput) as caught:
        read_autoperf(path)
    (problem,) = caught.value.problems
    assert problem.key == (0, "slave_machines")
    assert "must be a list" in problem.what
    assert problem.line > 0
    assert problem.remedy


@pytest.mark.parametrize("text", ["{" * 5000, "[" * 5000, "- " * 5000, "{" * 2_000_000])
def test_yaml_that_is_nested_without_end_is_refused_at_once(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    begun = time.process_time()
    with pytest.raises(BadInput, match=r"a\.yaml:1: .*nested more than 40 deep"):
        read_autoperf(path)
    assert time.process_time() - begun < 2


def test_a_number_that_cannot_be_written(tmp_path: Path) -> None:
    for name, text in (("a.toml", "x = 0x{}"), ("a.yaml", "x: 0x{}")):
        (tmp_path / name).write_text(text.format("f" * 5000))
        with pytest.raises(BadInput, match="too many digits"):
            read_autoperf(tmp_path / name)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    | st.sampled_from(["10%", "1mbit", "5 ms", "pcg", "rcg", 10**400, "~/x", "all"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
PLACES = [
    *((name,) for name in [*campaign(), "custom_test_list", "noise_generation", "bw_rate", "name"]),
    *(("qos_settings", name) for name in QOS),
    *(("slave_machines", 0, name) for name in MACHINES[0]),
    *(("noise_generation", name) for name in ("packet_loss", "delay", "bandwidth_rate")),
    ("rcg_target_test_count",), ("quit_after_n_failed_tests",), ("max_retries",),
]  # fmt: skip


@st.composite
def spoilt(draw: st.DrawFn) -> str:
    """Put something else in one or a few places of a configuration."""
    whole = json.loads(json.dumps(campaign(noise_generation={}, rcg_target_test_count=3)))
    # the inner ones first, as they are gone where something else stands above them
    places = draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=3, unique=True))
    for *above, name in sorted(places, key=len, reverse=True):
        inner = whole
        for key in above:
            inner = inner[key]
        inner[name] = draw(JSON)
    return json.dumps([whole])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@given(st.binary() | st.text().map(lambda text: text.encode(errors="replace")), spoilt())
def test_any_configuration_is_read_or_bad_input(folder: Path, content: bytes, text: str) -> None:
    written = {f"a.{ending}": content for ending in ("json", "toml", "yaml")}
    for name, each in {**written, "b.json": text.encode(), "b.yaml": text.encode()}.items():
        (folder / name).write_bytes(each)
        try:
            found = read_autoperf(folder / name)
        except BadInput:
            continue
        for one_of_them in found:
            definition_text(one_of_them)
        sites_text(found)
