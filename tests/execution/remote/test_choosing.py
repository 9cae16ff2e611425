"""Which hosts an attempt gets of those that can be used."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldlab.domain.errors import BadInput
from fieldlab.domain.sites import ALL, HostSpec, Site
from fieldlab.execution.remote.choosing import ANY_ONE, Wish, wish_of

ROLES = ("pub", "sub", "gate")


def site(*roles: tuple[str, ...], tags: tuple[str, ...] = ()) -> Site:
    hosts = tuple(
        HostSpec(name=f"h{n}", address=f"10.0.0.{n}", roles=each, tags=tags)
        for n, each in enumerate(roles, 1)
    )
    return Site(name="bench", hosts=hosts)


def test_a_tool_that_asks_for_nothing_gets_any_one_host() -> None:
    wish = wish_of(site(("pub",), ()), ANY_ONE, ())
    assert wish.choose({"h1", "h2"}) == {"h1": ("pub",)}
    assert wish.choose({"h2"}) == {"h2": ()}
    assert wish.choose(set()) is None
    assert wish.most_at_a_time == 2


def test_all_of_a_role_wait_for_each_other_and_may_do_two_things() -> None:
    wish = wish_of(site(("pub",), ("pub", "sub"), ("sub",)), {"pub": ALL, "sub": ALL}, ())
    assert wish.choose({"h1", "h2", "h3"}) == {
        "h1": ("pub",), "h2": ("pub", "sub"), "h3": ("sub",),
    }  # fmt: skip
    assert wish.choose({"h1", "h2"}) is None
    assert wish.most_at_a_time == 1


def test_where_numbers_are_asked_for_a_host_does_one_thing() -> None:
    wish = wish_of(site(("pub", "sub"), ("pub",), ("sub",)), {"pub": 1, "sub": 2}, ())
    assert wish.choose({"h1", "h2", "h3"}) == {"h1": ("sub",), "h2": ("pub",), "h3": ("sub",)}


@pytest.mark.parametrize(
    ("roles", "tags", "what", "remedy"),
    [
        (
            {"pup": 1},
            (),
            "the role 'pup', and the site 'bench' has none",
            "'pub'",
        ),
        (
            {"pub": 3},
            (),
            "3 hosts with the role 'pub', and the site 'bench' has 2",
            "[sites.",
        ),
        ({"pub": 2, "sub": 2}, (), "too few hosts for 2 × pub, 2 × sub", "Add hosts"),
        ({"": 4}, (), "needs 4 hosts, and the site 'bench' has 3", "Add hosts"),
        (ANY_ONE, ("pi4",), "has no host with the tags pi4", "pi3"),
    ],
)
def test_a_site_that_can_never_do_is_refused(
    roles: Mapping[str, int], tags: tuple[str, ...], what: str, remedy: str
) -> None:
    there = site(("pub", "sub"), ("pub",), ("sub",), tags=("pi3",))
    with pytest.raises(BadInput) as caught:
        wish_of(there, roles, tags)
    assert what in caught.value.what
    assert remedy in caught.value.remedy


def among(wish: Wish, role: str, usable: set[str]) -> list[str]:
    return [host.name for host in wish.candidates(role) if host.name in usable]


@given(
    given_roles=st.lists(st.sets(st.sampled_from(ROLES)).map(tuple), min_size=1, max_size=6),
    asked=st.dictionaries(st.sampled_from(ROLES), st.integers(0, 3), min_size=1),
    usable=st.sets(st.sampled_from([f"h{n}" for n in range(1, 7)])),
)
def test_what_is_chosen_is_what_was_asked_for(
    given_roles: list[tuple[str, ...]], asked: dict[str, int], usable: set[str]
) -> None:
    wish = Wish(roles=asked, hosts=site(*given_roles).hosts)
    chosen = wish.choose(usable)
    if chosen is None:
        numbers = [role for role, count in asked.items() if count != ALL]
        needed = sum(asked.values())
        scarce = [role for role in numbers if len(among(wish, role, usable)) < needed]
        away = [
            host.name
            for role in asked.keys() - set(numbers)
            for host in wish.candidates(role)
            if host.name not in usable
        ]
        assert scarce or away
        return
    assert chosen.keys() <= usable
    for role, count in asked.items():
        having = [name for name, roles in chosen.items() if role in roles]
        assert set(having) <= {host.name for host in wish.candidates(role)}
        if count == ALL:
            assert len(having) == len(wish.candidates(role))
        else:
            assert len(having) == count
