"""The groups funding, project, experimenter and experiment, as a user drives them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldlab.cli.registry import _FIELDS
from fieldlab.store.registry_fields import KINDS
from tests.cli.program import document, finish, invoke, start, write_experiment


@pytest.fixture
def lab(folder: Path) -> Path:
    """Stand in a folder with an empty lab."""
    assert invoke("init", "--bare").exit_code == 0
    return folder


def test_every_field_of_the_tables_has_its_option() -> None:
    assert {kind: set(fields) for kind, fields in _FIELDS.items()} == {
        kind: set(each.fields) for kind, each in KINDS.items()
    }


def test_funding_is_added_shown_changed_and_removed(lab: Path) -> None:
    words = ["--agency", "Council", "--budget", "125000.50", "--currency", "eur"]
    assert invoke("funding", "add", "grant", *words).exit_code == 0
    listed = invoke("funding", "list").stdout
    assert "grant" in listed
    assert "125,000.50" in listed
    assert document(invoke("funding", "show", "grant", "--json"))["budget"] == "125000.50"
    changed = invoke("funding", "edit", "grant", "--agency", "", "--json")
    assert document(changed)["agency"] is None
    assert "EUR" in invoke("funding", "show", "grant").stdout
    assert invoke("funding", "remove", "grant").exit_code == 0
    assert document(invoke("funding", "list", "--json")) == []
    assert "funding add" in invoke("funding", "list").stderr


def test_wrong_values_are_told_all_at_once(lab: Path) -> None:
    result = invoke("funding", "add", "grant", "--budget", "much", "--starts-on", "today")
    assert result.exit_code == 2
    assert "budget: 'much' is not an amount" in result.stderr
    assert "starts_on: 'today' is not a date" in result.stderr
    assert document(invoke("funding", "list", "--json")) == []


def test_what_is_used_is_not_removed(lab: Path) -> None:
    invoke("funding", "add", "grant")
    invoke("project", "add", "optics", "--funding", "grant")
    result = invoke("funding", "remove", "grant")
    assert result.exit_code == 2
    assert "used by project 'optics'" in result.stderr
    assert "optics" in invoke("funding", "show", "grant").stdout


def test_an_unknown_name_comes_with_the_nearest(lab: Path) -> None:
    invoke("experimenter", "add", "ann", "--email", "ann@example.org")
    result = invoke("experimenter", "show", "anne")
    assert result.exit_code == 2
    assert "Did you mean 'ann'?" in result.stderr


def test_an_experiment_is_linked_and_stands_in_the_tree(lab: Path) -> None:
    invoke("project", "add", "optics", "--title", "All about light")
    invoke("project", "add", "lasers", "--parent", "optics")
    invoke("run", write_experiment(lab, "fail_on_three"))
    linked = invoke("experiment", "edit", "sums", "--project", "lasers", "--commit", "ABC1234")
    assert linked.exit_code == 0
    (listed,) = document(invoke("experiment", "list", "--json"))
    assert (listed["project"], listed["commit"]) == ("lasers", "abc1234")
    assert (listed["campaigns"], listed["trials"]) == (1, 4)
    lines = invoke("project", "tree").stdout.splitlines()
    assert [line.lstrip("│└├─ ").rstrip() for line in lines] == [
        "optics  All about light",
        "lasers",
        "sums",
        "sums.1  finished, 4/4, 1 failed",
    ]
    (optics,) = document(invoke("project", "tree", "--json"))
    assert optics["projects"][0]["experiments"][0]["campaigns"][0]["failed"] == 1


def test_experiments_are_neither_added_nor_removed_by_hand(lab: Path) -> None:
    assert invoke("experiment", "add", "sums").exit_code == 2
    assert invoke("experiment", "remove", "sums").exit_code == 2


def test_without_a_lab_it_is_said_how_to_make_one(folder: Path) -> None:
    result = invoke("project", "list")
    assert result.exit_code == 2
    assert "fieldlab init" in result.stderr
    assert not (folder / ".fieldlab").exists()


def test_names_are_completed_and_nothing_breaks_without_a_lab(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_FIELDLAB_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "fieldlab project show o")
    monkeypatch.setenv("COMP_CWORD", "3")
    code, out, err = finish(start(folder=folder))
    assert (code, out.strip(), err) == (0, "", "")
    with monkeypatch.context() as without:
        without.delenv("_FIELDLAB_COMPLETE")
        invoke("init", "--bare")
        invoke("project", "add", "optics")
        invoke("project", "add", "sound")
    assert finish(start(folder=folder))[1].split() == ["optics"]
