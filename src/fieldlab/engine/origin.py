"""Code that no commit holds: what is said about it when a campaign runs, and refusing it."""

from __future__ import annotations

from pathlib import Path

from fieldlab.domain.definition import Definition
from fieldlab.domain.errors import BadInput
from fieldlab.domain.provenance import SHORT, left_out
from fieldlab.hosts.provenance import Captured, capture
from fieldlab.settings import Dirty, ProvenanceSettings

_REMEDY = (
    'Commit it, or allow it with dirty = "allow" below [provenance] in fieldlab.toml, or with'
    " FIELDLAB_PROVENANCE_DIRTY=allow"
)


def uncommitted(captured: Captured, settings: ProvenanceSettings) -> str:
    """Say what no commit holds of the code, and what is kept of it; empty if there is no such."""
    code = captured.provenance.code
    if captured.trouble:
        recorded = f"only commit {code.commit[:SHORT]}" if code and code.commit else "no commit"
        return f"Of the code {recorded} is recorded: {captured.trouble}"
    if code is None or not code.dirty:
        return ""
    told = (
        f"The code has changes that commit {code.commit[:SHORT]} doesn't hold"
        if code.commit
        else "The code isn't committed yet"
    )
    if not settings.patch or code.patch is None:
        return f"{told}; they aren't kept" if code.commit else f"{told}, and it isn't kept"
    kept = "they are" if code.commit else "it is"
    missing = ", ".join(left_out(code.patch))
    return f"{told}; {kept} kept as a patch" + (f" without {missing}" if missing else "")


def check_code(definition: Definition, settings: ProvenanceSettings) -> None:
    """Refuse code of which some isn't held by a commit, or may not be, if the settings say so.

    Raises
    ------
    BadInput
        With what is the matter.
    """
    if settings.dirty is not Dirty.REFUSE:
        return
    captured = capture(_folder(definition), patch=False)
    code = captured.provenance.code
    if captured.trouble:
        what = f"Nobody can say whether the code is committed: {captured.trouble}"
    elif code is None:
        what = "The code isn't in a git repository, and only committed code may run here"
    elif code.dirty:
        what = f"The code in {code.repository} has changes that aren't committed"
    else:
        return
    raise BadInput(what, remedy=_REMEDY)


def captured_for(definition: Definition, settings: ProvenanceSettings) -> Captured:
    """Find out what a definition's trials are made with, as the settings allow."""
    return capture(_folder(definition), patch=settings.patch)


def _folder(definition: Definition) -> Path:
    return Path(definition.folder or Path.cwd())
