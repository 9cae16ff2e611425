"""From a file, a text or a mapping to a :class:`~fieldlab.domain.definition.Definition`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldlab.definitions.documents import Document
from fieldlab.definitions.reader import read_file, read_mapping, read_text
from fieldlab.domain.assembly import problems_in
from fieldlab.domain.definition import Definition
from fieldlab.domain.errors import BadInput, Problem
from fieldlab.domain.kinds import mixed_kinds
from fieldlab.domain.parameters import QuasiSource, sequence_from

if TYPE_CHECKING:
    from fieldlab.definitions.checking import Checked

#: tools and executors that are always there
TOOLS: Set[str] = frozenset({"function", "command"})
EXECUTORS: Set[str] = frozenset({"local"})
#: more would hide the first ones
MOST_PROBLEMS = 50


def load(
    path: Path,
    *,
    quasi: QuasiSource | None = None,
    tools: Set[str] = TOOLS,
    executors: Set[str] = EXECUTORS,
) -> Definition:
    """Read an experiment definition from a .yaml, .yml, .json or .toml file.

    Parameters
    ----------
    path
        The file. Relative paths in it start from its folder.
    quasi
        Makes low-discrepancy sequences; needed for ``method: sobol`` only.
    tools, executors
        Names of the tools and executors that there are.

    Raises
    ------
    BadInput
        The file can't be used. ``problems`` has everything that is wrong with it, each with file,
        line (TOML: for syntax only), key and what to do.
    MissingExtra
        ``quasi`` needs a package that isn't installed.
    """
    document = read_file(path)
    return _defined(document, path.parent, quasi, tools, executors)


def loads(
    text: str,
    *,
    format: str,  # noqa: A002 - the word that everybody expects
    folder: Path,
    file: str = "",
    quasi: QuasiSource | None = None,
    tools: Set[str] = TOOLS,
    executors: Set[str] = EXECUTORS,
) -> Definition:
    """Read an experiment definition from text; otherwise as :func:`load`.

    Parameters
    ----------
    text
        What a file would hold.
    format
        "yaml", "json" or "toml".
    folder
        Where relative paths in it start.
    file
        What errors call it.
    """
    document = read_text(text, format, file)
    return _defined(document, folder, quasi, tools, executors)


def from_mapping(
    data: Mapping[str, Any],
    folder: Path,
    *,
    quasi: QuasiSource | None = None,
    tools: Set[str] = TOOLS,
    executors: Set[str] = EXECUTORS,
) -> Definition:
    """Read an experiment definition from a Python mapping; otherwise as :func:`load`."""
    return _defined(read_mapping(data), folder, quasi, tools, executors)


def locate(path: Path, error: BadInput) -> BadInput:
    """Add file and line to problems of a definition that were found after it had been read.

    Problems that name no key stay as they are, and so do all if the file can't be read any more.
    """
    missing = [each.key != () and not each.file for each in error.problems]
    if not any(missing):
        return error
    try:
        document = read_file(path)
    except BadInput:
        return error
    pairs = zip(missing, error.problems, strict=True)
    return type(error).of(document.located(each) if lacks else each for lacks, each in pairs)


def _defined(
    document: Document,
    folder: Path,
    quasi: QuasiSource | None,
    tools: Set[str],
    executors: Set[str],
) -> Definition:
    # Imported here: pydantic is slow to import, and commands that read no definition start faster.
    from fieldlab.definitions.checking import check

    checked = check(document.data, tools, executors)
    problems = [*checked.problems, *_space_problems(document, checked, quasi)]
    problems += checked.word_problems(document.places)
    found = [document.located(problem) for problem in _new(problems, document.problems)]
    if found or document.problems:
        raise BadInput.of(_in_order([*document.problems, *found], document.file))
    return checked.definition(str(folder.resolve()))


def _space_problems(
    document: Document, checked: Checked, quasi: QuasiSource | None
) -> Iterator[Problem]:
    """Check the space, and the placeholders that it fills."""
    if not isinstance(checked.space, Mapping):
        return  # said already
    known = [each.key for each in document.problems if each.key[:1] == ("space",)]
    if known:  # None stands for what is wrong there: what is above or below would only confuse
        for problem in problems_in(checked.space):
            if not any(key[: len(problem.key)] == problem.key for key in known):
                yield problem
        return
    try:
        names = sequence_from(checked.space, quasi=quasi).names
    except BadInput as error:
        yield from error.problems
    else:
        yield from mixed_kinds(checked.space)
        yield from checked.parameter_problems(names)


def _new(problems: list[Problem], known: tuple[Problem, ...]) -> list[Problem]:
    """Leave out what follows from a value that is known to be wrong."""
    keys = [problem.key for problem in known]
    return [
        problem for problem in problems if not any(problem.key[: len(key)] == key for key in keys)
    ]


def _in_order(problems: list[Problem], file: str) -> list[Problem]:
    """Sort problems as they stand in the file, and cut a very long list."""
    ordered = sorted(problems, key=lambda problem: problem.line)
    if len(ordered) <= MOST_PROBLEMS:
        return ordered
    more = Problem(
        what=f"and {len(ordered) - MOST_PROBLEMS} more problems",
        remedy="Put these right first",
        file=file,
    )
    return [*ordered[:MOST_PROBLEMS], more]
