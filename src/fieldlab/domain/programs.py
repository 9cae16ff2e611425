"""Whether programs are on a machine, asked in one command that starts none of them."""

from __future__ import annotations

from collections.abc import Iterable

#: fixed: what it asks for are its arguments, never part of it
_SCRIPT = """for each do
  case $each in
    "~/"*) path=$HOME/${each#"~/"} ;;
    *) path=$each ;;
  esac
  case $path in
    */*) test -f "$path" && test -x "$path" ;;
    *) command -v -- "$path" >/dev/null 2>&1 ;;
  esac || printf '%s\\n' "$each"
done"""


def missing_programs_command(programs: Iterable[str]) -> tuple[str, ...]:
    """Make a command that prints those of the programs that aren't there, a line each.

    A program is a whole path, one that begins with ``~/``, or a name on the PATH of whoever runs
    the command. It ends well whether one is missing or not.
    """
    return ("sh", "-c", _SCRIPT, "sh", *programs)
