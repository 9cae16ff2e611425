"""Funding, projects, experimenters, and what experiments link to, on either database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldlab.domain.errors import BadInput, UnknownName
from fieldlab.store import registry
from fieldlab.store.database import Database
from fieldlab.store.registry_fields import KINDS, LARGEST_BUDGET, budget, read_values
from fieldlab.store.sql_store import SqlStore
from tests.store.staging import HandEngine, created, definition, running

GRANT = {
    "agency": "Science Council",
    "award": "AB-12/3",
    "accounts": "cloud-1, cloud-2,cloud-1",
    "budget": "125000.50",
    "currency": "eur",
    "starts_on": "2026-01-01",
    "ends_on": "2028-12-31",
    "note": "two lines\nof text",
}


@pytest.fixture
def write(database: Database) -> Callable[..., None]:
    """Do something in a transaction of its own."""

    def act(what: Callable[..., None], *arguments: Any) -> None:
        with database.begin() as connection:
            what(connection, *arguments)

    return act


def entry(database: Database, kind: str, name: str) -> dict[str, Any]:
    with database.read() as connection:
        return registry.entry(connection, kind, name)


def names(database: Database, kind: str) -> list[str]:
    with database.read() as connection:
        return [each["name"] for each in registry.entries(connection, kind)]


def test_everything_said_about_funding_is_read_back_exactly(
    database: Database, write: Callable[..., None]
) -> None:
    write(registry.add, "funding", "grant", GRANT)
    found = entry(database, "funding", "grant")
    assert found.pop("created_at").tzinfo is not None
    assert found == {
        "name": "grant",
        "agency": "Science Council",
        "award": "AB-12/3",
        "accounts": "cloud-1, cloud-2",
        "budget": Decimal("125000.50"),
        "currency": "EUR",
        "starts_on": date(2026, 1, 1),
        "ends_on": date(2028, 12, 31),
        "note": "two lines\nof text",
    }


@pytest.mark.parametrize("amount", ["0", "0.01", "33333333333.33", str(LARGEST_BUDGET)])
def test_budgets_keep_every_cent(
    database: Database, write: Callable[..., None], amount: str
) -> None:
    write(registry.add, "funding", "grant", {"budget": amount})
    assert entry(database, "funding", "grant")["budget"] == Decimal(amount)


def test_names_that_are_taken_or_can_be_none_are_refused(
    database: Database, write: Callable[..., None]
) -> None:
    write(registry.add, "project", "optics", {"title": "first"})
    with pytest.raises(BadInput, match=r"'optics' already.*project edit optics"):
        write(registry.add, "project", "optics", {"title": "second"})
    for bad in ("", "../optics", "two words", "-x", "a" * 64):
        with pytest.raises(BadInput, match="can't be a name"):
            write(registry.add, "project", bad, {})
    assert names(database, "project") == ["optics"]
    assert entry(database, "project", "optics")["title"] == "first"


@pytest.mark.parametrize(
    ("kind", "field", "text", "says"),
    [
        ("funding", "budget", "-1", "below 0"),
        ("funding", "budget", "12,5", "not an amount"),
        ("funding", "budget", "nan", "not an amount"),
        ("funding", "budget", "1_000", "not an amount"),
        ("funding", "budget", "\N{FULLWIDTH DIGIT ONE}2", "not an amount"),
        ("funding", "budget", "Infinity", "not an amount"),
        ("funding", "budget", "1.005", "more than two decimals"),
        ("funding", "budget", "1e12", "too large"),
        ("funding", "currency", "euro", "not a currency code"),
        ("funding", "currency", "€€€", "not a currency code"),
        ("funding", "starts_on", "2026-02-30", "not a date"),
        ("funding", "starts_on", "2026-13-01", "month must be in 1..12. Write a day that the"),
        ("funding", "starts_on", "31.12.2026", "not a date"),
        ("funding", "ends_on", "20261231", "not a date"),
        ("funding", "agency", "a\nb", "not one line"),
        ("funding", "note", "a\x00b", "not text"),
        ("experimenter", "email", "nobody", "not an e-mail address"),
        ("experimenter", "email", "a@b@c", "not an e-mail address"),
        ("experimenter", "email", "@example.org", "not an e-mail address"),
        ("experiment", "commit", "main", "not a commit"),
        ("experiment", "commit", "abc", "not a commit"),
        ("experiment", "commit", "a" * 65, "not a commit"),
    ],
)
def test_values_that_can_not_be_are_refused(kind: str, field: str, text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        read_values(KINDS[kind], {field: text})
    assert caught.value.problems[0].key == (field,)
    assert caught.value.problems[0].remedy


def test_all_that_is_wrong_is_said_at_once_and_nothing_is_added(
    database: Database, write: Callable[..., None]
) -> None:
    with pytest.raises(BadInput) as caught:
        write(registry.add, "funding", "grant", {"budget": "much", "currency": "gold"})
    assert [problem.key for problem in caught.value.problems] == [("budget",), ("currency",)]
    assert names(database, "funding") == []


@given(st.decimals(0, LARGEST_BUDGET, places=2))
def test_amounts_are_read_exactly(amount: Decimal) -> None:
    assert budget(str(amount)) == amount


def test_funding_ends_after_it_starts_even_when_only_one_end_is_changed(
    database: Database, write: Callable[..., None]
) -> None:
    write(registry.add, "funding", "grant", GRANT)
    with pytest.raises(BadInput, match="ends on 2025-12-31, before it starts on 2026-01-01"):
        write(registry.edit, "funding", "grant", {"ends_on": "2025-12-31"})
    with pytest.raises(BadInput, match="before it starts"):
        write(registry.edit, "funding", "grant", {"starts_on": "2029-01-01"})
    write(registry.edit, "funding", "grant", {"starts_on": "", "ends_on": "2025-12-31"})
    found = entry(database, "funding", "grant")
    assert (found["starts_on"], found["ends_on"]) == (None, date(2025, 12, 31))


def test_editing_changes_what_is_given_and_an_empty_text_takes_it_away(
    database: Database, write: Callable[..., None]
) -> None:
    write(registry.add, "funding", "grant", GRANT)
    write(registry.edit, "funding", "grant", {"agency": "Other", "budget": ""})
    found = entry(database, "funding", "grant")
    assert (found["agency"], found["budget"], found["award"]) == ("Other", None, "AB-12/3")
    with pytest.raises(BadInput, match="Nothing to change"):
        write(registry.edit, "funding", "grant", {})


def test_references_are_names_and_unknown_ones_are_refused_with_the_nearest(
    database: Database, write: Callable[..., None]
) -> None:
    write(registry.add, "funding", "grant", {})
    write(registry.add, "project", "optics", {"funding": "grant"})
    assert entry(database, "project", "optics")["funding"] == "grant"
    with pytest.raises(UnknownName, match="Did you mean 'grant'"):
        write(registry.add, "project", "lasers", {"funding": "grand"})
    with pytest.raises(UnknownName, match="Did you mean 'optics'"):
        write(registry.edit, "project", "optic", {"title": "x"})
    assert names(database, "project") == ["optics"]


def test_what_is_used_can_not_be_removed(
    database: Database, store: SqlStore, write: Callable[..., None]
) -> None:
    write(registry.add, "funding", "grant", {})
    write(registry.add, "project", "optics", {"funding": "grant"})
    created(store, definition("lens", project="optics"))
    with pytest.raises(BadInput, match=r"used by project 'optics'.*edit optics --funding \"\""):
        write(registry.remove, "funding", "grant")
    with pytest.raises(BadInput, match=r"used by experiment 'lens'.*edit lens --project \"\""):
        write(registry.remove, "project", "optics")
    with database.read() as connection:
        assert registry.users_of(connection, "funding", "grant") == {"project": ["optics"]}
    write(registry.edit, "experiment", "lens", {"project": ""})
    write(registry.remove, "project", "optics")
    write(registry.remove, "funding", "grant")
    assert names(database, "funding") == names(database, "project") == []
    with pytest.raises(UnknownName, match="no funding 'grant'"):
        write(registry.remove, "funding", "grant")


def test_a_project_can_not_lie_below_itself(database: Database, write: Callable[..., None]) -> None:
    write(registry.add, "project", "top", {})
    write(registry.add, "project", "middle", {"parent": "top"})
    write(registry.add, "project", "low", {"parent": "middle"})
    for parent in ("top", "middle", "low"):
        with pytest.raises(BadInput, match="can't lie below"):
            write(registry.edit, "project", "top", {"parent": parent})
    write(registry.edit, "project", "low", {"parent": "top"})
    assert entry(database, "project", "low")["parent"] == "top"


def test_experiments_link_to_everything_and_count_what_is_recorded(
    database: Database, store: SqlStore, write: Callable[..., None]
) -> None:
    for kind, name in (("project", "optics"), ("experimenter", "ann"), ("funding", "grant")):
        write(registry.add, kind, name, {})
    engine = HandEngine(store, running(store, definition("lens", points=3), positions=3))
    engine.acquire()
    engine.end(0, 1)
    engine.fail(2)
    engine.record()
    links = {"project": "optics", "experimenter": "ann", "funding": "grant"}
    write(registry.edit, "experiment", "lens", {**links, "commit": "ABCDEF0", "code_link": "x/y"})
    found = entry(database, "experiment", "lens")
    assert {field: found[field] for field in links} == links
    assert (found["commit"], found["campaigns"], found["trials"]) == ("abcdef0", 1, 3)


def test_a_version_of_an_experiment_is_named_with_it(
    database: Database, store: SqlStore, write: Callable[..., None]
) -> None:
    created(store, definition("lens", function="lens:first"))
    created(store, definition("lens", function="lens:second"))
    assert names(database, "experiment") == ["lens", "lens.v2"]
    write(registry.edit, "experiment", "lens", {"cluster": "new"})
    write(registry.edit, "experiment", "lens.v1", {"cluster": "old"})
    assert entry(database, "experiment", "lens.v2")["cluster"] == "new"
    assert entry(database, "experiment", "lens.v1")["cluster"] == "old"
    with pytest.raises(UnknownName, match=r"no experiment 'lens\.v3'"):
        write(registry.edit, "experiment", "lens.v3", {"cluster": "none"})


def test_the_tree_holds_projects_experiments_and_campaigns(
    database: Database, store: SqlStore, write: Callable[..., None]
) -> None:
    write(registry.add, "project", "optics", {"title": "All about light"})
    write(registry.add, "project", "lasers", {"parent": "optics"})
    created(store, definition("pulse", project="lasers"))
    created(store, definition("pulse", points=20, project="lasers"))
    created(store, definition("stray"))
    with database.read() as connection:
        optics, loose = registry.tree(connection)
    assert (optics.name, optics.title, optics.experiments) == ("optics", "All about light", ())
    (lasers,) = optics.projects
    (pulse,) = lasers.experiments
    assert [each.name for each in pulse.campaigns] == ["pulse.1", "pulse.2"]
    assert (loose.name, [each.name for each in loose.experiments]) == ("", ["stray"])
