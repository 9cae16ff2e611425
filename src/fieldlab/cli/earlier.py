"""Failed trials that other campaigns of an experiment have recorded: later ones leave them out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fieldlab.cli.output import joined

if TYPE_CHECKING:
    from fieldlab.app import Lab
    from fieldlab.ports.store import Campaign

#: more failed trials than these are counted without a look at each
MOST_LOOKED_AT = 5_000


def failed_before(lab: Lab, campaign: Campaign) -> dict[str, int]:
    """Count the failed trials of a campaign's space that are other campaigns': name → how many."""
    counts = {
        each.name: _shared(lab, each, campaign)
        for each in lab.store.campaigns()
        if each.experiment_id == campaign.experiment_id and each.id != campaign.id and each.failed
    }
    return {name: number for name, number in counts.items() if number}


def _shared(lab: Lab, other: Campaign, campaign: Campaign) -> int:
    """Count the failed trials of another campaign that this one's space has, too."""
    if other.failed > MOST_LOOKED_AT:
        return other.failed
    from fieldlab.cli.whereabouts import is_in_space
    from fieldlab.domain.space_reading import read_space
    from fieldlab.store.queries import failed_trials

    spec = read_space(campaign.definition.space, [])
    assert spec is not None
    with lab.database.read() as connection:
        failed = failed_trials(connection, other)
    return sum(is_in_space(spec, json.loads(point), repeat) for point, repeat in failed)


def of_them_failed(recorded: int, failed: Mapping[str, int]) -> str:
    """Say how many of the trials that were recorded before have failed; nothing if none has."""
    number = min(sum(failed.values()), recorded)
    return f", {number:,} of them as failed" if number else ""


def retries(failed: Mapping[str, int]) -> list[str]:
    """Write the commands that try them again."""
    return [f"fieldlab retry {name}" for name in failed]


def retry_text(failed: Mapping[str, int]) -> str:
    """Say in a clause which commands try them again."""
    return joined(f"`{each}`" for each in retries(failed))
