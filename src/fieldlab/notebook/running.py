"""Running a campaign from a script or a notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldlab.app import opened
from fieldlab.domain.errors import IllegalTransition
from fieldlab.domain.trials import CampaignState
from fieldlab.notebook.showing import tell

if TYPE_CHECKING:
    import pandas as pd

    from fieldlab.app import Ended, Lab
    from fieldlab.notebook.defining import Described
    from fieldlab.notebook.showing import Progress
    from fieldlab.ports.store import Campaign
    from fieldlab.settings import Settings


def run(
    function: Callable[..., object] | str | Path,
    *,
    name: str | None = None,
    slots: int | None = None,
    quiet: bool = False,
    **words: Any,
) -> Run:
    """Run a function at every point of a parameter space, and record each try in the lab.

    What is recorded already isn't run again: calling it once more goes on where it stopped, and a
    larger space runs only what is new. Ctrl-C, or a notebook's *interrupt*, lets the running trials
    end and raises KeyboardInterrupt; a second one ends them. `fieldlab resume NAME` goes on, too.

    Parameters
    ----------
    function
        Takes the parameters as keywords and returns a dict, a list of dicts or a DataFrame; with a
        parameter ``repeat`` it also gets the number of the repeat. It may be a lambda, a closure,
        or stand in a cell of a notebook: worker processes get it as a pickle, and a change of its
        source makes a new version of the experiment. Or the path of an ``experiment.yaml``.
    name
        Of the experiment; the function's name if absent.
    slots
        Trials at a time; as many as there are processors if absent.
    quiet
        Show no progress.
    **words
        The keys of a definition: ``matrix``, ``zip``, ``include``, ``exclude``, ``blocks``,
        ``sample``, ``repeat``, ``order`` and ``seed``, or all of them as ``space={…}``; ``retry``,
        ``guard``, ``timeout``, ``description``, ``project``, ``experimenter``, ``funding``. Axes
        may be ranges and numpy's arrays.

    Returns
    -------
    Run
        The campaign as it stands; ``results()`` gives a DataFrame.

    Raises
    ------
    BadInput
        Something is wrong with a keyword; nothing ran. ``problems`` has all of it.
    IllegalTransition
        The campaign was cancelled.
    """
    from fieldlab.notebook.defining import described

    what = described(function, name, slots, words)
    with opened(create=True) as lab:
        return Run(lab.settings, _finished(lab, started(lab, what, tell), quiet=quiet))


def _finished(lab: Lab, campaign: Campaign, *, quiet: bool) -> Campaign:
    """Run a campaign until it ends or stops itself."""
    if campaign.state is CampaignState.FINISHED and not _has_queued(lab, campaign):
        return campaign
    ended = _run_shown(lab, campaign, quiet=quiet)
    if ended.interrupted:
        raise KeyboardInterrupt(f"go on with `fieldlab resume {campaign.name}`")
    return ended.campaign


def started(lab: Lab, what: Described, say: Callable[[str], None]) -> Campaign:
    """Check the function in a process of its own, then make or find the campaign.

    Parameters
    ----------
    say
        Told, in words, that a new version of the experiment begins.

    Raises
    ------
    BadInput
        The function can't be used; nothing was made but its pickle.
    IllegalTransition
        The campaign was cancelled.
    """
    from fieldlab.domain.errors import BadInput
    from fieldlab.notebook.defining import in_keywords

    definition = what.definition
    try:
        if what.callee is not None:
            what.callee.ship(lab.settings.functions)
        lab.check(definition, lab.settings.functions)
    except BadInput as error:
        raise (error if what.callee is None else in_keywords(error, spread=True)) from None
    before = lab.results_tables(definition.name)
    campaign = lab.start(definition)
    if before and campaign.version not in before:
        say(_new_version(campaign, before, shipped=what.callee is not None))
    if campaign.state is CampaignState.CANCELLED:
        raise IllegalTransition(
            f"{campaign.name} was cancelled",
            remedy=f"Take it up again with `fieldlab retry {campaign.name} --cancelled`",
        )
    return with_slots(campaign, definition.executor.slots)


def _new_version(campaign: Campaign, before: Mapping[int, str], *, shipped: bool) -> str:
    """Say why the results seem to be gone, and where they are."""
    experiment, newest = campaign.experiment, max(before)
    changed = "the function's source" if shipped else "what the definition runs"
    return (
        f"{experiment}.v{campaign.version} begins: {changed} has changed;"
        f" the results of {experiment}.v{newest} stay in {before[newest]}"
    )


def with_slots(campaign: Campaign, slots: int) -> Campaign:
    """Let this run have so many slots, whatever the recorded definition says."""
    recorded = campaign.definition
    executor = replace(recorded.executor, slots=slots)
    return replace(campaign, definition=replace(recorded, executor=executor))


def _has_queued(lab: Lab, campaign: Campaign) -> bool:
    from fieldlab.store.queries import activity

    with lab.database.read() as connection:
        return activity(connection, campaign).queued > 0


def _run_shown(lab: Lab, campaign: Campaign, *, quiet: bool) -> Ended:
    from fieldlab.notebook.showing import make_progress

    with make_progress(quiet=quiet) as progress:
        ended = lab.run(campaign, listener=progress.update, on_trouble=progress.tell)
        progress.update(ended.campaign)
        say_if_stopped(progress, ended.campaign)
    return ended


def say_if_stopped(progress: Progress, campaign: Campaign) -> None:
    """Say why a campaign stopped before its end."""
    if campaign.state is CampaignState.TRIPPED:
        progress.tell(f"{campaign.name} was paused by its guard: {campaign.note}")


class Run:
    """A campaign that a script or a notebook has run.

    It says what the database says at the moment: also after others have gone on with it.
    """

    def __init__(self, settings: Settings, campaign: Campaign) -> None:
        self._settings = settings
        self._id = campaign.id
        #: of the campaign, such as ``waves.1``: what the command line calls it
        self.name = campaign.name

    def _lab(self) -> AbstractContextManager[Lab]:
        return opened(self._settings)

    @property
    def campaign(self) -> Campaign:
        """Its row, with all counts."""
        with self._lab() as lab:
            return lab.store.campaign(self._id)

    @property
    def state(self) -> str:
        """Whether it is "finished", or else "paused", "tripped" by the guard, or "cancelled"."""
        return self.campaign.state.value

    @property
    def succeeded(self) -> int:
        """Trials of this campaign that have succeeded."""
        return self.campaign.succeeded

    @property
    def failed(self) -> int:
        """Trials of this campaign that have failed for good."""
        return self.campaign.failed

    def results(self, kind: str = "pandas", *, own_columns: bool = False) -> Any:
        """Read all results of the experiment's version, whichever campaign recorded them.

        Parameters
        ----------
        kind
            "pandas", "polars" or "arrow".
        own_columns
            With the columns that fieldlab adds, such as ``trial_id`` and ``recorded_at``.

        Returns
        -------
        pandas.DataFrame, polars.DataFrame or pyarrow.Table
            A row per row of results: parameters first, then results, in the order of the trials.

        Raises
        ------
        MissingExtra
            A library that it needs isn't installed.
        """
        from fieldlab.notebook.frames import campaign_frame

        with self._lab() as lab:
            campaign = lab.store.campaign(self._id)
            return campaign_frame(lab, campaign, kind, everywhere=True, own_columns=own_columns)

    def failures(self) -> pd.DataFrame:
        """List the trials that failed for good, as `LabReader.failures` does."""
        from fieldlab.notebook.summaries import failures_frame

        with self._lab() as lab:
            return failures_frame(lab, [lab.store.campaign(self._id)])

    def __repr__(self) -> str:
        campaign = self.campaign
        failed = f", {campaign.failed:,} failed" if campaign.failed else ""
        before = f", {campaign.skipped:,} recorded before" if campaign.skipped else ""
        state = campaign.state.value
        return f"<{self.name}: {state}, {campaign.succeeded:,} succeeded{failed}{before}>"
