"""Check what no linter checks: the budgets of the house, and that files name no private places.

Run it from anywhere inside the repository. It prints one offender a line, as ``path:line what``,
and exits with 1 if there is any.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

FILE_LINES = 400
CLASS_LINES = 250
FUNCTION_LINES = 50
#: names that say nothing about what is inside
EMPTY_NAMES = frozenset({"common", "helper", "helpers", "misc", "util", "utils"})

#: hosts of package registries, in parts so that this file doesn't name them either
_HOSTS = (
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("npmjs", "org"),
    ("anaconda", "org"),
    ("deb.debian", "org"),
)
REGISTRY = re.compile("|".join(re.escape(".".join(parts)) for parts in _HOSTS), re.IGNORECASE)
#: a path that exists on somebody's machine only
PRIVATE_PATH = re.compile(r"(?<![\w.$}])/(?:home|Users|root|work)/\w[\w./-]*")


def main() -> int:
    """Print every offender of the repository around this file; give the exit status."""
    root = Path(__file__).resolve().parent.parent
    offenders = [
        *(offender for path in sorted(root.glob("src/**/*.py")) for offender in over_budget(path)),
        *(offender for path in tracked(root) for offender in private_places(path)),
    ]
    for path, line, what in offenders:
        print(f"{path.relative_to(root)}:{line} {what}")
    return 1 if offenders else 0


def over_budget(path: Path) -> Iterator[tuple[Path, int, str]]:
    """Find what is too long in a Python file, and a name that says nothing."""
    for name in EMPTY_NAMES & {path.stem, path.parent.name}:
        yield path, 1, f"'{name}' says nothing about what is inside: name the concept"
    text = path.read_text(encoding="utf-8")
    if (lines := len(text.splitlines())) > FILE_LINES:
        yield path, 1, f"file of {lines} lines; at most {FILE_LINES}"
    for node in ast.walk(ast.parse(text, filename=str(path))):
        match node:
            case ast.ClassDef():
                kind, limit = "class", CLASS_LINES
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                kind, limit = "function", FUNCTION_LINES
            case _:
                continue
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > limit:
            yield path, node.lineno, f"{kind} '{node.name}' of {lines} lines; at most {limit}"


def tracked(root: Path) -> list[Path]:
    """List the files that git keeps or would add."""
    argv = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(argv, cwd=root, check=True, capture_output=True, text=True).stdout
    paths = {root / name for name in names.split("\0") if name}
    return sorted(path for path in paths if path.is_file() and not path.is_symlink())


def private_places(path: Path) -> Iterator[tuple[Path, int, str]]:
    """Find registry hosts and machine-bound paths in a text file."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    for number, line in enumerate(text.splitlines(), start=1):
        for pattern, kind in ((REGISTRY, "registry host"), (PRIVATE_PATH, "path of one machine")):
            if found := pattern.search(line):
                yield path, number, f"{kind}: {found.group()}"


if __name__ == "__main__":
    sys.exit(main())
