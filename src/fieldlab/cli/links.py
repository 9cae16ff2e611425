"""Whom an experiment belongs to: what its definition says, and what the database keeps."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fieldlab.app import Lab
    from fieldlab.domain.definition import Definition

_LINKS = ("project", "experimenter", "funding")


def changed_links(lab: Lab, definition: Definition, version: int) -> list[str]:
    """Say which links of a definition the database doesn't follow.

    They are written with an experiment's first run; from then on people set them.

    Parameters
    ----------
    version
        Of the experiment, which has been run.
    """
    said = {kind: name for kind in _LINKS if (name := getattr(definition, kind))}
    if not said:
        return []
    from fieldlab.store import registry

    experiment = definition.name
    with lab.database.read() as connection:
        kept = registry.entry(connection, "experiment", experiment)
        if kept["version"] != version:
            experiment = f"{experiment}.v{version}"
            kept = registry.entry(connection, "experiment", experiment)
    return [
        f"the {kind} of {experiment} stays {_shown(kept[kind])}, whatever the definition says:"
        f" `{shlex.join(('fieldlab', 'experiment', 'edit', experiment, f'--{kind}', name))}`"
        " changes it"
        for kind, name in said.items()
        if kept[kind] != name
    ]


def _shown(name: str | None) -> str:
    return f"'{name}'" if name else "empty"
