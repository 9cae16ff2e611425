"""Lifecycles: what may follow what, who may do it, and how that is explained and drawn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldlab.domain.errors import BadInput, IllegalTransition
from fieldlab.domain.lifecycle import Lifecycle, Role
from fieldlab.domain.trials import (
    ATTEMPT,
    CAMPAIGN,
    TRIAL,
    AttemptState,
    CampaignState,
    TrialState,
)

ANYONE = frozenset({Role.RESEARCHER, Role.ENGINE})
DOOR = Lifecycle(
    entity="door",
    initial="open",
    states=("open", "closed", "walled up"),
    final=frozenset({"walled up"}),
    transitions={
        ("open", "closed"): ANYONE,
        ("closed", "open"): ANYONE,
        ("closed", "walled up"): frozenset({Role.OPERATOR}),
    },
)
SHIPPED = [TRIAL, ATTEMPT, CAMPAIGN]


def test_a_declared_step_passes() -> None:
    DOOR.check("Door 1", "open", "closed")
    DOOR.check("Door 1", "open", "closed", Role.RESEARCHER)
    assert DOOR.allowed("closed") == ("open", "walled up")


@pytest.mark.parametrize(
    ("source", "target", "told"),
    [
        ("open", "walled up", "Door 1 cannot go from 'open' to 'walled up'; allowed: 'closed'"),
        ("closed", "closed", "allowed: 'open', 'walled up'"),
        ("walled up", "open", "cannot go from 'walled up' to 'open'; allowed: none"),
        ("nowhere", "open", "allowed: none"),
    ],
)
def test_another_step_is_refused_and_what_is_allowed_is_named(
    source: str, target: str, told: str
) -> None:
    with pytest.raises(IllegalTransition) as caught:
        DOOR.check("Door 1", source, target)
    assert told in str(caught.value)


def test_a_step_is_for_its_roles() -> None:
    DOOR.check("Door 1", "closed", "walled up", Role.OPERATOR)
    with pytest.raises(IllegalTransition, match="by operator, not by researcher"):
        DOOR.check("Door 1", "closed", "walled up", Role.RESEARCHER)


def test_an_admin_may_take_every_declared_step_and_no_other() -> None:
    DOOR.check("Door 1", "closed", "walled up", Role.ADMIN)
    with pytest.raises(IllegalTransition):
        DOOR.check("Door 1", "open", "walled up", Role.ADMIN)


def test_undeclared_states_are_found_where_the_lifecycle_is_written() -> None:
    with pytest.raises(BadInput, match=r"door uses undeclared states \['ajar'\]"):
        Lifecycle(
            entity="door",
            initial="open",
            states=("open",),
            final=frozenset({"open"}),
            transitions={("open", "ajar"): ANYONE},
        )


def test_a_state_that_cannot_be_left_must_be_final() -> None:
    with pytest.raises(BadInput, match=r"can't leave \['closed'\]"):
        Lifecycle(
            entity="door",
            initial="open",
            states=("open", "closed"),
            final=frozenset(),
            transitions={("open", "closed"): ANYONE},
        )


def test_it_is_drawn() -> None:
    assert DOOR.to_mermaid().splitlines() == [
        "stateDiagram-v2",
        "    [*] --> open",
        "    open --> closed: researcher",
        "    closed --> open: researcher",
        "    closed --> walled up: operator",
        "    walled up --> [*]",
    ]


@pytest.mark.parametrize("lifecycle", SHIPPED, ids=lambda each: str(each.entity))
def test_every_state_can_be_reached(lifecycle: Lifecycle) -> None:
    reached, at = {lifecycle.initial}, [lifecycle.initial]
    while at:
        new = set(lifecycle.allowed(at.pop())) - reached
        reached |= new
        at += new
    assert reached == set(lifecycle.states)


@pytest.mark.parametrize("lifecycle", SHIPPED, ids=lambda each: str(each.entity))
def test_every_step_is_drawn_once(lifecycle: Lifecycle) -> None:
    drawn = lifecycle.to_mermaid()
    for source, target in lifecycle.transitions:
        assert drawn.count(f"    {source} --> {target}") == 1
    assert drawn.startswith("stateDiagram-v2\n")


@pytest.mark.parametrize(
    ("lifecycle", "states"),
    [(TRIAL, TrialState), (ATTEMPT, AttemptState), (CAMPAIGN, CampaignState)],
    ids=lambda each: getattr(each, "entity", ""),
)
def test_the_shipped_states_are_all_declared(
    lifecycle: Lifecycle, states: type[TrialState | AttemptState | CampaignState]
) -> None:
    assert lifecycle.states == tuple(states)
    assert all(len(state) <= 32 for state in lifecycle.states), "the column's width"


def test_what_succeeded_stays_so() -> None:
    assert TRIAL.allowed(TrialState.SUCCEEDED) == ()
    for state in ATTEMPT.final:
        assert ATTEMPT.allowed(state) == ()


def test_people_and_the_engine_have_steps_of_their_own() -> None:
    TRIAL.check("Trial 1", "failed", "queued", Role.RESEARCHER)
    with pytest.raises(IllegalTransition, match="by engine, not by researcher"):
        TRIAL.check("Trial 1", "running", "succeeded", Role.RESEARCHER)
    with pytest.raises(IllegalTransition, match="by engine"):
        CAMPAIGN.check("Campaign 1", "running", "finished", Role.RESEARCHER)


@given(st.sampled_from(SHIPPED), st.data())
def test_check_and_allowed_agree(lifecycle: Lifecycle, data: st.DataObject) -> None:
    source, target = (data.draw(st.sampled_from(lifecycle.states)) for _ in range(2))
    if target in lifecycle.allowed(source):
        lifecycle.check("It", source, target, Role.ADMIN)
        return
    with pytest.raises(IllegalTransition) as caught:
        lifecycle.check("It", source, target, Role.ADMIN)
    assert all(f"'{state}'" in str(caught.value) for state in lifecycle.allowed(source))
