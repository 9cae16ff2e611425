"""The machines of the benchmarks: hosts of a sandbox, which run on this one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measuring import BenchmarkFailed
from fieldlab.domain.errors import FieldlabError
from fieldlab.sandbox import Sandbox

HOSTS = 8


@contextmanager
def machines(hosts: int = HOSTS, disk: str = "256M") -> Iterator[Sandbox]:
    """Have hosts meanwhile.

    Raises
    ------
    BenchmarkFailed
        This machine can't have a sandbox.
    """
    try:
        sandbox = Sandbox.up(hosts, disk=disk)
    except FieldlabError as error:
        raise BenchmarkFailed(f"There are no hosts to measure with: {error}") from error
    with sandbox:
        yield sandbox


def write_profile(sandbox: Sandbox, folder: Path) -> None:
    """Let a lab in a folder know the hosts as its site."""
    (folder / "fieldlab.toml").write_text((sandbox.folder / "site.toml").read_text())
