"""What an attempt was made with: the state of its code, its environment, who ran it, and where."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from fieldlab.domain.ids import digest

#: a patch begins with such a line for each thing that isn't in it; `git apply` passes over them
LEFT_OUT = "# left out: "
#: digits of a commit that are shown
SHORT = 10

_ADDRESS = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*)://([^/\s]*)@")


#: ``ada:secret@host:path``, which git takes for ada's; the scheme is missing on purpose
_BESIDE_USER = re.compile(r"^([\w.-]+):[^@/\s]*@(?=[\w.-]+:)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The state of a repository's work tree."""

    #: address of the remote, without passwords; or the folder, when there is no remote
    repository: str
    #: empty: there is none yet
    commit: str
    #: empty: none is checked out
    branch: str = ""
    #: whether something isn't committed; None: that took too long to find out
    dirty: bool | None = False
    #: what isn't committed, for `git apply`; None: there is nothing, or it isn't to be kept
    patch: str | None = None

    def __str__(self) -> str:
        where = f"{self.commit[:SHORT] or 'no commit'} of {self.repository}"
        where += f" ({self.branch})" if self.branch else ""
        changes = {True: ", with changes", False: "", None: ", perhaps with changes"}
        return where + changes[self.dirty]


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the code runs in."""

    #: its name and version: ``CPython 3.11.2``
    interpreter: str
    #: operating system and machine
    platform: str
    #: installed packages: name → version
    packages: Mapping[str, str]
    #: the file that pins them, by its path from the top of the repository; empty: there is none
    lock_file: str = ""
    lock_sha256: str = ""

    def __str__(self) -> str:
        lock = f"; {self.lock_file} {self.lock_sha256[:SHORT]}" if self.lock_file else ""
        return f"{self.interpreter}; {self.platform}{lock}"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Code and environment; equal ones have one digest, and are recorded once."""

    #: None: it isn't in a repository, or that can't be read
    code: Code | None
    environment: Environment

    @cached_property
    def digest(self) -> str:
        """Fingerprint of all of it."""
        return digest(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where attempts come from: the process that ran them. What isn't known is empty."""

    host: str
    #: number of the process
    pid: int = 0
    user: str = ""
    command_line: Sequence[str] = ()
    directory: str = ""
    #: None: an earlier fieldlab ran them, which didn't record it
    provenance: Provenance | None = None

    def document(self) -> dict[str, Any]:
        """Write it as plain data, by what it is about, without the patch and the process number."""
        code = self.provenance.code if self.provenance else None
        about_code = asdict(code) if code else {}
        about_code.pop("patch", None)
        return {
            "code": about_code,
            "environment": asdict(self.provenance.environment) if self.provenance else {},
            "process": {
                "host": self.host,
                "user": self.user,
                "command_line": list(self.command_line),
                "directory": self.directory,
            },
        }

    @property
    def patch(self) -> str:
        """What wasn't committed, as far as it was kept."""
        code = self.provenance.code if self.provenance else None
        return (code.patch if code else None) or ""


def left_out(patch: str) -> list[str]:
    """List what a patch says of itself that it leaves out."""
    lines = itertools.takewhile(lambda line: line.startswith(LEFT_OUT), patch.splitlines())
    return [line.removeprefix(LEFT_OUT) for line in lines]


def without_credentials(text: str) -> str:
    """Leave out of the addresses in a text what may be a password or a token.

    ``https://ada:secret@host/x`` becomes ``https://host/x``; other schemes keep the user's name,
    without which ``ssh://git@host/x`` says nothing.
    """

    def plain(found: re.Match[str]) -> str:
        scheme, user = found[1], found[2].partition(":")[0]
        return f"{scheme}://" if scheme.lower() in ("http", "https") else f"{scheme}://{user}@"

    return _ADDRESS.sub(plain, text)


def repository_address(remote: str) -> str:
    """Give the address of a remote without credentials, also those behind a question mark."""
    bare = _BESIDE_USER.sub(r"\1@", without_credentials(remote))
    return re.split(r"[?#]", bare, maxsplit=1)[0] if "://" in bare else bare
