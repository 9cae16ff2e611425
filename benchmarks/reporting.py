"""Tables of what was measured: on the screen, in a file that keeps them, in the README."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

#: what follows this line in the README is written anew by each `--write`
MARK = "<!-- measured -->"
#: a number as the tables have it, with its unit
_NUMBER = re.compile(r"[\d.,]+( s| ms| MB)?")
#: a machine that is at most so busy is at rest, percent
AT_REST = 5.0
#: a table in a file is as wide as it needs to be
WIDE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A limit that fieldlab promises to keep."""

    what: str
    limit: str
    measured: str
    kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one benchmark found."""

    name: str
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    promises: Sequence[Promise] = ()
    #: trials, or what the unit says, per second by contender, for the picture
    rates: Mapping[str, float] = field(default_factory=dict)
    unit: str = "trials"
    #: how busy other programs kept the processors just before, percent
    busy: float = 0.0

    @property
    def caution(self) -> str:
        """Warn of numbers from a machine that did other things; empty when it was at rest."""
        if self.busy < AT_REST:
            return ""
        return (
            f"Measured while other programs kept the processors {self.busy:.0f} % busy: only"
            " comparisons within the table mean something."
        )

    def save(self, folder: Path) -> None:
        """Keep it until the README or the picture is made."""
        (folder / f"{self.name}.json").write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, folder: Path, name: str) -> Report | None:
        """Read what was kept, if there is anything."""
        path = folder / f"{name}.json"
        if not path.exists():
            return None
        kept: dict[str, Any] = json.loads(path.read_text())
        return cls(**{**kept, "promises": [Promise(**each) for each in kept["promises"]]})


def show(reports: Iterable[Report]) -> None:
    """Print tables."""
    from rich.box import SIMPLE
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = WIDE
    for report in reports:
        _print(console, SIMPLE, report.head, report.rows, title=report.title)
        if report.caution:
            console.print(report.caution)
        if report.promises:
            _print(console, SIMPLE, *_promised([report]))


def write(readme: Path, machine: Mapping[str, str], reports: Sequence[Report]) -> None:
    """Write the tables into the README, behind its mark."""
    kept, mark, _ = readme.read_text().partition(MARK)
    parts = [kept + mark, "## The machine", "\n".join(f"- {k}: {v}" for k, v in machine.items())]
    parts += ["## Promises", _markdown(*_promised(reports))]
    for report in reports:
        parts += [f"## {report.title}", *filter(None, [report.caution])]
        parts.append(_markdown(report.head, report.rows))
    readme.write_text("\n\n".join(parts) + "\n")


def _promised(reports: Iterable[Report]) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    rows = [
        [each.what, each.limit, each.measured, "yes" if each.kept else "**no**"]
        for report in reports
        for each in report.promises
    ]
    return ("promise", "limit", "measured", "kept"), rows


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from rich.box import MARKDOWN
    from rich.console import Console

    text = StringIO()
    _print(Console(file=text, width=WIDE), MARKDOWN, head, rows)
    return "\n".join(line.rstrip() for line in text.getvalue().strip().splitlines())


def _print(
    console: Console, box: Any, head: Sequence[str], rows: Sequence[Sequence[str]], title: str = ""
) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box, title=title or None, title_justify="left")
    for place, name in enumerate(head):
        table.add_column(name, justify="right" if place and _is_number(rows, place) else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _is_number(rows: Sequence[Sequence[str]], place: int) -> bool:
    return any(_NUMBER.fullmatch(row[place]) for row in rows)


def picture(path: Path, reports: Iterable[Report]) -> None:
    """Draw what was done per second as bars, on a logarithmic axis, a panel for each race."""
    from matplotlib.figure import Figure

    drawn = [report for report in reports if report.rates]
    figure = Figure(figsize=(10, 3.2 * ((len(drawn) + 1) // 2)), layout="constrained")
    for place, report in enumerate(drawn, 1):
        panel = figure.add_subplot((len(drawn) + 1) // 2, 2, place)
        names, rates = list(report.rates), list(report.rates.values())
        colours = ["#1b6ca8" if name.startswith("fieldlab") else "#b8c4ce" for name in names]
        bars = panel.barh(names, rates, color=colours)
        panel.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3)
        panel.set(xscale="log", title=report.title.replace("`", ""))
        panel.set(xlabel=f"{report.unit} per second")
        panel.set_xlim(right=max(rates) * 8)
        panel.invert_yaxis()
        panel.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
