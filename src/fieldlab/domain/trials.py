"""Trials, attempts and campaigns: their states and what one try ends in."""

from __future__ import annotations

from enum import StrEnum

from fieldlab.domain.ids import Value
from fieldlab.domain.lifecycle import Lifecycle, Role

_ENGINE = frozenset({Role.ENGINE})
_PEOPLE = frozenset({Role.RESEARCHER, Role.OPERATOR, Role.ENGINE})


class TrialState(StrEnum):
    """A trial that nothing has touched is PLANNED and has no row."""

    PLANNED = "planned"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptState(StrEnum):
    """NEW is the state before the first record of an attempt; it has no row."""

    NEW = "new"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    #: its engine died or was stopped, so nobody knows how it would have ended
    LOST = "lost"
    CANCELLED = "cancelled"


#: end status of an attempt that is lost because its engine was stopped, which is no failure
STOPPED = "stopped"


class CampaignState(StrEnum):
    """RUNNING means that engines may take its trials, not that one is alive."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    #: the failure guard stopped it
    TRIPPED = "tripped"
    FINISHED = "finished"
    CANCELLED = "cancelled"


class FailureClass(StrEnum):
    """Whose fault a failed attempt is."""

    #: host, link, disk, a lost process: doesn't use up the trial's tries
    INFRASTRUCTURE = "infrastructure"
    #: the program failed
    EXPERIMENT = "experiment"
    #: it ran, but the data is bad
    VERDICT = "verdict"


#: A short trial goes from planned to its end in one recorded step: its range was leased, and the
#: lease stands for `running`.
TRIAL = Lifecycle(
    entity="trial",
    initial=TrialState.PLANNED,
    states=tuple(TrialState),
    final=frozenset({TrialState.SUCCEEDED}),
    transitions={
        (TrialState.PLANNED, TrialState.RUNNING): _ENGINE,
        (TrialState.PLANNED, TrialState.SUCCEEDED): _ENGINE,
        (TrialState.PLANNED, TrialState.FAILED): _ENGINE,
        (TrialState.PLANNED, TrialState.QUEUED): _ENGINE,
        (TrialState.QUEUED, TrialState.RUNNING): _ENGINE,
        (TrialState.QUEUED, TrialState.CANCELLED): _PEOPLE,
        (TrialState.RUNNING, TrialState.SUCCEEDED): _ENGINE,
        (TrialState.RUNNING, TrialState.FAILED): _ENGINE,
        (TrialState.RUNNING, TrialState.QUEUED): _ENGINE,
        (TrialState.RUNNING, TrialState.CANCELLED): _PEOPLE,
        (TrialState.FAILED, TrialState.QUEUED): _PEOPLE,
        (TrialState.CANCELLED, TrialState.QUEUED): _PEOPLE,
    },
)

ATTEMPT = Lifecycle(
    entity="attempt",
    initial=AttemptState.NEW,
    states=tuple(AttemptState),
    final=frozenset(
        {AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.LOST, AttemptState.CANCELLED}
    ),
    transitions={
        (source, target): _ENGINE
        for source in (AttemptState.NEW, AttemptState.RUNNING)
        for target in (
            AttemptState.RUNNING,
            AttemptState.SUCCEEDED,
            AttemptState.FAILED,
            AttemptState.LOST,
            AttemptState.CANCELLED,
        )
        if source != target
    },
    journaled=False,
)

CAMPAIGN = Lifecycle(
    entity="campaign",
    initial=CampaignState.CREATED,
    states=tuple(CampaignState),
    final=frozenset(),
    transitions={
        (CampaignState.CREATED, CampaignState.RUNNING): _PEOPLE,
        (CampaignState.CREATED, CampaignState.CANCELLED): _PEOPLE,
        (CampaignState.RUNNING, CampaignState.PAUSED): _PEOPLE,
        (CampaignState.RUNNING, CampaignState.TRIPPED): _ENGINE,
        (CampaignState.RUNNING, CampaignState.FINISHED): _ENGINE,
        (CampaignState.RUNNING, CampaignState.CANCELLED): _PEOPLE,
        (CampaignState.PAUSED, CampaignState.RUNNING): _PEOPLE,
        (CampaignState.PAUSED, CampaignState.CANCELLED): _PEOPLE,
        (CampaignState.TRIPPED, CampaignState.RUNNING): _PEOPLE,
        (CampaignState.TRIPPED, CampaignState.CANCELLED): _PEOPLE,
        (CampaignState.FINISHED, CampaignState.RUNNING): _PEOPLE,
        (CampaignState.CANCELLED, CampaignState.RUNNING): _PEOPLE,
    },
    publishes={
        CampaignState.FINISHED: "campaign.finished",
        CampaignState.TRIPPED: "campaign.tripped",
        CampaignState.PAUSED: "campaign.paused",
        CampaignState.CANCELLED: "campaign.cancelled",
    },
)

#: one row of results: column → value
Row = dict[str, Value]
