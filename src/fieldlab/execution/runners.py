"""How a worker runs one trial: by calling a function, or by running a tool's command."""

from __future__ import annotations

import contextlib
import errno
import json
import linecache
import os
import shutil
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from fieldlab.domain.errors import BadInput, BadResult, nearest
from fieldlab.domain.ids import Point
from fieldlab.domain.stating import StatedSpace, stated_values
from fieldlab.domain.trials import FailureClass
from fieldlab.execution.cell import Cell
from fieldlab.execution.commands import CommandTool
from fieldlab.execution.functions import (
    FUNCTION_KINDS,
    check_signature,
    load_function,
    load_shipped,
)
from fieldlab.execution.processes import run_command
from fieldlab.execution.rows import rows_of
from fieldlab.ports.tool import STDERR, STDOUT, CheckedTool, Outcome, Place, Plan, SpreadTool, Tool

#: bytes of a file of results that are read; larger ones fail the trial
LARGEST_FILE = 64 << 20
#: characters of a traceback, and of each output's end, that are kept in the database
TAIL = 4_000


#: errors of a program that can't be started which another try would meet again
_OWN_FAULTS = frozenset(
    {
        errno.ENOENT,
        errno.EACCES,
        errno.EPERM,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ENOEXEC,
        errno.E2BIG,
        errno.ENAMETOOLONG,
        errno.ELOOP,
    }
)


class Stopped(SystemExit):
    """The worker was told to end: no fault of the trial that it runs."""


class Ended(NamedTuple):
    """How a trial ended, before its rows are shaped."""

    rows: list[dict[str, Any]]
    status: str = "success"
    failure: FailureClass | None = None
    exit_code: int | None = None
    error: str = ""


class Runner(Protocol):
    """Runs one trial in the worker's own process."""

    def run(self, point: Point, repeat: int, fingerprint: str, attempt: int) -> Ended:
        """Run it; never raises for what the trial does."""
        ...


@dataclass(slots=True)
class FunctionRunner:
    """Calls a function with the parameters as keywords."""

    function: Callable[..., object]
    wants_repeat: bool
    #: the worker's working folder
    home: str

    def run(self, point: Point, repeat: int, fingerprint: str, attempt: int) -> Ended:
        try:
            if self.wants_repeat:
                return Ended(rows_of(self.function(**point, repeat=repeat)))
            return Ended(rows_of(self.function(**point)))
        except BadResult as error:
            return bad_result(error)
        except Stopped:
            raise
        except BaseException as error:  # noqa: BLE001 - SystemExit is a failed trial as well
            return failed(error)
        finally:
            self._go_home()

    def _go_home(self) -> None:
        """Undo a change of folder, so that the next trial doesn't depend on this one."""
        with contextlib.suppress(OSError):
            os.chdir(self.home)


def bad_result(error: BadResult) -> Ended:
    """End a trial whose results can't be recorded."""
    return Ended([], "bad result", FailureClass.VERDICT, error=str(error))


def failed(error: BaseException) -> Ended:
    """End a trial that raised."""
    return Ended([], one_line(error), FailureClass.EXPERIMENT, error=users_traceback(error))


def one_line(error: BaseException) -> str:
    """Name an exception in one line of at most 200 characters."""
    try:
        text = " ".join(str(error)[:TAIL].split())
    except Exception:  # noqa: BLE001 - a user's exception may not even be able to say what it is
        text = ""
    return f"{type(error).__name__}: {text}"[:200] if text else type(error).__name__


def users_traceback(error: BaseException) -> str:
    """Write the traceback without the frames that lead to the user's code."""
    linecache.checkcache()
    frames = error.__traceback__
    text = "".join(traceback.format_exception(type(error), error, frames and frames.tb_next))
    return text if len(text) <= 4 * TAIL else f"{text[:TAIL]}\n…\n{text[-3 * TAIL :]}"


@dataclass(slots=True)
class CommandRunner:
    """Runs what a tool plans, in the attempt's own folder."""

    tool: Tool
    here: str
    #: the campaign's folder of attempts
    attempts: Path
    cell: Cell

    def run(self, point: Point, repeat: int, fingerprint: str, attempt: int) -> Ended:
        folder = self.attempts / fingerprint / str(attempt)
        out = folder / "outputs"
        place = Place(
            here=self.here,
            out=str(out),
            fingerprint=fingerprint,
            repeat=repeat,
            attempt=attempt,
        )
        try:
            plan = self.tool.plan(point, place)
            prepare_folder(folder, out, plan, point)
        except OSError as error:
            explanation = f"The folder {folder} can't be made: {error}"
            return Ended([], one_line(error), FailureClass.INFRASTRUCTURE, error=explanation)
        except Exception as error:  # noqa: BLE001 - a fault of the tool, perhaps an installed one
            return failed(error)
        try:
            return self._run(folder, out, plan)
        except OSError as error:
            explanation = f"The command can't be run in {folder}: {str(error)[:TAIL]}"
            return Ended([], one_line(error), blame_of(error), error=explanation)
        except Exception as error:  # noqa: BLE001 - as above
            return failed(error)

    def _run(self, folder: Path, out: Path, plan: Plan) -> Ended:
        files = {name: folder / name for name in (STDOUT, STDERR)}
        (process,) = plan.processes
        status = run_command(process.command, files[STDOUT], files[STDERR], self._announce)
        contents: dict[str, bytes] = {}
        unread: BadResult | None = None
        try:
            for name in process.reads:
                path = files.get(name) or out / name
                if path.is_file():
                    contents[name] = content_of(path)
        except BadResult as error:
            unread = error
        outcome = Outcome(exits={process.name: status}, files=contents, processes=(process,))
        judged = self.tool.judge(outcome)
        if judged.failure is not None:
            words = " ".join(json.dumps(word) for word in process.command.argv)[:TAIL]
            explanation = f"{judged.explanation}\ncommand: {words}\n{tails_of(folder)}".rstrip()
            return Ended([], judged.status, judged.failure, status.code, explanation)
        try:
            if unread is not None:
                raise unread
            return Ended(self.tool.parse(outcome), judged.status, exit_code=status.code)
        except BadResult as error:
            explanation = f"{error}\n{tails_of(folder)}".rstrip()
            return bad_result(error)._replace(error=explanation, exit_code=status.code)

    def _announce(self, group: int) -> None:
        self.cell.group = group


def prepare_folder(folder: Path, out: Path, plan: Plan, point: Point) -> None:
    """Make what an attempt needs before its command starts."""
    make_anew(folder)
    if plan.writes:
        out.mkdir()
    (folder / "params.json").write_text(json.dumps(point))


def make_anew(folder: Path) -> None:
    """Make an attempt's folder; what a lost attempt of that number left in it goes."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        shutil.rmtree(folder)
        folder.mkdir(parents=True)


def blame_of(error: OSError) -> FailureClass:
    """Say whose fault it is: a program that isn't there is the experiment's, a full disk is not."""
    own = error.errno in _OWN_FAULTS
    return FailureClass.EXPERIMENT if own else FailureClass.INFRASTRUCTURE


def content_of(path: Path) -> bytes:
    """Read a file of results.

    Raises
    ------
    BadResult
        It is too large for that.
    """
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise BadResult(
            f"'{path.name}' has {size / 2**20:.1f} MiB, more than the {LARGEST_FILE >> 20} MiB that"
            " are read as results",
            remedy="Write the figures that matter into a file of their own; the big one stays in"
            " the attempt's folder",
        )
    return path.read_bytes()


def tails_of(folder: Path, prefix: str = "") -> str:
    """Show the ends of both outputs of a process, in files whose names begin so."""
    parts = []
    for name in (STDOUT, STDERR):
        path = folder / f"{prefix}{name}"
        if path.is_file() and (size := path.stat().st_size):
            with path.open("rb") as file:
                file.seek(max(0, size - TAIL))
                text = file.read().decode(errors="replace").rstrip().replace("\0", "?")
            parts.append(f"{name}{' (its end)' if size > TAIL else ''}:\n{text}")
    return "\n".join(parts)


def make_runner(setup: Mapping[str, Any], names: tuple[str, ...], cell: Cell) -> Runner:
    """Make the runner of a tool, and check all that can be checked before the first trial.

    Raises
    ------
    BadInput
        The callable or the program is missing, or doesn't fit the space.
    """
    kind, options = setup["tool"]["kind"], setup["tool"]["options"]
    if kind in FUNCTION_KINDS:
        if kind == "shipped":
            function = load_shipped(options, setup["functions"], setup["folder"])
        else:
            function = load_function(options["call"], setup["folder"])
        return FunctionRunner(function, check_signature(function, names), str(Path.cwd()))
    tool = make_tool(kind, options, setup["timeout_s"], stated_values(setup["space"]))
    if isinstance(tool, SpreadTool):
        raise BadInput(
            f"The tool '{kind}' runs on several hosts, and the executor is this machine",
            remedy="Name a site: `executor: {ssh: {site: NAME}}`; `fieldlab sandbox up` makes one",
            key=("executor",),
        )
    if isinstance(tool, CommandTool):
        check_program(options["argv"][0], options.get("environment") or {}, setup["folder"])
    return CommandRunner(tool, setup["folder"], Path(setup["attempts"]), cell)


def make_tool(
    kind: str, options: Mapping[str, Any], timeout_s: float, space: StatedSpace | tuple[str, ...]
) -> Tool:
    """Make the tool of a definition that isn't a function's, and check it against the space.

    Parameters
    ----------
    space
        Its parameters with their values, or just the names where the values are checked already.

    Raises
    ------
    BadInput
        There is no such tool, its options are wrong, or it doesn't fit the space.
    """
    tool = find_tool(kind)(options, timeout_s)
    if isinstance(tool, CheckedTool):
        tool.check(space if isinstance(space, Mapping) else dict.fromkeys(space))
    return tool


def find_tool(kind: str) -> Callable[[Mapping[str, Any], float], Tool]:
    """Find what makes tools of a kind: fieldlab's own, or an installed package's.

    Raises
    ------
    BadInput
        There is none.
    """
    if kind == "command":
        return CommandTool
    installed = {each.name: each for each in entry_points(group="fieldlab.tools")}
    if kind not in installed:
        names = ["function", "command", *installed]
        raise BadInput(
            f"There is no tool '{kind}'",
            remedy=nearest(kind, names) or f"Tools: {', '.join(names)}",
            key=("tool", kind),
        )
    made: Callable[[Mapping[str, Any], float], Tool] = installed[kind].load()
    return made


def check_program(program: str, environment: Mapping[str, str], folder: str) -> None:
    """Refuse a program that isn't there; one with a placeholder in its name may be.

    Raises
    ------
    BadInput
        With the key of a command's first word.
    """
    if "{" in program:
        return
    named_by_path = "/" in program
    place = str(Path(folder, program)) if named_by_path else program
    if shutil.which(place, path=environment.get("PATH")) is None:
        raise BadInput(
            f"There is no program '{program}'",
            remedy="Install it, or write its path from the definition's folder, as in ./run.sh"
            if not named_by_path
            else f"It was looked for in {folder}, and must be executable (chmod +x)",
            key=("tool", "command", 0),
        )
