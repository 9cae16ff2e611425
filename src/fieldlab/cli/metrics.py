"""What hosts did during an attempt: `metrics`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fieldlab.cli.journal import choose_attempt, folder_of
from fieldlab.cli.labs import Name, opened
from fieldlab.cli.output import Json, say, write_json
from fieldlab.cli.trial_words import TrialWords
from fieldlab.domain.errors import UnknownName

if TYPE_CHECKING:
    from fieldlab.notebook.host_metrics import Samples


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(metrics)


def metrics(
    name: Name,
    trial: TrialWords = None,
    attempt: Annotated[
        int | None, typer.Option("--attempt", min=1, help="Which attempt; the last if absent.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw them: .png, .svg or .pdf.")
    ] = None,
    json: Json = False,
) -> None:
    """Show what hosts did during an attempt: of what ran last, unless a trial is named."""
    from fieldlab.notebook.host_metrics import plot_metrics, read_metrics

    with opened() as lab:
        campaign = lab.find(name)
        chosen = choose_attempt(lab, campaign, trial or [], attempt)
        folder = folder_of(lab, campaign, chosen)
    hosts = {host: each for host, each in read_metrics(folder).items() if each} if folder else {}
    if not hosts:
        raise UnknownName(
            f"Attempt {chosen.number} of trial {chosen.fingerprint[:8]} has no metrics",
            remedy="`executor: {ssh: {metrics: true}}` watches the hosts of attempts that take"
            " a few seconds",
        )
    if plot is not None:
        plot_metrics(hosts, plot, f"{campaign.name}  {chosen.fingerprint[:8]}")
        say(f"Wrote {plot}")
    if json:
        write_json({"folder": folder, "hosts": hosts})
    elif plot is None:
        _show(hosts)


def _show(hosts: Mapping[str, Samples]) -> None:
    from fieldlab.cli.tables import print_fitted

    columns = ("host", "seconds", "cpu %", "most", "memory MB", "in MB/s", "out MB/s")
    rows = [
        (
            host,
            str(len(each["time_s"])),
            f"{_mean(each['cpu_percent']):.0f}",
            f"{max(each['cpu_percent']):.0f}",
            f"{max(each['memory_bytes']) / 1e6:,.0f}",
            f"{_mean(each['received_bytes_per_s']) / 1e6:,.2f}",
            f"{_mean(each['sent_bytes_per_s']) / 1e6:,.2f}",
        )
        for host, each in hosts.items()
    ]
    print_fitted(columns, rows, right=columns[1:])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
