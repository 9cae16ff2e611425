"""The results of all trials that a campaign covers, whichever campaign recorded them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fieldlab.domain.errors import BadInput
from fieldlab.domain.ids import Point, fingerprint

if TYPE_CHECKING:
    import sqlalchemy as sa

    from fieldlab.app import Lab
    from fieldlab.ports.store import Campaign
    from fieldlab.store.extracts import Extract
    from fieldlab.workflows.perftest.summaries import Observation

#: campaign, point, repeat → whether the trial is covered
Covers = Callable[[int, Point, int], bool]


def covered(name: str) -> list[Observation]:
    """Give a campaign's results, and how its failed trials ended.

    What an earlier campaign recorded, so that this one need not run it, is among them; the name of
    an experiment covers everything that was recorded for it.

    Raises
    ------
    BadInput
        There is no lab here.
    """
    from fieldlab.cli.labs import opened
    from fieldlab.domain.errors import NoLab
    from fieldlab.workflows.perftest.summaries import ended, recorded

    try:
        with opened() as lab:
            campaign = lab.find(name)
            parameters = lab.sequence(campaign.definition).names
            covers = _covers(lab, campaign, name)
            fixed = campaign.definition.tool.options
            with lab.database.read() as connection:
                good = _good(connection, campaign, covers, parameters)
                bad = _bad(lab, connection, campaign, covers)
                return [*recorded(good, parameters, fixed), *ended(bad, fixed)]
    except NoLab:
        raise BadInput(
            f"There is neither a folder '{name}' nor a lab here",
            remedy="Name a folder of AutoPerf's data, or go to the folder of the lab",
        ) from None


def _covers(lab: Lab, campaign: Campaign, name: str) -> Covers:
    if campaign.is_all_of(name):
        return lambda _owner, _point, _repeat: True
    if not campaign.skipped:
        return lambda owner, _point, _repeat: owner == campaign.id
    trials = lab.sequence(campaign.definition).run(0, campaign.cursor)
    wanted = {trial.fingerprint for _, trial in trials if trial is not None}
    return lambda owner, point, repeat: owner == campaign.id or fingerprint(point, repeat) in wanted


def _good(
    connection: sa.Connection, campaign: Campaign, covers: Covers, parameters: tuple[str, ...]
) -> Iterator[Mapping[str, Any]]:
    """Give the rows of results without the columns that fieldlab adds."""
    from fieldlab.store.extracts import result_rows

    plain = result_rows(connection, campaign, everywhere=True, own_columns=False)
    wanted = [name for name, _ in plain.columns]
    rows = result_rows(connection, campaign, everywhere=True, own_columns=True)
    for row in _rows(rows):
        point = {name: row[name] for name in parameters}
        if covers(row["campaign_id"], point, row["repeat"]):
            yield {name: row[name] for name in wanted}


def _bad(
    lab: Lab, connection: sa.Connection, campaign: Campaign, covers: Covers
) -> Iterator[tuple[Point, str, str]]:
    """Give the failed trials: point, status, reason."""
    from json import loads

    from fieldlab.store.extracts import failure_rows

    campaigns = [
        each for each in lab.store.campaigns() if each.experiment_id == campaign.experiment_id
    ]
    for row in _rows(failure_rows(connection, campaigns)):
        point = loads(row["parameters"])
        if covers(row["campaign_id"], point, row["repeat"]):
            yield point, row["status"] or "failed", row["error"] or ""


def _rows(rows: Extract) -> Iterator[dict[str, Any]]:
    names = [name for name, _ in rows.columns]
    return (dict(zip(names, row, strict=True)) for block in rows.blocks() for row in block)
