"""Lifecycles: which states a thing can be in, and who may take it from one to the next.

A lifecycle is data. The store keeps it (a CHECK on every state column, a compare-and-set for every
step), the documentation draws it, and :meth:`Lifecycle.check` explains a step that isn't allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from fieldlab.domain.errors import BadInput, IllegalTransition


class Role(StrEnum):
    """Who takes a step. The engine itself acts as ``ENGINE``."""

    RESEARCHER = "researcher"
    OPERATOR = "operator"
    REVIEWER = "reviewer"
    ADMIN = "admin"
    ENGINE = "engine"


@dataclass(frozen=True, kw_only=True)
class Lifecycle:
    """Declared states and the allowed steps between them.

    ``transitions`` maps (from, to) to the roles that may take that step. ``publishes`` maps a state
    to the topic of the message that entering it sends. ``journaled`` says whether the
    engine's steps are written to the journal of events, as people's always are; it is off only
    where the rows themselves are the history.
    """

    entity: str
    initial: str
    states: tuple[str, ...]
    final: frozenset[str]
    transitions: Mapping[tuple[str, str], frozenset[Role]]
    publishes: Mapping[str, str] = field(default_factory=dict)
    journaled: bool = True

    def __post_init__(self) -> None:
        known = set(self.states)
        used = {state for step in self.transitions for state in step}
        stray = (used | self.final | set(self.publishes) | {self.initial}) - known
        if stray:
            raise BadInput(f"lifecycle of {self.entity} uses undeclared states {sorted(stray)}")
        stuck = known - self.final - {source for source, _ in self.transitions}
        if stuck:
            raise BadInput(f"lifecycle of {self.entity} can't leave {sorted(stuck)}")

    @cached_property
    def _targets(self) -> Mapping[str, tuple[str, ...]]:
        targets: dict[str, tuple[str, ...]] = dict.fromkeys(self.states, ())
        for source, target in self.transitions:
            targets[source] += (target,)
        return targets

    def allowed(self, state: str) -> tuple[str, ...]:
        """List the states that can follow ``state``, in the order in which they are declared."""
        return self._targets.get(state, ())

    def check(self, who: str, source: str, target: str, role: Role = Role.ENGINE) -> None:
        """Let a legal step pass.

        Raises
        ------
        IllegalTransition
            The step isn't declared, or not for this role. The message names what is allowed.
        """
        roles = self.transitions.get((source, target))
        if roles is None:
            options = ", ".join(f"'{state}'" for state in self.allowed(source)) or "none"
            raise IllegalTransition(
                f"{who} cannot go from '{source}' to '{target}'; allowed: {options}"
            )
        if role not in roles and role is not Role.ADMIN:
            names = ", ".join(sorted(roles))
            raise IllegalTransition(
                f"{who} can be taken from '{source}' to '{target}' by {names}, not by {role}"
            )

    def to_mermaid(self) -> str:
        """Draw the lifecycle as a Mermaid state diagram."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.initial}"]
        for (source, target), roles in self.transitions.items():
            people = sorted(role for role in roles if role is not Role.ENGINE)
            lines.append(
                f"    {source} --> {target}" + (f": {', '.join(people)}" if people else "")
            )
        lines += [f"    {state} --> [*]" for state in self.states if state in self.final]
        return "\n".join(lines) + "\n"
