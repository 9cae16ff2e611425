"""Reading a lab from Python, also while campaigns run: nothing here writes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from fieldlab.app import Lab
from fieldlab.domain.errors import BadInput
from fieldlab.domain.trials import CampaignState
from fieldlab.notebook.frames import results_frame
from fieldlab.settings import FOLDER, Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from fieldlab.notebook.tree import LabTree
    from fieldlab.ports.store import Campaign


def open(place: str | os.PathLike[str] | None = None) -> LabReader:  # noqa: A001
    """Open a lab to read it.

    Parameters
    ----------
    place
        A folder of the lab, its database file, or a database URL; if absent, the lab of the
        current folder, found as the command line finds it.

    Raises
    ------
    NoLab
        There is none; `fieldlab init` or a first run makes one.
    BadInput
        It is not a place.
    """
    return LabReader(Lab(_settings(place)))


def _settings(place: str | os.PathLike[str] | None) -> Settings:
    if place is None:
        return load_settings()
    if not isinstance(place, str | os.PathLike):
        raise BadInput(
            f"{place!r} is not a place",
            remedy="Give a folder, a database file or a database URL, as text or a path",
            key=("place",),
        )
    if isinstance(place, str) and "://" in place:
        return Settings(home=load_settings().home, database=place)
    path = Path(place).expanduser().absolute()
    if path.name == FOLDER or path.is_file() or path.suffix == ".db":
        home, file = (path, path / "lab.db") if path.name == FOLDER else (path.parent, path)
        return Settings(home=home, database=f"sqlite:///{file}")
    return load_settings(path, environ={})


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        remedy = "Give the name of an experiment or a campaign, as text"
        raise BadInput(f"{name!r} is not a name", remedy=remedy, key=("name",))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class LabReader:
    """What a lab holds, as it is whenever it is asked.

    Each call reads one moment of the database: never half a trial, and without holding up those
    who write. A name is an experiment's, which stands for all its campaigns, or a campaign's.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<fieldlab lab in {self._lab.database.place}>"

    def close(self) -> None:
        """Give back the database's connections; it may be used again."""
        self._lab.close()

    @overload
    def results(
        self, name: str, kind: Literal["pandas"] = ..., *, own_columns: bool = ...
    ) -> pd.DataFrame: ...

    @overload
    def results(self, name: str, kind: str, *, own_columns: bool = ...) -> Any: ...

    def results(self, name: str, kind: str = "pandas", *, own_columns: bool = True) -> Any:
        """Read results into a frame: parameters first, in the order of their trials.

        Parameters
        ----------
        name
            An experiment, for what all its campaigns have recorded, or a campaign, for its own
            part.
        kind
            "pandas" for a DataFrame; "polars" for one of polars; "arrow" for a pyarrow Table.
        own_columns
            With the columns that fieldlab adds behind them: `trial_id`, `row`, `campaign_id`,
            `attempt`, `repeat`, `recorded_at`.

        Returns
        -------
        pandas.DataFrame, polars.DataFrame or pyarrow.Table
            A row per recorded row. Integers and booleans stay what they are where values are
            missing (`Int64`, `boolean`), moments are in UTC.

        Raises
        ------
        UnknownName
            With the nearest name that exists.
        BadInput
            There is no such kind of frame, or the name is not text.
        MissingExtra
            A library that it needs isn't installed.
        """
        _check_name(name)
        return results_frame(self._lab, name, kind, own_columns=own_columns)

    def campaigns(self) -> pd.DataFrame:
        """List the campaigns, the oldest first.

        Returns
        -------
        pandas.DataFrame
            `name`, `experiment`, `state`; trials: `done`, `total` (missing if there is no end),
            `succeeded`, `failed`, `cancelled`, `skipped`; `attempts`; `created_at`, `started_at`,
            `ended_at` (UTC); `note`. A campaign whose engine was killed is `interrupted`.
        """
        from fieldlab.notebook.summaries import campaigns_frame

        engines = self._engines()
        return campaigns_frame(self._lab.store.campaigns(), engines)

    def _engines(self) -> Mapping[int, int]:
        """Count the engines that are alive, by the ids of the campaigns that run.

        Asked before the campaigns are read for good: one that finishes meanwhile isn't taken for
        interrupted then.
        """
        return {
            each.id: self._lab.engines_alive(each)
            for each in self._lab.store.campaigns()
            if each.state is CampaignState.RUNNING
        }

    def failures(self, name: str | None = None) -> pd.DataFrame:
        """List the failed trials: parameters first, then how and where the last attempt ended.

        Parameters
        ----------
        name
            Of an experiment or a campaign; all if absent.

        Returns
        -------
        pandas.DataFrame
            A column per parameter; `campaign`, `fingerprint`, `repeat`, `attempts`; `status`, such
            as "ValueError: too large"; `failure`: whose fault it was; `exit_code`; `error`: the
            traceback, or what a command wrote last; `host`; `started_at`, `ended_at` (UTC). One of
            these that a parameter is called, too, has `fieldlab_` before its name.

        Raises
        ------
        UnknownName
            With the nearest name that exists.
        """
        from fieldlab.notebook.summaries import failures_frame

        return failures_frame(self._lab, self._named(name))

    def _named(self, name: str | None) -> Sequence[Campaign]:
        campaigns = self._lab.store.campaigns()
        if name is None:
            return campaigns
        _check_name(name)
        found = self._lab.find(name)
        if not found.is_all_of(name):
            return [found]
        return [each for each in campaigns if each.experiment_id == found.experiment_id]

    def tree(self) -> LabTree:
        """Draw the lab: projects, their experiments, the experiments' campaigns.

        With who pays and who does it; text when it is printed, HTML in a notebook.
        """
        from fieldlab.notebook.tree import tree_of
        from fieldlab.store import registry

        engines = self._engines()
        with self._lab.database.read() as connection:
            return tree_of(registry.tree(connection), engines)

    def watch(self, name: str, *, every_s: float = 1.0, for_s: float | None = None) -> None:
        """Show a campaign as it goes, until it ends, pauses, or nothing works on it any more.

        In a notebook the output is redrawn in place, with a picture of how far each point is when
        two parameters are numbers. Elsewhere it is a line when something has changed.

        Parameters
        ----------
        name
            A campaign, or an experiment for its newest.
        every_s
            How often to look, s; less often where looking takes long.
        for_s
            Stop watching after so many seconds; the campaign goes on.

        Raises
        ------
        UnknownName
            With the nearest name that exists.
        """
        from fieldlab.notebook.watching import watch

        _check_name(name)
        for key, given in (("every_s", every_s), ("for_s", for_s)):
            if given is not None and not (_is_number(given) and given >= 0):
                remedy = "Give a number of seconds"
                raise BadInput(f"{given!r} is not a duration", remedy=remedy, key=(key,))
        watch(self._lab, name, every_s=every_s, for_s=for_s)
