"""EMS's own shape: a script of the Experiment Management System runs by changing its import line.

EMS: https://github.com/adonoho/EMS, of which ``do_on_cluster`` and ``EvalOnCluster`` have their
arguments here. Where results go is the lab's business, so those of databases are ignored, and said
to be.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldlab.domain.errors import BadInput, Problem
from fieldlab.engine.feed import TrialFuture
from fieldlab.notebook.defining import plain
from fieldlab.notebook.running import Run, run
from fieldlab.notebook.sessions import Session, session
from fieldlab.notebook.showing import tell

if TYPE_CHECKING:
    import pandas as pd

#: how an experiment says its grids, in the order in which EMS looks for them
_GRIDS = ("params", "multi_res", "parameters")
_KEYS = ("table_name", *_GRIDS, "stop_list")
#: what has been said already, once in a program
_said: set[str] = set()


def do_on_cluster(
    experiment: Mapping[str, Any] | str | Path,
    instance: Callable[..., object],
    client: Any = None,
    remote: Any = None,
    credentials: Any = None,
    project_id: str | None = None,
    *,
    quiet: bool = False,
    **words: Any,
) -> Run:
    """Run an EMS experiment: a function at every point of some grids.

    Points that are recorded aren't run again. One that raises is recorded as failed, and the rest
    goes on.

    Parameters
    ----------
    experiment
        EMS's dict, or its JSON file: ``table_name``; ``params``, a list of grids (or its alias
        ``multi_res``), or ``parameters``, one grid; perhaps ``stop_list``, points to leave out. A
        grid has a list or an array of values for each parameter.
    instance
        Takes the parameters as keywords and returns a DataFrame, or whatever `fieldlab.run`
        takes. The parameters needn't be in it.
    client
        A Dask client of a LocalCluster: as many trials at a time as it has threads, but in
        fieldlab's processes. None: as many as there are processors.
    remote, credentials, project_id
        Ignored: the results go to the lab's database.
    quiet
        Show no progress.
    **words
        Further keywords of `fieldlab.run`, such as ``retry`` or ``timeout``.

    Raises
    ------
    BadInput
        The experiment or the client can't be used; nothing ran.
    """
    _tell_ignored(remote=remote, credentials=credentials, project_id=project_id)
    words = {"slots": _slots_of(client), "guard": "off", **words}
    read = _read(experiment)
    try:
        return run(instance, name=read["table_name"], quiet=quiet, space=_space(read), **words)
    except BadInput as error:
        raise _in_ems_words(error, read) from None


# --- the experiment ----------------------------------------------------------------------------


def _read(experiment: Mapping[str, Any] | str | Path) -> dict[str, Any]:
    """Read an experiment and check its keys."""
    if isinstance(experiment, str | Path):
        try:
            experiment = json.loads(Path(experiment).read_text())
        except (OSError, ValueError) as error:
            raise BadInput(
                f"The experiment {experiment} can't be read: {error}",
                remedy="Name EMS's JSON file, or give the dict",
            ) from None
    if not isinstance(experiment, Mapping):
        raise BadInput("An experiment is a dict", remedy='Write {"table_name": …, "params": […]}')
    problems = [
        Problem(what=f"there is no key '{key}'", remedy=f"Keys: {', '.join(_KEYS)}", key=(key,))
        for key in experiment
        if key not in _KEYS
    ]
    if not isinstance(experiment.get("table_name"), str):
        remedy = "It names the experiment, and its table of results"
        problems.append(Problem(what="it must be text", remedy=remedy, key=("table_name",)))
    if not any(experiment.get(key) for key in _GRIDS):
        remedy = 'Write "params": [{"x": [1, 2, 3]}]'
        problems.append(Problem(what="there are no parameters", remedy=remedy, key=("params",)))
    if len(given := [key for key in _GRIDS if experiment.get(key)]) > 1:
        what = f"the parameters are given twice: as '{given[0]}' and as '{given[1]}'"
        problems.append(Problem(what=what, remedy="Leave one of them out", key=(given[1],)))
    if problems:
        raise BadInput.of(problems)
    return dict(experiment)


def _space(read: Mapping[str, Any]) -> dict[str, Any]:
    """Write an experiment's grids as a space; EMS's order is random."""
    form = next(key for key in _GRIDS if read.get(key))
    grids = [read[form]] if form == "parameters" else read[form]
    if not isinstance(grids, Sequence) or not all(isinstance(each, Mapping) for each in grids):
        wanted = "a grid" if form == "parameters" else "a list of grids"
        raise BadInput(f"it must be {wanted}", remedy='A grid is {"x": [1, 2]}', key=(form,))
    blocks = [
        {"matrix": {name: _distinct(plain(values)) for name, values in grid.items()}}
        for grid in grids
    ]
    stops = _stops(read, blocks)
    return {"blocks": blocks, "order": "shuffled", **({"exclude": stops} if stops else {})}


def _distinct(values: Any) -> Any:
    """Leave out values that come again: joined arrays often share an end."""
    if not isinstance(values, list):
        return values
    return list({(type(each) is bool, each): each for each in values}.values())


def _stops(read: Mapping[str, Any], blocks: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Read the points to leave out; EMS leaves out exact points only."""
    listed = read.get("stop_list") or []
    names = set(blocks[0]["matrix"]) if blocks else set()
    problems = [
        Problem(
            what=f"a point to leave out has exactly the parameters {', '.join(sorted(names))}",
            remedy="Give each a value, or remove the point",
            key=("stop_list", number),
        )
        for number, point in enumerate(listed)
        if not isinstance(point, Mapping) or set(point) != names
    ]
    if problems:
        raise BadInput.of(problems)
    return [plain(point) for point in listed]


def _in_ems_words(error: BadInput, read: Mapping[str, Any]) -> BadInput:
    """Name the part of the experiment where a definition would have a key."""
    form = next(key for key in _GRIDS if read.get(key))
    return type(error).of(replace(each, key=_ems_key(each.key, form)) for each in error.problems)


def _ems_key(key: tuple[str | int, ...], form: str) -> tuple[str | int, ...]:
    match key:
        case ("space", "blocks", number, "matrix", *rest):
            return (form, *rest) if form == "parameters" else (form, number, *rest)
        case ("space", "blocks", *rest):
            return (form, *rest)
        case ("space", "exclude", *rest):
            return ("stop_list", *rest)
        case ("name",):
            return ("table_name",)
        case ("function", *rest):
            return ("instance", *rest)
        case _:
            return key


# --- the client --------------------------------------------------------------------------------


def _slots_of(client: Any) -> int | None:
    """Count the threads of a Dask client's cluster, which must be one of this machine.

    Raises
    ------
    BadInput
        It is the client of another cluster, or no client.
    """
    if client is None:
        return None
    cluster = getattr(client, "cluster", None)
    kinds = {each.__name__ for each in type(cluster).__mro__}
    if not hasattr(client, "scheduler_info"):
        raise BadInput(
            f"{type(client).__name__} is no Dask client",
            remedy="Leave it out, or give a client of a LocalCluster",
            key=("client",),
        )
    if "LocalCluster" not in kinds:
        place = type(cluster).__name__ if cluster is not None else _address(client)
        raise BadInput(
            f"The client's cluster ({place}) isn't a LocalCluster of this process, and fieldlab"
            " runs trials on this machine only, so far",
            remedy="Give no client to run them here, on every processor; or run the script inside"
            " a job of the cluster",
            key=("client",),
        )
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    slots = sum(int(each["nthreads"]) for each in workers) or None
    _tell_once(
        f"fieldlab runs the trials in {slots or 'its'} processes of its own, not on the"
        " LocalCluster"
    )
    return slots


def _address(client: Any) -> str:
    return str(getattr(getattr(client, "scheduler", None), "address", "unknown"))


def _tell_ignored(**given: Any) -> None:
    names = [name for name, value in given.items() if value is not None]
    if names:
        _tell_once(
            f"fieldlab ignores {', '.join(names)}: the results go to the lab's database, which"
            " FIELDLAB_DATABASE sets"
        )


def _tell_once(text: str) -> None:
    if text not in _said:
        _said.add(text)
        tell(text)


# --- one by one --------------------------------------------------------------------------------


class EvalOnCluster:
    """EMS's way of submitting points one by one, for adaptive search.

    ``for frame, key in evaluator`` gives results as they come, and goes on as long as there are
    points under way. A point that failed is told on stderr and left out.

    Parameters
    ----------
    client
        As for `fieldlab.do_on_cluster`.
    table_name
        Names the experiment.
    credentials
        Ignored: the results go to the lab's database.
    **words
        Further keywords of `fieldlab.session`, such as ``retry`` or ``slots``.
    """

    def __init__(
        self, client: Any = None, table_name: str = "", credentials: Any = None, **words: Any
    ) -> None:
        _tell_ignored(credentials=credentials)
        self._slots = _slots_of(client)
        self._table_name = table_name
        self._words = {"guard": "off", **words}
        self._session: Session | None = None
        self._under_way: set[TrialFuture] = set()
        self.keys: list[str] | None = None

    def key_from_params(self, params: Mapping[str, Any]) -> tuple[Any, ...]:
        """Give the values of a point, in the order of the parameters' names."""
        if self.keys is None:
            self.keys = sorted(params)
        return tuple(params[key] for key in self.keys)

    def eval_params(
        self, instance: Callable[..., object], params: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        """Submit a point; give its values as a key. The first call says which function it is."""
        key = self.key_from_params(params)
        if self._session is None:
            self._session = session(
                instance,
                name=self._table_name,
                parameters=self.keys,
                **{"slots": self._slots, **self._words},
            )
        self._under_way.add(self._session.submit(**params))
        return key

    def eval_params_list(
        self, instance: Callable[..., object], params: Sequence[Mapping[str, Any]]
    ) -> list[tuple[Any, ...]]:
        """Submit several points; their keys in the same order."""
        return [self.eval_params(instance, each) for each in params]

    def __iter__(self) -> Iterator[tuple[pd.DataFrame, tuple[Any, ...]]]:
        return self

    def __next__(self) -> tuple[pd.DataFrame, tuple[Any, ...]]:
        from concurrent.futures import FIRST_COMPLETED, wait

        import pandas as pd

        from fieldlab.domain.errors import TrialFailed

        while self._under_way:
            future = wait(self._under_way, return_when=FIRST_COMPLETED).done.pop()
            self._under_way.discard(future)
            point = future.point  # type: ignore[attr-defined]
            try:
                result = future.result()
            except TrialFailed as error:
                tell(error.what)
                continue
            rows = result if isinstance(result, list) else [result]
            frame = pd.DataFrame([{**point, **row} for row in rows])
            return frame, self.key_from_params(point)
        raise StopIteration

    def result(self) -> Iterator[tuple[pd.DataFrame, tuple[Any, ...]]]:
        """Give the next result that comes."""
        yield next(self)

    def final_push(self) -> None:
        """Wait for what is under way, and end the session: all is recorded already."""
        if self._session is not None:
            self._session.close()
