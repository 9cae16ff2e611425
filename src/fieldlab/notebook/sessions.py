"""Submitting points one by one, for a search that decides by the results where to look next."""

from __future__ import annotations

import concurrent.futures
import contextlib
import inspect
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from fieldlab.app import opened
from fieldlab.domain.axis_reading import read_value
from fieldlab.domain.errors import BadInput, FieldlabError, IllegalTransition, Problem, nearest
from fieldlab.domain.parameters import TrialPoint
from fieldlab.engine.feed import Feed, TrialFuture
from fieldlab.notebook.defining import SPACE, described, in_keywords, parameters_of, plain
from fieldlab.notebook.running import Run, say_if_stopped, started
from fieldlab.notebook.showing import make_progress

if TYPE_CHECKING:
    from fieldlab.app import Ended, Lab
    from fieldlab.engine.hosting import RunThread
    from fieldlab.notebook.defining import Described
    from fieldlab.settings import Settings


def session(
    function: Callable[..., object] | str | Path,
    *,
    name: str | None = None,
    parameters: Iterable[str] | None = None,
    slots: int | None = None,
    quiet: bool = True,
    **words: Any,
) -> Session:
    """Open a campaign whose points are submitted one by one.

    It begins when the session is entered by ``with``, or with the first point; until then nothing
    is written.

    Points that were submitted before and haven't ended, because the program was killed or left the
    session by an exception, are run as well.

    Parameters
    ----------
    function
        As for `fieldlab.run`; a definition's file has ``space: {submitted: [x, y]}``.
    name
        Of the experiment; the function's name if absent.
    parameters
        Names of the parameters; those of the function if absent.
    slots
        Trials at a time; as many as there are processors if absent.
    quiet
        Show no progress.
    **words
        ``retry``, ``guard``, ``timeout``, ``description``, ``project``, ``experimenter``,
        ``funding``, as in a definition.

    Raises
    ------
    BadInput
        Something is wrong with a keyword; nothing was written.
    """
    what, names = _described(function, name, parameters, slots, words)
    from fieldlab.settings import load_settings

    return Session(load_settings(), what, defaults=_defaults(function, names), quiet=quiet)


def as_completed(
    futures: Iterable[TrialFuture], timeout: float | None = None
) -> Iterator[TrialFuture]:
    """Give futures as they are done, as ``concurrent.futures.as_completed`` does.

    Parameters
    ----------
    timeout
        Longest time that all of it may take, s.

    Raises
    ------
    TimeoutError
        It took longer.
    BadInput
        One of them is not a future.
    """
    futures = list(futures)
    for each in futures:
        if not isinstance(each, concurrent.futures.Future):
            raise BadInput(f"{each!r} is not a future", remedy="Give what `submit` returned")
    done: Any = concurrent.futures.as_completed(futures, timeout)
    yield from done


def _described(
    function: Callable[..., object] | str | Path,
    name: str | None,
    parameters: Iterable[str] | None,
    slots: int | None,
    words: Mapping[str, Any],
) -> tuple[Described, list[str]]:
    """Check what a script says; give the definition and the names of the parameters."""
    if callable(function):
        _refuse_space(words)
        names = list(parameters) if parameters is not None else parameters_of(function)
        try:
            what = described(function, name, slots, {**words, "space": {"submitted": names}})
        except BadInput as error:
            raise in_keywords(error, spread=False) from None
    else:
        what = described(function, name, slots, words)
        if not what.definition.takes_points:
            raise BadInput(
                f"The definition {function} has a space of its own",
                remedy="Write space: {submitted: [x, y]} for points that are submitted,"
                " or run it with `fieldlab.run`",
                key=("space", "submitted"),
            )
        names = list(what.definition.space["submitted"])
    return what, names


def _refuse_space(words: Iterable[str]) -> None:
    given = [word for word in words if word in (*SPACE, "space")]
    if given:
        raise BadInput.of(
            Problem(
                what="a session takes points by submit, not a space",
                remedy="Leave it out, or use `fieldlab.run`",
                key=(word,),
            )
            for word in given
        )


def _defaults(function: object, names: Sequence[str]) -> dict[str, Any]:
    """Find the values that parameters have which a point leaves out."""
    if not callable(function):
        return {}
    try:
        accepted = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
    return {
        name: plain(accepted[name].default)
        for name in names
        if name in accepted and accepted[name].default is not inspect.Parameter.empty
    }


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_point(value: object) -> bool:
    return isinstance(value, Mapping)


class Session(Run):
    """A campaign that takes points; make one with `fieldlab.session`.

    As a context manager it ends like a ``concurrent.futures`` executor: it waits for all that was
    submitted, and the campaign is finished. When an exception leaves it, the running trials end,
    and those that wait stay queued for the next session or `fieldlab resume`.
    """

    def __init__(
        self, settings: Settings, what: Described, *, defaults: Mapping[str, Any], quiet: bool
    ) -> None:
        self._settings = settings
        self._what = what
        #: of the campaign, such as ``tune.1``; of the experiment before it begins
        self.name = what.definition.name
        self._names: tuple[str, ...] = tuple(what.definition.space["submitted"])
        self._defaults = defaults
        self._feed = Feed()
        self._beginning = threading.Lock()
        self._closing = threading.Lock()
        self._progress = make_progress(quiet=quiet)
        #: the lab and the progress, while they are open
        self._held: contextlib.ExitStack | None = None
        self._engine: RunThread[Ended] | None = None

    def _begin(self) -> None:
        """Make or find the campaign, and start its engine, unless that was done."""
        with self._beginning:
            if self._engine is None and not self._feed.is_over:
                self._launch()

    def _launch(self) -> None:
        with contextlib.ExitStack() as undoing:
            lab = undoing.enter_context(opened(self._settings, create=True))
            campaign = started(lab, self._what, self._progress.tell)
            super().__init__(self._settings, campaign)
            undoing.enter_context(self._progress)
            self._engine = lab.launch(
                campaign,
                listener=self._progress.update,
                on_trouble=self._progress.tell,
                feed=self._feed,
            )
            self._held = undoing.pop_all()

    def _lab(self) -> contextlib.AbstractContextManager[Lab]:
        if self._engine is None:
            raise IllegalTransition(
                f"The session of {self.name} hasn't begun",
                remedy="Enter it by `with`, or submit a point",
            )
        return super()._lab()

    def submit(self, *, repeat: int = 1, **point: Any) -> TrialFuture:
        """Submit a point; it doesn't wait.

        A point that has succeeded before, in whatever campaign of the experiment, has its recorded
        result at once and isn't run. One that has failed in this campaign is run again.

        Parameters
        ----------
        repeat
            Which repeat of the point is meant, counted from 1: for a function that isn't the same
            each time.
        **point
            A value for each parameter; for those left out, the function's default is recorded.

        Returns
        -------
        TrialFuture
            A ``concurrent.futures.Future``: ``result()`` gives the recorded results as a dict, or a
            list of dicts where there are several rows.

        Raises
        ------
        BadInput
            A parameter doesn't exist, or a value can't be recorded.
        Halted
            The campaign has stopped, or the session is closed.
        IllegalTransition
            The campaign was cancelled.
        """
        if not _is_count(repeat):
            raise BadInput(f"there is no repeat {repeat!r}", remedy="Count from 1", key=("repeat",))
        checked = TrialPoint(self._checked(point), repeat)
        self._begin()
        return self._feed.submit(checked)

    def map(self, points: Iterable[Mapping[str, Any]]) -> list[TrialFuture]:
        """Submit several points; their futures in the same order."""
        points = list(points)
        for point in points:
            if not _is_point(point):
                remedy = 'Give dicts, such as {"x": 1}'
                raise BadInput(f"the point {point!r} is not a mapping", remedy=remedy)
        return [self.submit(**point) for point in points]

    def _checked(self, point: Mapping[str, Any]) -> dict[str, Any]:
        problems: list[Problem] = []
        values = {**self._defaults, **{name: plain(value) for name, value in point.items()}}
        for name, value in values.items():
            if name not in self._names:
                hint = nearest(name, self._names) or f"Parameters: {', '.join(self._names)}"
                what = f"there is no parameter '{name}'"
                problems.append(Problem(what=what, remedy=hint, key=(name,)))
            else:
                read_value(value, (name,), problems)
        problems += [
            Problem(what=f"the point lacks '{name}'", remedy="Give it a value", key=(name,))
            for name in self._names
            if name not in values
        ]
        if problems:
            raise BadInput.of(problems)
        return values

    def close(self) -> None:
        """Wait for all that was submitted, and finish the campaign; Ctrl-C interrupts that."""
        self._feed.close()
        ended = self._leave()
        if ended is not None and ended.interrupted:
            raise KeyboardInterrupt(f"go on with `fieldlab resume {self.name}`")

    def stop(self) -> None:
        """Let the running trials end and leave the others queued, for a later session."""
        self._feed.close()
        if self._engine is not None:
            self._engine.drain()
        with contextlib.suppress(FieldlabError):  # what ended the engine, those who wait know
            self._leave()

    def _leave(self) -> Ended | None:
        with self._closing:
            if self._held is None or self._engine is None:
                return None
            held, self._held = self._held, None
            with held:
                ended = self._engine.wait()
                self._progress.update(ended.campaign)
                say_if_stopped(self._progress, ended.campaign)
            return ended

    def __enter__(self) -> Self:
        self._begin()
        return self

    def __repr__(self) -> str:
        return f"<{self.name}: not begun>" if self._engine is None else super().__repr__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.stop()
