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

from fieldlab.domain.definition import Definition
from fieldlab.domain.errors import (
    BadInput,
    FieldlabError,
    Halted,
    IllegalTransition,
    StoreReadOnly,
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
    from fieldlab.engine.feed import Feed
    from fieldlab.engine.hosting import RunThread
    from fieldlab.engine.scheduler import Engine


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
    def check(definition: Definition, functions: Path | None = None) -> None:
        """Check all that can be checked before the first trial, the tool in a process of its own.

        Parameters
        ----------
        functions
            The lab's folder of shipped functions, if the definition names one of them.

        Raises
        ------
        BadInput
            Something is wrong with the definition; nothing was done.
        """
        import tempfile

        from fieldlab.engine.hosting import in_own_loop

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
            setup = _setup(definition, Path(scratch), functions)
            in_own_loop(lambda: _start_and_stop(_local(1), setup))

    def start(self, definition: Definition) -> Campaign:
        """Make the campaign of a definition, or find the one that it has; nothing runs yet.

        Raises
        ------
        BadInput
            The settings refuse code that no commit holds, or it names what doesn't exist.
        """
        from fieldlab.engine.origin import check_code

        check_code(definition, self.settings.provenance)
        sequence = self.sequence(definition)
        positions = None if definition.takes_points else sequence.positions
        return self.store.ensure_campaign(
            definition, positions=positions, wanted=sequence.limit, actor=whoami()
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

        Ctrl-C (SIGINT) or SIGTERM once lets the running trials end; twice ends them. That is so in
        the main thread; it may be called from any, and where an event loop runs.

        Raises
        ------
        BadInput
            The tool can't be used; nothing ran.
        IllegalTransition
            The campaign was cancelled; `retry` takes it up again.
        """
        launched = self.launch(campaign, listener=listener, on_trouble=on_trouble, for_s=for_s)
        return launched.wait()

    def launch(
        self,
        campaign: Campaign,
        *,
        listener: Callable[[Campaign], None] = lambda _: None,
        on_trouble: Callable[[str], None] = lambda _: None,
        for_s: float | None = None,
        feed: Feed | None = None,
    ) -> RunThread[Ended]:
        """Begin to run a campaign in a thread of its own; otherwise as :meth:`run`.

        Parameters
        ----------
        feed
            Brings points while it runs; they wait no longer than the engine lives.
        """
        from fieldlab.engine.hosting import RunThread

        async def work(host: RunThread[Ended]) -> Ended:
            end = feed.end if feed is not None else lambda _: None
            try:
                ended = await self._run(campaign, host, listener, on_trouble, for_s, feed)
            except BaseException as error:
                end(error)
                raise
            end(_halted(ended.campaign))
            return ended

        return RunThread(work, on_trouble)

    async def _run(
        self,
        campaign: Campaign,
        host: RunThread[Ended],
        listener: Callable[[Campaign], None],
        on_trouble: Callable[[str], None],
        for_s: float | None,
        feed: Feed | None,
    ) -> Ended:
        engine = await self._ready(campaign, listener, on_trouble, feed)
        host.attach(engine, for_s)
        try:
            ended = await engine.run()
        except StoreUnavailable:
            raise  # to pause the campaign would only wait for the database again
        except FieldlabError as error:
            with suppress(FieldlabError):  # the first error is the one to tell
                self._pause_unattended(campaign.id, error.what)
            raise
        interrupted = host.interruptions > 0
        why = "interrupted" if interrupted else f"ran for {for_s:g} s" if for_s is not None else ""
        if why:
            ended = self._pause_unattended(campaign.id, why)
        return Ended(campaign=ended, interrupted=interrupted)

    async def _ready(
        self,
        campaign: Campaign,
        listener: Callable[[Campaign], None],
        on_trouble: Callable[[str], None],
        feed: Feed | None,
    ) -> Engine:
        """Start the executor, find out what its trials are made with, let them be taken."""
        import asyncio

        from fieldlab.engine.liveness import this_engine
        from fieldlab.engine.origin import captured_for, check_code, uncommitted
        from fieldlab.engine.scheduler import Engine
        from fieldlab.engine.sheet import StatusSheet

        definition = campaign.definition
        check_code(definition, self.settings.provenance)
        executor = EXECUTORS[definition.executor.kind](definition)
        # while the workers start, so that no trial waits for it
        capturing = asyncio.create_task(
            asyncio.to_thread(captured_for, definition, self.settings.provenance)
        )
        attempts = self.settings.attempts / campaign.name
        await executor.start(_setup(definition, attempts, self.settings.functions))
        try:
            campaign = self._set_running(campaign)
            captured = await capturing
            if told := uncommitted(captured, self.settings.provenance):
                on_trouble(told)
            sheet = StatusSheet(
                self.settings.sheet(campaign.name),
                lambda after: self.store.ended_attempts(campaign.id, after),
                on_trouble,
            )
            return Engine(
                self.store,
                executor,
                campaign,
                self.sequence(definition),
                sheet,
                listener,
                on_trouble,
                me=this_engine(executor.slots, user=whoami(), provenance=captured.provenance),
                feed=feed,
            )
        except BaseException:
            await executor.stop()
            raise

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


def keep_from_git(settings: Settings) -> None:
    """Make the lab's own folder, with a note to git that nothing in it is to be kept.

    Raises
    ------
    StoreReadOnly
        The folder can't be made.
    """
    note = settings.home / ".gitignore"
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        if not note.exists():
            note.write_text("*\n")
    except OSError as error:
        raise StoreReadOnly(
            f"The lab's folder {settings.home} can't be made: {error.strerror}",
            remedy="Choose another place with FIELDLAB_HOME",
        ) from error


def _halted(campaign: Campaign) -> Halted:
    """Say why nobody will run the points that wait."""
    why = f": {campaign.note}" if campaign.note else ""
    return Halted(
        f"{campaign.name} is {campaign.state}{why}",
        remedy=f"Open the session again, or run what waits with `fieldlab resume {campaign.name}`",
    )


def _setup(definition: Definition, attempts: Path, functions: Path | None) -> Setup:
    return Setup(
        tool={"kind": definition.tool.kind, "options": dict(definition.tool.options)},
        space=definition.space,
        folder=definition.folder or str(Path.cwd()),
        attempts=str(attempts),
        functions=str(functions or ""),
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
