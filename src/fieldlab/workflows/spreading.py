"""What tools share whose processes run on several hosts: limits, places, failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from fieldlab.domain.errors import BadInput
from fieldlab.domain.trials import FailureClass
from fieldlab.ports.tool import STDERR, STDOUT, HostPlace, Judgement, Outcome, Place

#: exit codes by which a shell and ssh say that there is no such program, or that it can't be run
MISSING_PROGRAM = frozenset({126, 127})
#: at least so long, and at least this part of the duration, a test may take beyond its duration
MARGIN_S, MARGIN_PART = 60.0, 0.05
#: characters of a program's complaint that are repeated in an explanation
_LONGEST_COMPLAINT = 400


def limit_s(duration_s: float, margin_s: float | None) -> float:
    """Say how long an attempt may take; a ``margin_s`` of None is 5 %, and at least a minute."""
    margin = max(MARGIN_S, MARGIN_PART * duration_s) if margin_s is None else margin_s
    return duration_s + margin


def shorter(limit: float, timeout_s: float) -> float:
    """Take the shorter of two limits, of which 0 is none."""
    return min((each for each in (limit, timeout_s) if each > 0), default=0.0)


def from_home(executable: str) -> tuple[str, ...]:
    """Write a program's path as words that start it on another machine.

    A path that begins with ``~/`` is one below the home of whoever runs it there. No shell expands
    it for an argument vector, so one is put before it whose script is fixed: the path is its
    argument, never part of the script.
    """
    if not executable.startswith("~"):
        return (executable,)
    if not executable.startswith("~/"):
        raise BadInput(
            f"{executable!r} is below another user's home",
            remedy="Write the whole path, or one that begins with ~/",
        )
    return (*_FROM_HOME, executable.removeprefix("~/"))


_FROM_HOME = ("sh", "-c", 'exec "$HOME/$0" "$@"')


def program_of(argv: Sequence[str]) -> str:
    """Name the program that words start, below the home as :func:`from_home` was given it."""
    if tuple(argv[:3]) == _FROM_HOME and len(argv) > 3:
        return f"~/{argv[3]}"
    return argv[0]


def findable(program: str) -> tuple[str, ...]:
    """Give a program that a host can be asked for beforehand: a name, or a path from / or home.

    Any other path begins at an attempt's own folder, which isn't there yet.
    """
    known = "/" not in program or program.startswith(("/", "~/"))
    return (program,) if known else ()


def hosts_with(place: Place, role: str, tool: str) -> Sequence[HostPlace]:
    """List the hosts of a role.

    Raises
    ------
    BadInput
        There is none.
    """
    hosts = place.with_role(role)
    if not hosts:
        raise BadInput(
            f"No host has the role '{role}', which {tool} needs",
            remedy=f'Give it to a host of the site: roles = ["{role}"]',
        )
    return hosts


def below(out: str, name: str) -> str:
    """Name a file in an attempt's folder on its host."""
    return str(PurePosixPath(out, name)) if out else name


def ended_badly(
    outcome: Outcome,
    *,
    failed_status: str = "",
    success: Mapping[str, frozenset[int]] | None = None,
    serving: frozenset[str] = frozenset(),
    limits: str = "`margin` in the tool's options sets it.",
    programs: str = "`executable` in the tool's options says where it lies.",
) -> Judgement | None:
    """Judge by how the processes ended; None if they all ended well.

    Parameters
    ----------
    failed_status
        What the status says when one failed; its name and how it ended if absent.
    success
        Process → exit codes that are well; 0 if absent.
    serving
        Processes that are ended by others, whose ends say nothing.
    limits
        Where the time limit is set, for people.
    programs
        Where it is said which program runs, for people.
    """
    ends = {name: each for name, each in outcome.exits.items() if name not in serving}
    late = [name for name, each in ends.items() if each.timed_out]
    if late:
        return Judgement(
            status="timeout",
            failure=FailureClass.EXPERIMENT,
            explanation=f"{_listed(late)} ran beyond the time limit. {limits}",
        )
    known = success or {}
    bad = {name: each for name, each in ends.items() if each.code not in known.get(name, {0})}
    if not bad:
        return None
    name, first = next(iter(bad.items()))
    label = f"{name}: " if name else ""
    said = [f"{label}{first}."]
    if missing := [each for each in bad if bad[each].code in MISSING_PROGRAM]:
        said.append(_missing_program(outcome, missing, programs))
    if len(bad) > 1:
        said.append(f"So did not end well: {_listed(list(bad)[1:])}.")
    if complaint := _complaint(outcome, name):
        said.append(complaint)
    return Judgement(
        status=failed_status or f"{label}{first}",
        failure=FailureClass.EXPERIMENT,
        explanation=" ".join(said),
    )


def _missing_program(outcome: Outcome, names: Sequence[str], programs: str) -> str:
    """Say which program isn't on which host, and what to do."""
    planned = [each for each in outcome.processes if each.name in names]
    places = dict.fromkeys((program_of(each.command.argv), each.host) for each in planned)
    where = [f"{program} on {host or 'this machine'}" for program, host in places]
    what = f"There is no program {_listed(where)}" if where else "There is no such program"
    return f"{what}, or it can't be executed there. Put it there, or change its path: {programs}"


def _complaint(outcome: Outcome, name: str) -> str:
    """Repeat what a process said of errors, or else the last that it said."""
    streams = [
        outcome.files.get(f"{name}/{stream}" if name else stream, b"")
        for stream in (STDERR, STDOUT)
    ]
    lines = [each.decode(errors="replace").strip().splitlines() for each in streams]
    errors = [line for each in lines for line in each if "error" in line.lower()]
    last = next((each[-1:] for each in lines if each), [])
    said = errors or last
    return f"It said: {' / '.join(said)[:_LONGEST_COMPLAINT]}" if said else ""


def _listed(names: Sequence[str]) -> str:
    shown = [name or "the process" for name in names[:5]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
