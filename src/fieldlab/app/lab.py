"""A lab, put together: its settings, its database, and the engine that runs its campaigns.

What only a run needs is imported when one begins: looking at a lab is to take no time.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fieldlab.app.interrupts import interrupts
from fieldlab.domain.definition import Definition
from fieldlab.domain.errors import (
    BadInput,
    FieldlabError,
    IllegalTransition,
    StoreUnavailable,
    nearest,
)
from fieldlab.domain.trials import CampaignState, TrialState
from fieldlab.ports.executor import Executor, Setup
from fieldlab.ports.store import Campaign
from fieldlab.settings import Settings, load_settings
from fieldlab.store.database import Database
from fieldlab.store.sql_store import SqlStore

if TYPE_CHECKING:
    from fieldlab.domain.parameters import TrialSequence


def _local(slots: int) -> Executor:
    from fieldlab.execution.local import LocalExecutor

    return LocalExecutor(slots)


EXECUTORS: dict[str, Callable[[Definition], Executor]] = {
    "local": lambda definition: _local(definition.executor.slots)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run of the engine ended."""

    campaign: Campaign
    #: by Ctrl-C or a termination signal
    interrupted: bool = False


class Lab:
    """A lab: its settings, its database, and what can be done with them.

    Parameters
    ----------
    settings
        Where it lies; the current folder's lab if absent.
    create
        Make the database if there is none yet, instead of saying so.
    """

    def __init__(self, settings: Settings | None = None, *, create: bool = False) -> None:
        self.settings = settings or load_settings()
        self.database = Database(self.settings.database)
        self.store = SqlStore(self.database)
        if create and self.database.version() is None:
            self.database.upgrade()
        self.database.require_current()

    def close(self) -> None:
        """Give back the database's connections."""
        self.database.close()

    @staticmethod
    def sequence(definition: Definition) -> TrialSequence:
        """Make the sequence of trials that a definition describes."""
        from fieldlab.domain.parameters import sequence_from
        from fieldlab.execution.sequences import quasi_sequence

        return sequence_from(definition.space, quasi=quasi_sequence)

    # --- from a definition to a campaign ------------------------------------------------------

    @staticmethod
    def check(definition: Definition) -> None:
        """Check all that can be checked before the first trial, the tool in a process of its own.

        Raises
        ------
        BadInput
            Something is wrong with the definition; nothing was done.
        """
        import asyncio
        import tempfile

        if definition.executor.kind not in EXECUTORS:
            raise BadInput(
                f"There is no executor '{definition.executor.kind}'",
                remedy=nearest(definition.executor.kind, EXECUTORS)
                or f"Executors: {', '.join(EXECUTORS)}",
                key=("executor",),
            )
        with tempfile.TemporaryDirectory(
            prefix="fieldlab-check-", ignore_cleanup_errors=True
        ) as scratch:
            asyncio.run(_start_and_stop(_local(1), _setup(definition, Path(scratch))))

    def start(self, definition: Definition) -> Campaign:
        """Make the campaign of a definition, or find the one that it has; nothing runs yet."""
        sequence = self.sequence(definition)
        return self.store.ensure_campaign(
            definition, positions=sequence.positions, wanted=sequence.limit, actor=whoami()
        )

    # --- running ------------------------------------------------------------------------------

    def run(
        self,
        campaign: Campaign,
        *,
        listener: Callable[[Campaign], None] = lambda _: None,
        on_trouble: Callable[[str], None] = lambda _: None,
        for_s: float | None = None,
    ) -> Ended:
        """Run a campaign in this process until it ends, pauses, or is interrupted.

        Ctrl-C (SIGINT) or SIGTERM once lets the running trials end; twice ends them.

        Raises
        ------
        BadInput
            The tool can't be used; nothing ran.
        IllegalTransition
            The campaign was cancelled; `retry` takes it up again.
        """
        import asyncio
        import gc

        thresholds = gc.get_threshold()
        gc.set_threshold(100_000, 50, 50)  # records come by the thousand, and none is cyclic
        try:
            return asyncio.run(self._run(campaign, listener, on_trouble, for_s))
        finally:
            gc.set_threshold(*thresholds)

    async def _run(
        self,
        campaign: Campaign,
        listener: Callable[[Campaign], None],
        on_trouble: Callable[[str], None],
        for_s: float | None,
    ) -> Ended:
        import asyncio

        from fieldlab.engine.scheduler import Engine
        from fieldlab.engine.sheet import StatusSheet

        definition = campaign.definition
        executor = EXECUTORS[definition.executor.kind](definition)
        await executor.start(_setup(definition, self.settings.attempts / campaign.name))
        try:
            campaign = self._set_running(campaign)
            sheet = StatusSheet(
                self.settings.sheet(campaign.name),
                lambda after: self.store.ended_attempts(campaign.id, after),
                on_trouble,
            )
            engine = Engine(
                self.store,
                executor,
                campaign,
                self.sequence(definition),
                sheet,
                listener,
                on_trouble,
            )
        except BaseException:
            await executor.stop()
            raise
        with interrupts(
            engine, "Waiting for the running trials to end; once more stops them", on_trouble
        ) as interruptions:
            if for_s is not None:
                asyncio.get_running_loop().call_later(for_s, engine.drain)
            try:
                ended = await engine.run()
            except FieldlabError as error:
                if isinstance(error, StoreUnavailable):
                    raise  # to pause it would only wait for the database again
                with suppress(FieldlabError):  # the first error is the one to tell
                    self._pause_unattended(campaign.id, error.what)
                raise
        why = "interrupted" if interruptions else ""
        if not why and for_s is not None:
            why = f"ran for {for_s:g} s"
        if why:
            ended = self._pause_unattended(campaign.id, why)
        return Ended(campaign=ended, interrupted=bool(interruptions))

    def _pause_unattended(self, campaign_id: int, why: str) -> Campaign:
        """Pause a campaign that runs, unless another engine works on it."""
        campaign = self.store.campaign(campaign_id)
        if campaign.state is not CampaignState.RUNNING or self.engines_alive(campaign):
            return campaign
        return self.store.change_state(campaign_id, CampaignState.PAUSED, by=whoami(), why=why)

    def _set_running(self, campaign: Campaign) -> Campaign:
        """Let engines take the campaign's trials; take over from engines that died."""
        self._take_over(campaign)
        current = self.store.campaign(campaign.id)
        if current.state is CampaignState.RUNNING:
            return current
        try:
            return self.store.change_state(campaign.id, CampaignState.RUNNING, by=whoami(), why="")
        except IllegalTransition:
            current = self.store.campaign(campaign.id)
            if current.state is CampaignState.RUNNING:  # another engine was faster
                return current
            raise

    def _take_over(self, campaign: Campaign) -> int:
        """Write out the engines that died; how many attempts were lost with them."""
        return self.store.recover(campaign.id, self._engines(campaign)[1])

    def _engines(self, campaign: Campaign) -> tuple[int, list[str]]:
        """Count the engines that are alive, and list the ids of those that died."""
        signs = self.store.live_engines(campaign.id)
        if not signs:
            return 0, []
        from fieldlab.engine.liveness import dead_engines

        dead = dead_engines(signs)
        return len(signs) - len(dead), dead

    def engines_alive(self, campaign: Campaign) -> int:
        """Count the processes that work on a campaign now."""
        return self._engines(campaign)[0]

    # --- from outside -------------------------------------------------------------------------

    def find(self, name: str) -> Campaign:
        """Find a campaign, or the newest of an experiment.

        Raises
        ------
        UnknownName
            With the nearest name that exists.
        """
        return self.store.find(name)

    def pause(self, name: str) -> Campaign:
        """Let the running trials of a campaign end and no other begin, wherever it runs."""
        return self._change(name, CampaignState.PAUSED, "paused by hand")

    def cancel(self, name: str) -> Campaign:
        """End a campaign: what runs is ended, what waits is cancelled, what is recorded stays."""
        return self._change(name, CampaignState.CANCELLED, "cancelled by hand")

    def _change(self, name: str, target: CampaignState, why: str) -> Campaign:
        campaign = self.find(name)
        changed = self.store.change_state(campaign.id, target, by=whoami(), why=why)
        # what ran when an engine was killed is queued or cancelled now, not left as running
        return self.store.campaign(campaign.id) if self._take_over(campaign) else changed

    def retry(self, name: str, states: Collection[TrialState]) -> int:
        """Queue a campaign's failed (or cancelled) trials again; how many there were."""
        campaign = self.find(name)
        self._take_over(campaign)
        return self.store.requeue(campaign.id, states, by=whoami())


def _setup(definition: Definition, attempts: Path) -> Setup:
    return Setup(
        tool={"kind": definition.tool.kind, "options": dict(definition.tool.options)},
        space=definition.space,
        folder=definition.folder or str(Path.cwd()),
        attempts=str(attempts),
        timeout_s=definition.timeout_s,
        patience=definition.guard.consecutive_failures,
    )


async def _start_and_stop(executor: Executor, setup: Setup) -> None:
    try:
        await executor.start(setup)
    finally:
        await executor.stop()


def whoami() -> str:
    """Name the person who acts, for the journal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
