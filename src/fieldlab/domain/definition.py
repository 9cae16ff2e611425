"""The experiment definition: what an ``experiment.yaml`` says, with its defaults filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from fieldlab.domain.ids import digest
from fieldlab.domain.policies import FailureGuard, RetryPolicy

#: what names of experiments, projects and so on look like
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}"

#: names that no parameter or result may have: the columns that fieldlab adds to every results
#: table, and those that every PostgreSQL table has (on SQLite too, so that a lab can move)
RESERVED_COLUMNS = frozenset(
    {"trial_id", "attempt", "campaign_id", "repeat", "row", "fingerprint", "recorded_at"}
    | {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}
)
#: parameters and results that one experiment may have: columns of its table, of which SQLite
#: allows 2,000 and PostgreSQL 1,600 in all
MOST_COLUMNS = 1_000
#: attempts that one machine is asked to run at a time
MOST_SLOTS = 1_024
#: placeholders of a command that fieldlab fills, and so no parameter may be called
PLACEHOLDERS = frozenset({"out", "here", "attempt", "repeat", "fingerprint"})


def is_name(text: str) -> bool:
    """Say whether ``text`` can name an experiment: letters, digits, ``_`` and ``-``, at most 63."""
    return re.fullmatch(NAME_PATTERN, text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """Which tool runs a trial, and its options as plain data (JSON types only)."""

    #: "function", "shipped" (a function without a name to import it by), "command", or the name of
    #: an installed tool
    kind: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorSpec:
    """Where attempts run, and the executor's options as plain data."""

    kind: str = "local"
    #: attempts at a time; 0 is as many as the machine has processors
    slots: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One experiment, ready to run."""

    name: str
    tool: ToolSpec
    #: the parameter space as plain data, see :func:`fieldlab.domain.parameters.sequence_from`
    space: Mapping[str, Any]
    executor: ExecutorSpec = field(default_factory=ExecutorSpec)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    guard: FailureGuard = field(default_factory=FailureGuard)
    #: longest time that one attempt may take; 0 has no limit
    timeout_s: float = 0.0
    #: noise on the network while a trial runs, see :mod:`fieldlab.domain.noise`
    noise: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    project: str = ""
    experimenter: str = ""
    funding: str = ""
    #: folder that relative paths start from: where the definition lies
    folder: str = ""

    @property
    def identity(self) -> str:
        """Fingerprint of what decides a trial's results besides its parameters: tool and noise."""
        tool = [self.tool.kind, self.tool.options]
        return digest([*tool, self.noise] if self.noise else tool)

    @property
    def takes_points(self) -> bool:
        """Whether its points are submitted one by one while it runs."""
        return "submitted" in self.space

    def to_dict(self) -> dict[str, Any]:
        """Write the definition as plain data that :meth:`from_dict` reads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Definition:
        """Read what :meth:`to_dict` wrote."""
        plain = cls(**{**data, "tool": ToolSpec(**data["tool"])})
        return replace(
            plain,
            executor=ExecutorSpec(**data["executor"]),
            retry=RetryPolicy(**data["retry"]),
            guard=FailureGuard(**data["guard"]),
        )
