"""Exit codes, and how errors are shown: one place for all commands.

=====  ==========================================================================
code   meaning
=====  ==========================================================================
0      done
1      some trials failed
2      bad input: nothing was done
3      the failure guard stopped the campaign
4      infrastructure: the database, the processes, or a fault of fieldlab's own
130    interrupted
=====  ==========================================================================
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import traceback
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from fieldlab.cli.quickness import quicken
from fieldlab.domain.errors import (
    BadInput,
    FieldlabError,
    IllegalTransition,
    MachineError,
    MissingExtra,
    render_key,
    sentences,
)
from fieldlab.settings import current_folder

#: where the words of the command line are kept
_WORDS = f"{__name__}.words"
#: set to anything, it shows the traceback of an error
DEBUG = "FIELDLAB_DEBUG"


#: why nothing more can be written: what a full or broken disk says
_UNWRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class ExitCode(IntEnum):
    """What the program's exit says; stable, for scripts."""

    DONE = 0
    SOME_FAILED = 1
    BAD_INPUT = 2
    TRIPPED = 3
    INFRASTRUCTURE = 4
    INTERRUPTED = 130


class ReportingGroup(TyperGroup):
    """The root of the commands: whatever goes wrong below it is shown, and exits with its code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[__name__] = "--json" in args
        ctx.meta[_WORDS] = args.copy()
        quicken(self, ctx)
        try:
            return super().parse_args(ctx, args)  # which may show the help
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except BrokenPipeError:
            raise
        except OSError as error:
            raise typer.Exit(report(_from_machine(error), as_json=False)) from error

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        as_json = bool(ctx.meta.get(__name__))
        try:
            _require_text(ctx.meta[_WORDS])
            current_folder()
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            _silence_output()
            return None
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except FieldlabError as error:
            raise typer.Exit(report(error, as_json=as_json)) from error
        except OSError as error:
            raise typer.Exit(report(_from_machine(error), as_json=as_json)) from error
        except Exception as error:
            if not hasattr(error, "format_message"):
                raise typer.Exit(report(error, as_json=as_json)) from error
            if not as_json:
                raise  # a wrong option or argument: typer shows the usage
            _write_json({"error": "usage", "message": error.format_message()})
            raise typer.Exit(ExitCode.BAD_INPUT) from error
        return result


def _require_text(words: list[str]) -> None:
    """Refuse words that aren't text: no name is like that, and no database takes them."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise BadInput(
                f"{word!a} on the command line is not in UTF-8", remedy="Write it as text in UTF-8"
            ) from None


def _from_machine(error: OSError) -> FieldlabError:
    """Explain an error of the operating system that nothing has explained yet."""
    why = error.strerror or str(error)
    if not error.filename and error.errno in _UNWRITTEN:
        _silence_output()
        return MachineError(
            f"The output can't be written: {why}", remedy="Free some space, or send it elsewhere"
        )
    what = f"{error.filename} can't be used" if error.filename else "The machine refuses"
    return MachineError(
        f"{what}: {why}", remedy=f"Check its permissions and its disk; {DEBUG}=1 shows more"
    )


def exit_code(error: Exception) -> ExitCode:
    """Say which exit code an error has."""
    if isinstance(error, BadInput | IllegalTransition | MissingExtra):
        return ExitCode.BAD_INPUT
    return ExitCode.INFRASTRUCTURE


def report(error: Exception, *, as_json: bool) -> ExitCode:
    """Show an error on stderr; give its exit code."""
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    with contextlib.suppress(OSError):  # the code says it, too
        if as_json:
            _write_json(error_document(error))
        else:
            typer.echo(error_text(error), err=True)
    return exit_code(error)


def error_text(error: Exception) -> str:
    """Write an error for people."""
    if not isinstance(error, FieldlabError):
        return f"Error: {sentences(_unexpected(error), _TRACEBACK)}"
    if isinstance(error, BadInput) and len(error.problems) > 1:
        lines = [f"Error: {len(error.problems)} problems"]
        return "\n".join([*lines, *(f"  {problem}" for problem in error.problems)])
    if isinstance(error, BadInput) and error.problems[0].file:
        return f"Error: {error.problems[0]}"
    return f"Error: {error}"


_TRACEBACK = f"This is a fault of fieldlab: please report it, with what {DEBUG}=1 shows"


def _unexpected(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def error_document(error: Exception) -> dict[str, Any]:
    """Write an error for programs."""
    if not isinstance(error, FieldlabError):
        return {"error": "unexpected", "message": _unexpected(error), "remedy": _TRACEBACK}
    document = {"error": error.code, "message": error.what, "remedy": error.remedy}
    problems = error.problems if isinstance(error, BadInput) else ()
    return {
        **document,
        "problems": [
            {
                "what": problem.what,
                "file": problem.file or None,
                "line": problem.line or None,
                "key": render_key(problem.key) or None,
                "remedy": problem.remedy,
            }
            for problem in problems
        ],
    }


def _write_json(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False), err=True)


def _silence_output() -> None:
    """Let what is left to write go nowhere: the reader of the pipe has seen enough."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
