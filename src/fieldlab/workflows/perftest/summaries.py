"""One row per test: over folders of Perftest's files, and over results that a lab has recorded."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldlab.domain.errors import BadInput, Problem, sentences
from fieldlab.domain.ids import Point, Value, canonical
from fieldlab.domain.trials import Row
from fieldlab.workflows.perftest.formats import Report, parse
from fieldlab.workflows.perftest.measures import flaws_of, row_of, verdict
from fieldlab.workflows.perftest.parameters import PARAMETERS, TestName
from fieldlab.workflows.perftest.statuses import SUCCESS

_FILE = re.compile(r"(?P<name>(pub|sub)_\d+)(_output)?\.csv")
#: subscribers whose files are looked for; a name may ask for any number
_MOST_SUBSCRIBERS = 10_000
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".zst", ".bz2", ".xz", ".7z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One run of one test."""

    test: str
    point: Point
    status: str
    values: Row
    explanation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One test, over all its runs."""

    test: str
    point: Point
    #: "success", or what was wrong with the last run where none succeeded
    status: str
    #: runs that the values are means of: those that succeeded, or else all
    repeats: int
    #: result → its mean; None: nobody wrote it
    values: Mapping[str, float | None]
    #: result → its standard deviation over the runs; absent where there is one
    deviations: Mapping[str, float]

    def document(self) -> dict[str, Value]:
        """Write it as one flat row."""
        return {
            "test": self.test,
            **self.point,
            "status": self.status,
            "repeats": self.repeats,
            **self.values,
        }


def read_folders(path: Path) -> tuple[list[Observation], list[Problem]]:
    """Read AutoPerf's folders of data: one per test, named for it, at any depth.

    A test whose program didn't finish is read as far as its last interval goes, and its status
    says what is missing.

    Returns
    -------
    tuple
        What was found, in the order of names, and what was left out.

    Raises
    ------
    BadInput
        There is no such folder, or no test in it.
    """
    if not path.is_dir():
        raise BadInput(
            f"There is no folder {path}",
            remedy="Name a folder of AutoPerf's data, or a campaign of this lab",
        )
    found: list[Observation] = []
    problems: list[Problem] = []
    for folder in sorted([path, *(each for each in path.rglob("*") if each.is_dir())]):
        files = _files_in(folder, problems)
        try:
            test = TestName.parse(folder.name)
        except BadInput as error:
            if files:
                what = f"the folder has Perftest's files, but {error.what}"
                problems.append(Problem(what=what, remedy=error.remedy, file=str(folder)))
            continue
        found.append(_observed(test, files))
    archives = [each for each in path.rglob("*") if each.suffix in _ARCHIVES and each.is_file()]
    if archives:
        what = f"{len(archives)} archives are not looked into, such as {archives[0].name}"
        problems.append(Problem(what=what, remedy="Unpack them first", file=str(path)))
    if not found:
        complaints = "\n".join(map(str, problems))
        raise BadInput(
            f"There is no test in {path}" + (f"\n{complaints}" if complaints else ""),
            remedy="Each test has a folder named for it, such as "
            "300SEC_100B_1PUB_3SUB_REL_MC_0DUR_100LC, with pub_0.csv and sub_0.csv in it",
        )
    return found, problems


def _files_in(folder: Path, problems: list[Problem]) -> dict[str, Path]:
    """Find the files of Perftest's participants in a folder: name → file."""
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        what = f"the folder can't be read: {error.strerror}"
        problems.append(Problem(what=what, remedy="Check its permissions", file=str(folder)))
        return {}
    return {m["name"]: each for each in inside if (m := _FILE.fullmatch(each.name))}


def _observed(test: TestName, files: Mapping[str, Path]) -> Observation:
    numbers = range(min(test.sub_count, _MOST_SUBSCRIBERS))
    unread: list[str] = []
    reports: dict[str, Report | None] = {
        name: _read(files[name], unread) if name in files else None
        for name in ("pub_0", *(f"sub_{number}" for number in numbers))
    }
    judged = verdict(reports, 1 + test.sub_count)
    flaws = flaws_of({str(files[name]): reports[name] for name in reports if name in files})
    subscribers = [each for name, each in reports.items() if each and name != "pub_0"]
    return Observation(
        test=str(test),
        point=test.point(),
        status=judged.status if files else "no csv files",
        values=row_of(reports["pub_0"], subscribers),
        explanation=sentences(judged.explanation, *unread[:1], *flaws),
    )


def _read(path: Path, unread: list[str]) -> Report | None:
    """Read a file; None, and why, if it can't be read at all."""
    try:
        if path.is_file():
            return parse(path.read_bytes())
        unread.append(f"{path} is no file.")
    except OSError as error:
        unread.append(f"{path} can't be read: {error.strerror}.")
    return None


def recorded(
    rows: Iterable[Mapping[str, Value]], parameters: Sequence[str], fixed: Mapping[str, Value]
) -> Iterator[Observation]:
    """Take rows of results that a lab has recorded.

    Parameters
    ----------
    parameters
        Columns that are parameters.
    fixed
        Parameters that stand in the tool's options.
    """
    constant = {name: value for name, value in fixed.items() if name in PARAMETERS}
    for row in rows:
        point: Point = {**constant, **{name: row[name] for name in parameters}}
        values = {name: value for name, value in row.items() if name not in parameters}
        yield Observation(test=_label(point), point=point, status=SUCCESS, values=values)


def ended(
    failures: Iterable[tuple[Point, str, str]], fixed: Mapping[str, Value]
) -> Iterator[Observation]:
    """Take trials that a lab has recorded as failed: point, status and reason of each.

    Parameters
    ----------
    fixed
        Parameters that stand in the tool's options.
    """
    constant = {name: value for name, value in fixed.items() if name in PARAMETERS}
    for plain, status, reason in failures:
        point = {**constant, **plain}
        yield Observation(
            test=_label(point), point=point, status=status, values={}, explanation=reason.strip()
        )


def _label(point: Point) -> str:
    try:
        return str(TestName.of(point))
    except BadInput:
        return " ".join(f"{name}={_shown(value)}" for name, value in point.items())


def _shown(value: Value) -> str:
    return value if isinstance(value, str) else canonical(value)


def summarise(observations: Iterable[Observation]) -> list[Summary]:
    """Put the runs of each test together, in the order in which tests first come."""
    runs: dict[str, list[Observation]] = {}
    for each in observations:
        runs.setdefault(each.test, []).append(each)
    return [_summary(test, found) for test, found in runs.items()]


def _summary(test: str, found: Sequence[Observation]) -> Summary:
    good = [each for each in found if each.status == SUCCESS]
    used = good or found
    names = dict.fromkeys(name for each in used for name in each.values)
    values: dict[str, float | None] = {}
    deviations: dict[str, float] = {}
    for name in names:
        numbers = [n for each in used if (n := _number(each.values.get(name))) is not None]
        if numbers:
            values[name] = mean = sum(numbers) / len(numbers)
            if len(numbers) > 1:
                squares = sum((number - mean) ** 2 for number in numbers)
                deviations[name] = math.sqrt(squares / (len(numbers) - 1))
        elif all(each.values.get(name) is None for each in used):
            values[name] = None
    return Summary(
        test=test,
        point=used[-1].point,
        status=used[-1].status,
        repeats=len(used),
        values=values,
        deviations=deviations,
    )


def _number(value: Value) -> float | None:
    """Give a finite number; None if it is something else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None
