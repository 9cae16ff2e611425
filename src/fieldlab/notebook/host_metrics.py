"""What hosts did during an attempt, second by second: read, and drawn."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from fieldlab.domain.errors import BadInput, MissingExtra

_PREFIX = "metrics-"
#: inches
_SIZE_IN = (8.0, 7.0)
_PANELS = (
    ("processors / %", (("cpu_percent", "", 1.0),)),
    ("memory / MB", (("memory_bytes", "", 1e6),)),
    (
        "network / MB/s",
        (("received_bytes_per_s", "in", 1e6), ("sent_bytes_per_s", "out", 1e6)),
    ),
)

#: column → values, one for each second
Samples = Mapping[str, Sequence[float]]


def read_metrics(folder: Path) -> dict[str, Samples]:
    """Read the metrics that an attempt's folder has: host → its samples, in order of time.

    Raises
    ------
    BadInput
        A file isn't what fieldlab wrote.
    """
    found: dict[str, Samples] = {}
    for path in sorted(folder.glob(f"{_PREFIX}*.csv")):
        try:
            with path.open(newline="") as file:
                rows = list(csv.DictReader(file))
            columns = {name: [float(row[name]) for row in rows] for name in (rows or [{}])[0]}
        except (ValueError, TypeError, KeyError) as error:
            raise BadInput(f"{path} isn't a file of metrics: {error}") from error
        found[path.stem.removeprefix(_PREFIX)] = columns
    return found


def plot_metrics(hosts: Mapping[str, Samples], path: Path, title: str) -> None:
    """Draw processors, memory and network of each host over time.

    Raises
    ------
    MissingExtra
        matplotlib isn't installed.
    BadInput
        The file can't be written, or its ending is no format of pictures.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("notebook", "Plotting metrics") from None
    figure = Figure(figsize=_SIZE_IN, layout="constrained")
    FigureCanvasAgg(figure)  # without a display
    begin = min(each["time_s"][0] for each in hosts.values() if each)
    panels = figure.subplots(len(_PANELS), 1, sharex=True)
    for axes, (label, lines) in zip(panels, _PANELS, strict=True):
        for place, (host, samples) in enumerate(hosts.items()):
            for style, (name, way, unit) in zip(("-", "--"), lines, strict=False):
                axes.plot(
                    [each - begin for each in samples["time_s"]],
                    [each / unit for each in samples[name]],
                    style,
                    color=f"C{place}",
                    label=" ".join(filter(None, (host, way))),
                )
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    panels[-1].set_xlabel("time / s")
    panels[-1].legend(fontsize="small", ncols=2)
    panels[0].set_title(title, loc="left")
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{path} can't be written: {error}", remedy="Name a .png, .svg or .pdf"
        ) from None
