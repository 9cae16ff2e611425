"""Finding out what the attempts of a campaign are made with, before they begin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fieldlab.domain.provenance import Provenance
from fieldlab.hosts.environment import read_environment
from fieldlab.hosts.work_tree import WorkTree, read_work_tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """What was found out, and why not all of it."""

    provenance: Provenance
    #: why git can't say more of the code; empty if it has said all
    trouble: str = ""


def capture(folder: Path, *, patch: bool) -> Captured:
    """Find out the state of the code in a folder, and the environment of this process.

    It takes some hundredths of a second, in the worst case ten seconds, and raises nothing.

    Parameters
    ----------
    patch
        Keep what isn't committed.
    """
    try:
        folder = folder.resolve()
        tree = read_work_tree(folder, patch=patch) if folder.is_dir() else WorkTree()
    except Exception as error:  # noqa: BLE001 - no campaign is to fail for this
        tree = WorkTree(trouble=f"{type(error).__name__}: {error}")
    environment = read_environment(folder, tree.top)
    return Captured(
        provenance=Provenance(code=tree.code, environment=environment), trouble=tree.trouble
    )
