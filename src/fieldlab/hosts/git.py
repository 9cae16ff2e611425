"""The state of a git repository, read by the git program.

Whatever the repository's configuration says, git starts no hook, monitor, external diff or text
conversion here, asks for no password, fetches nothing, and leaves the repository as it is.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Timer

#: bytes of a patch that is kept
PATCH_BYTES = 1 << 20
#: bytes of new files that are kept in a patch, and how many of them
NEW_BYTES = 1 << 19
NEW_FILES = 1_000
#: all questions to one repository are answered within this time, s
PATIENCE_S = 5.0
#: bytes of an answer that are read, where they say all that counts
ANSWER_BYTES = 1 << 20

_OPTIONS = (
    "--no-pager",
    "--literal-pathspecs",
    *("-c", "core.fsmonitor=false"),
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "core.quotePath=true"),
    *("-c", "core.splitIndex=false"),
    *("-c", "color.ui=false"),
)
#: how differences are written, whatever the user's configuration prefers
PLAIN_DIFF = (
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--no-relative",
    f"-O{os.devnull}",
    "--submodule=short",
    "--src-prefix=a/",
    "--dst-prefix=b/",
)
#: what of the environment says which repository is meant: inside a hook that is another one
_CONFIGURATION = re.compile(r"GIT_(CONFIG(_.*)?|CEILING_DIRECTORIES|DISCOVERY_ACROSS_FILESYSTEM)")


class GitTrouble(Exception):  # not one of a user's errors: who asks makes a sentence of it
    """Git didn't answer: it failed, took too long, or said more than was asked for."""


@dataclass(slots=True)
class Git:
    """Asks the repository that a folder belongs to, until its time is over."""

    folder: Path
    #: on the monotonic clock, s
    deadline: float = field(default_factory=lambda: time.monotonic() + PATIENCE_S)

    def ask(
        self,
        *words: str,
        at_most: int = ANSWER_BYTES,
        cut: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run a git command; what it wrote to standard output.

        Parameters
        ----------
        at_most
            Bytes of the answer.
        cut
            Give the beginning of a longer one.

        Raises
        ------
        GitTrouble
            With what git said.
        """
        program = shutil.which("git")
        if program is None:
            raise GitTrouble("git isn't installed")
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise GitTrouble("git took too long")
        argv = [program, *_OPTIONS, *words]
        return _answer(argv, self.folder, {**_environ(), **(environ or {})}, left, at_most, cut)

    def text(self, *words: str) -> str:
        """Run a git command; its answer as text, without the end of the line."""
        return self.ask(*words).decode(errors="replace").rstrip("\n")


def _environ() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or _CONFIGURATION.fullmatch(name)
    }
    return {
        **kept,
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "LC_ALL": "C",
    }


def _answer(
    argv: Sequence[str],
    folder: Path,
    environ: Mapping[str, str],
    left_s: float,
    at_most: int,
    cut: bool,
) -> bytes:
    """Run a program in a process group of its own, and end whatever is left of it."""
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                argv,
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        except OSError as error:
            raise GitTrouble(f"git can't be started: {error.strerror}") from error
        late = Event()
        timer = Timer(left_s, _end_late, (process, late))
        timer.start()
        try:
            assert process.stdout is not None
            with process.stdout as stdout:
                answer = _read(stdout.fileno(), at_most + 1, time.monotonic() + left_s)
            if len(answer) > at_most:
                _end(process)
            code = process.wait()
        finally:
            timer.cancel()
        if late.is_set():
            raise GitTrouble("git took too long")
        if len(answer) > at_most:
            if cut:
                return answer[:at_most]
            raise GitTrouble(f"it is larger than {at_most:,} bytes")
        if code:
            errors.seek(0)
            said = errors.read(2_000).decode(errors="replace").strip()
            raise GitTrouble(said or f"git ended with exit code {code}")
    return answer


def _read(descriptor: int, at_most: int, deadline: float) -> bytes:
    """Read until the end, but not longer: what left git's process group may hold the other side."""
    answer = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while len(answer) < at_most and (left_s := deadline - time.monotonic()) > 0:
            if selector.select(left_s):
                part = os.read(descriptor, min(at_most - len(answer), 1 << 16))
                if not part:
                    break
                answer += part
    return bytes(answer)


def _end_late(process: subprocess.Popen[bytes], late: Event) -> None:
    late.set()
    _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def summary_of_changes(folder: Path, a: str, b: str) -> str:
    """Say which files differ between two commits; nothing if the repository hasn't both."""
    if not (folder.is_dir() and all(re.fullmatch("[0-9a-f]{7,64}", each) for each in (a, b))):
        return ""
    try:
        return Git(folder).text("diff", "--stat", *PLAIN_DIFF, a, b, "--")
    except GitTrouble:
        return ""
