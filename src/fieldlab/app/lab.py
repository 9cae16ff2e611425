"""A lab, put together: its settings, its database, and the engine that runs its campaigns.

What only a run needs is imported when one begins: looking at a lab is to take no time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fieldlab.app.custody import Custody, Ended, whoami
from fieldlab.app.executors import check_tool
from fieldlab.app.setups import setup_of
from fieldlab.domain.definition import Definition
from fieldlab.domain.errors import StoreReadOnly
from fieldlab.domain.trials import CampaignState, TrialState
from fieldlab.ports.store import Campaign
from fieldlab.settings import Settings, load_settings
from fieldlab.store.database import Database
from fieldlab.store.sql_store import SqlStore

if TYPE_CHECKING:
    from fieldlab.domain.parameters import TrialSequence
    from fieldlab.engine.feed import Feed
    from fieldlab.engine.hosting import RunThread


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
        self.custody = Custody(self.store)

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
    def check(
        definition: Definition, functions: Path | None = None, settings: Settings | None = None
    ) -> None:
        """Check all that can be checked before the first trial, the tool in a process of its own.

        Parameters
        ----------
        functions
            The lab's folder of shipped functions, if the definition names one of them.
        settings
            Say which sites there are; the current folder's lab's if absent.

        Raises
        ------
        BadInput
            Something is wrong with the definition; nothing was done.
        """
        import tempfile

        from fieldlab.engine.hosting import in_own_loop

        with tempfile.TemporaryDirectory(
            prefix="fieldlab-check-", ignore_cleanup_errors=True
        ) as scratch:
            setup = setup_of(definition, Path(scratch), functions)
            in_own_loop(lambda: check_tool(settings or load_settings(), definition, setup))

    def check_names(self, definition: Definition) -> None:
        """Refuse a definition that names a project, experimenter or funding which isn't here.

        Raises
        ------
        UnknownName
            ``problems`` lists them all; each says how to add it.
        """
        from fieldlab.store.experiments import require_named

        with self.database.read() as connection:
            require_named(connection, definition)

    def results_tables(self, experiment: str) -> dict[int, str]:
        """Name the results tables of an experiment, by version; empty if there is none yet."""
        from fieldlab.store.experiments import results_tables

        with self.database.read() as connection:
            return results_tables(connection, experiment)

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
        from fieldlab.app.launching import Launch
        from fieldlab.engine.hosting import RunThread

        launch = Launch(
            settings=self.settings,
            store=self.store,
            custody=self.custody,
            sequence=self.sequence(campaign.definition),
            campaign=campaign,
            listener=listener,
            on_trouble=on_trouble,
            for_s=for_s,
            feed=feed,
        )
        return RunThread(launch.run, on_trouble)

    def engines_alive(self, campaign: Campaign) -> int:
        """Count the processes that work on a campaign now."""
        return self.custody.engines_alive(campaign)

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
        return self.store.campaign(campaign.id) if self.custody.take_over(campaign) else changed

    def retry(self, name: str, states: Collection[TrialState]) -> int:
        """Queue a campaign's failed (or cancelled) trials again; how many there were."""
        campaign = self.find(name)
        self.custody.take_over(campaign)
        return self.store.requeue(campaign.id, states, by=whoami())


@contextmanager
def opened(settings: Settings | None = None, *, create: bool = False) -> Iterator[Lab]:
    """Open a lab, that of the current folder if absent, and close it afterwards.

    Parameters
    ----------
    create
        Make it, with its folder, if there is none.
    """
    settings = settings or load_settings()
    if create:
        _keep_from_git(settings)
    lab = Lab(settings, create=create)
    try:
        yield lab
    finally:
        lab.close()


def _keep_from_git(settings: Settings) -> None:
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
