"""Reading the documentation: its fenced blocks, its tables, and running what it shows.

A block with a ``title="…"`` is a file of that name. A ``console`` block holds commands after
``$ ``, each with what it prints, where ``…`` stands for any text, or for any lines if it is alone
on a line.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: longest that a shown command may take, s
PATIENCE_S = 100.0

_FENCE = re.compile(
    r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)
#: what makes a terminal show text bold or in colour
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page."""

    language: str
    #: name of the file that it shows, if it shows one
    title: str
    text: str
    #: of its first line, in the page
    line: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A command and what the page says that it prints."""

    command: str
    #: empty when the page doesn't say
    printed: tuple[str, ...]


def text_of(page: str) -> str:
    """Read a page, named by its path from ``docs``."""
    return (DOCS / page).read_text(encoding="utf-8")


def all_pages() -> list[str]:
    """List the pages by their paths below ``docs``."""
    return sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def blocks(page: str, language: str = "") -> list[Block]:
    """List the fenced blocks of a page."""
    text = text_of(page)
    found = [
        Block(
            match["language"],
            match["title"] or "",
            match["text"],
            text.count("\n", 0, match.start()) + 2,
        )
        for match in _FENCE.finditer(text)
    ]
    return [block for block in found if language in ("", block.language)]


def commands(block: Block) -> Iterator[Shown]:
    """Go through the commands of a ``console`` block."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, *printed = part.rstrip().splitlines()
        yield Shown(command, tuple(printed))


def table_rows(text: str) -> list[list[str]]:
    """List the cells of all tables in a text, without their headings."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    rules = [n for n, row in enumerate(cells) if set("".join(row)) <= set(":- ")]
    return [row for n, row in enumerate(cells) if n not in rules and n + 1 not in rules]


def section(text: str, heading: str) -> str:
    """Take the part of a page below a heading of the second level."""
    return re.split(r"^## ", text.split(f"\n## {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[
        0
    ]


def run(command: str, folder: Path) -> tuple[int, str]:
    """Run a command of a page in a shell, its standard output a terminal of 200 columns.

    Returns
    -------
    tuple of int, str
        The exit code; what came on standard output, then what came on standard error.
    """
    ours, theirs = pty.openpty()
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MPLBACKEND": "agg",
        "TERM": "xterm",
        "COLUMNS": "200",
        "LANG": "C.UTF-8",
    }
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=errors,
        )
        os.close(theirs)
        printed = b"".join(_everything(ours))
        code = process.wait(PATIENCE_S)
        errors.seek(0)
        printed += errors.read()
    return code, _STYLE.sub("", printed.decode()).replace("\r\n", "\n")


def play(page: str, folder: Path) -> None:
    """Write the files that a page shows, and run its commands, in its order, in an empty folder."""
    for block in blocks(page):
        if block.title:
            (folder / block.title).write_text(block.text)
        if block.language != "console":
            continue
        for shown in commands(block):
            code, printed = run(shown.command, folder)
            where = f"docs/{page}:{block.line}, $ {shown.command}"
            assert code == 0, f"{where}\n{printed}"
            assert matches(shown.printed, printed), f"{where}\n{printed}"


def _everything(terminal: int) -> Iterator[bytes]:
    with open(terminal, "rb", buffering=0) as file:
        while True:
            try:
                part = file.read(1 << 16)
            except OSError:  # Linux says so when nobody is left on the other side
                return
            if not part:
                return
            yield part


def matches(expected: tuple[str, ...], printed: str) -> bool:
    """Say whether a command printed what the page shows, if it shows anything.

    Spaces at the ends of lines don't count, nor do empty lines before and after all.
    """
    if not expected:
        return True
    pattern = "".join(
        "(?:.*\n)*?"
        if line.strip() == "…"
        else ".*?".join(map(re.escape, line.rstrip().split("…"))) + " *\n"
        for line in expected
    )
    lines = [line.rstrip() for line in printed.splitlines()]
    text = "\n".join(lines).strip("\n") + "\n"
    return re.fullmatch(pattern, text) is not None
