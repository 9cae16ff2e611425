"""Every error that fieldlab raises on purpose.

FieldlabError
├── BadInput (ValueError)            what a user wrote can't be used; nothing was done
│   ├── BadExpression                an `exclude` expression that can't be read
│   ├── UnknownName (LookupError)    no campaign, project, … of that name
│   ├── NoLab                        no lab has been made here yet
│   └── BadResult                    what a trial returned can't be recorded
├── IllegalTransition                the lifecycle doesn't allow this step
├── Conflict                         somebody else changed it first (transient)
├── StoreError (RuntimeError)        the database can't be used
│   ├── StoreUnavailable             not reachable, or locked by another program (transient)
│   ├── StoreFull (OSError)          no space left where the database lies
│   ├── StoreReadOnly (OSError)      the database or its folder can't be written
│   └── StoreTooNew                  the database is newer than this program
├── RequestTimeout (TimeoutError)    nobody answered a request in time (transient)
├── RequestFailed                    who took a request gave it up
├── ExecutionError (RuntimeError)    processes can't be started or kept
├── TrialFailed (RuntimeError)       a trial that somebody waited for failed for good
├── Halted (RuntimeError)            a campaign stopped before a trial that somebody waits for ended
├── HostError (RuntimeError)         a host can't be used
│   ├── HostUnreachable              no connection, or it broke (transient)
│   │   └── HostLoginRefused         it doesn't let this user in
│   ├── HostKeyRefused               its key is unknown, or not the one it had
│   ├── HostsLost                    too few hosts have answered for a long time
│   └── TransferFailed               it refuses a file
├── SandboxError (RuntimeError)      virtual hosts, or a fault in them, can't be had here
├── NotSent (RuntimeError)           a message to people didn't go out (transient)
├── MachineError (OSError)           the machine refuses a file, or what is to be written
└── MissingExtra (ImportError)       an optional part of fieldlab isn't installed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with an input: what, where, and what to do instead."""

    what: str
    #: path of the offending key, outermost first: ("space", "matrix", "rho")
    key: tuple[str | int, ...] = ()
    remedy: str = ""
    file: str = ""
    #: counted from 1; 0 when it isn't known
    line: int = 0

    def __str__(self) -> str:
        place = self.file + (f":{self.line}" if self.line else "")
        parts = [part for part in (place, render_key(self.key)) if part]
        where = ": ".join(parts)
        text = f"{where}: {self.what}" if where else self.what
        return sentences(text, self.remedy)


def sentences(*said: str) -> str:
    """Put sentences after each other: a stop between them, unless one has its own."""
    parts = [each.strip() for each in said if each.strip()]
    stopped = [each if each.endswith((".", "?", "!", "…")) else f"{each}." for each in parts[:-1]]
    return " ".join([*stopped, *parts[-1:]])


def render_key(key: tuple[str | int, ...]) -> str:
    """Write a key path the way people read it: ``space.matrix[0].rho``."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def nearest(word: str, candidates: Iterable[str]) -> str:
    """Name the candidate that ``word`` was probably meant to be, as a question, or nothing."""
    close = difflib.get_close_matches(word, list(candidates), n=1, cutoff=0.6)
    return f"Did you mean '{close[0]}'?" if close else ""


class FieldlabError(Exception):
    """Something went wrong that fieldlab knows how to explain."""

    #: stable, for scripts: printed with ``--json``
    code: ClassVar[str] = "error"
    #: whether the same call may succeed if it is made again a little later
    transient: ClassVar[bool] = False

    def __init__(self, what: str, *, remedy: str = "") -> None:
        self.what = what
        self.remedy = remedy
        super().__init__(sentences(what, remedy))


class BadInput(FieldlabError, ValueError):
    """What a user wrote can't be used; nothing was done."""

    code = "bad-input"

    def __init__(
        self,
        what: str,
        *,
        remedy: str = "",
        key: tuple[str | int, ...] = (),
        problems: tuple[Problem, ...] = (),
    ) -> None:
        super().__init__(what, remedy=remedy)
        self.problems = problems or (Problem(what=what, remedy=remedy, key=key),)

    @classmethod
    def of(cls, problems: Iterable[Problem]) -> Self:
        """Gather several problems into one error that prints each on a line."""
        found = tuple(problems)
        return cls("\n".join(str(problem) for problem in found), problems=found)


class BadExpression(BadInput):
    """An expression that can't be read or that names something unknown."""

    code = "bad-expression"


class UnknownName(BadInput, LookupError):
    """Nothing has that name."""

    code = "unknown-name"


class NoLab(BadInput):
    """No lab has been made here yet."""

    code = "no-lab"


class BadResult(BadInput):
    """What a trial returned can't be recorded."""

    code = "bad-result"


class IllegalTransition(FieldlabError):
    """The lifecycle doesn't allow this step."""

    code = "illegal-transition"


class Conflict(FieldlabError):
    """Somebody else changed it first; read it again."""

    code = "conflict"
    transient = True


class StoreError(FieldlabError, RuntimeError):
    """The database can't be used."""

    code = "store"


class StoreUnavailable(StoreError):
    """The database isn't reachable or is locked by another program."""

    code = "store-unavailable"
    transient = True


class StoreFull(StoreError, OSError):
    """No space is left where the database lies."""

    code = "store-full"


class StoreReadOnly(StoreError, OSError):
    """The database or its folder can't be written."""

    code = "store-read-only"


class StoreTooNew(StoreError):
    """The database was written by a newer fieldlab."""

    code = "store-too-new"


class RequestTimeout(FieldlabError, TimeoutError):
    """Nobody answered a request in time."""

    code = "request-timeout"
    transient = True


class RequestFailed(FieldlabError):
    """Who took a request gave it up."""

    code = "request-failed"


class ExecutionError(FieldlabError, RuntimeError):
    """Processes can't be started or kept."""

    code = "execution"


class TrialFailed(FieldlabError, RuntimeError):
    """A trial that somebody waited for failed, and no tries are left.

    Attributes
    ----------
    point
        Its parameters.
    status
        How its last attempt ended, in a line: ``ValueError: …``, ``timeout``.
    attempts
        How many there were.
    traceback
        What a person needs to find the fault: the function's traceback, tails of the output.
    """

    code = "trial-failed"

    def __init__(
        self,
        what: str,
        *,
        remedy: str = "",
        point: Mapping[str, object] | None = None,
        status: str = "",
        attempts: int = 0,
        traceback: str = "",
    ) -> None:
        super().__init__(what, remedy=remedy)
        self.point = dict(point or {})
        self.status = status
        self.attempts = attempts
        self.traceback = traceback

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.traceback}".rstrip()


class Halted(FieldlabError, RuntimeError):
    """A campaign stopped before a trial that somebody waits for had ended."""

    code = "halted"


class HostError(FieldlabError, RuntimeError):
    """A host can't be used."""

    code = "host-error"


class HostUnreachable(HostError):
    """A host can't be connected to, or the connection broke."""

    code = "host-unreachable"
    transient = True


class HostLoginRefused(HostUnreachable):
    """A host doesn't let this user in; it won't before somebody changes that."""

    code = "host-login-refused"
    transient = False


class HostKeyRefused(HostError):
    """A host's key is unknown, or not the one that it had."""

    code = "host-key-refused"


class HostsLost(HostError):
    """Too few hosts have answered for a long time."""

    code = "hosts-lost"
    #: how every such error begins, and why a campaign stands that goes on by itself
    opening: ClassVar[str] = "Too few hosts"


class TransferFailed(HostError):
    """A host refuses a file, or to give one."""

    code = "transfer-failed"


class SandboxError(FieldlabError, RuntimeError):
    """Virtual hosts can't be had on this machine, or a fault didn't take hold in them."""

    code = "sandbox"


class NotSent(FieldlabError, RuntimeError):
    """A message to people didn't go out."""

    code = "not-sent"
    transient = True


class MachineError(FieldlabError, OSError):
    """The machine refuses a file, or what is to be written."""

    code = "machine"


class MissingExtra(FieldlabError, ImportError):
    """An optional part of fieldlab isn't installed."""

    code = "missing-extra"

    def __init__(self, extra: str, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs the '{extra}' extra, which isn't installed",
            remedy=f"Install it with `pip install '.[{extra}]'` in fieldlab's checkout",
        )
