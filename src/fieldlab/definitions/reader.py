"""From a file or a text to a :class:`~fieldlab.definitions.documents.Document`."""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fieldlab.definitions.documents import Document, Nowhere, Places, Plainer, too_deep, unreadable
from fieldlab.definitions.hints import counted, suggestion
from fieldlab.domain.errors import BadInput, Problem

#: what a definition's file name may end in → its format
FORMATS = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}
LARGEST_BYTES = 5_000_000
_START = "Start from one that `fieldlab init` writes"


def read_file(path: Path) -> Document:
    """Read a definition's file.

    Raises
    ------
    BadInput
        There is no such file, it can't be read, or it doesn't hold one mapping.
    """
    text, form = _text_of(path)
    return read_text(text, form, str(path))


def read_plain(path: Path) -> tuple[Any, Document]:
    """Read a file of the same formats that is no definition.

    Returns
    -------
    tuple of Any, Document
        What it holds, in JSON types, and a document without content that locates problems; its
        own are those of the text.

    Raises
    ------
    BadInput
        There is no such file, it can't be read, or it is empty.
    """
    text, form = _text_of(path)
    file = str(path)
    if not text.strip():
        raise unreadable(file, "the file is empty", "Name another, or fill it")
    data, places, problems = _parsed(text, form, file)
    plainer = Plainer(file)
    plain = plainer.plain(data)
    document = Document(data={}, places=places, file=file)
    found = tuple(document.located(problem) for problem in [*problems, *plainer.problems])
    return plain, Document(data={}, places=places, file=file, problems=found)


def _text_of(path: Path) -> tuple[str, str]:
    """Read a file's text, and tell its format by the name."""
    content = _content(path)
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        ending = f"ends in {path.suffix}" if path.suffix else "has no ending"
        remedy = "Name definitions .yaml, .yml, .json or .toml"
        raise unreadable(str(path), f"the file name {ending}", remedy)
    return _decoded(content, str(path)), form


def read_text(text: str, form: str, file: str) -> Document:
    """Read a definition's text; ``form`` is "yaml", "json" or "toml"."""
    if not text.strip():
        raise unreadable(file, "the file is empty", _START)
    data, places, problems = _parsed(text, form, file)
    if data is None:
        raise unreadable(file, "there are only comments in it", _START)
    return _document(data, places, file, problems)


def read_mapping(data: Mapping[str, Any]) -> Document:
    """Take a definition that is a Python mapping."""
    return _document(data, Nowhere(), "", [])


def _document(data: Any, places: Places, file: str, problems: list[Problem]) -> Document:
    if not isinstance(data, Mapping) or _is_autoperf(data.get("campaigns")):
        raise _not_a_mapping(data, file)
    plainer = Plainer(file)
    plain = plainer.plain(data)
    document = Document(data=plain, places=places, file=file)
    found = tuple(document.located(problem) for problem in [*problems, *plainer.problems])
    return Document(data=plain, places=places, file=file, problems=found)


def _parsed(text: str, form: str, file: str) -> tuple[Any, Places, list[Problem]]:
    # Each reader is imported where it is used: commands that read no definition start faster.
    if form == "yaml":
        from fieldlab.definitions.yaml_text import parse_yaml

        return parse_yaml(text, file)
    if form == "json":
        from fieldlab.definitions.json_text import parse_json

        return parse_json(text, file)
    if form == "toml":
        return _parse_toml(text, file), Nowhere(), []
    raise unreadable(file, f"there is no format '{form}'", "One of: yaml, json, toml")


def _parse_toml(text: str, file: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # The parser has its line in the message only (Python 3.14 has an attribute besides).
        place = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", str(error))
        line = int(place[1] or 0) if place else 0
        what = str(error)[: place.start()] if place else str(error)
        what = f"not TOML: {what[:1].lower()}{what[1:]}"
        line = line or text.count("\n") + (not text.endswith("\n"))
        raise unreadable(file, what, _toml_remedy(what), line) from None
    except RecursionError:
        raise too_deep(file) from None
    except ValueError:
        raise unreadable(file, "a number has too many digits", "Write fewer") from None


def _toml_remedy(what: str) -> str:
    if "overwrite" in what or "twice" in what:
        return "Keep one of the keys or tables with that name"
    return 'Write key = "value", with text in quotes and tables as [table]'


def _content(path: Path) -> bytes:
    try:
        return _bounded_content(path)
    except BadInput:
        raise
    except FileNotFoundError:
        raise _is_missing(path) from None
    except PermissionError:
        what, remedy = "no permission to read the file", "Let its owner change that: chmod +r"
        raise unreadable(str(path), what, remedy) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        what = f"the file can't be read: {getattr(error, 'strerror', None) or error}"
        raise unreadable(str(path), what, "Check its name and its disk") from None


def _bounded_content(path: Path) -> bytes:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise _is_folder(path)
    if not stat.S_ISREG(status.st_mode):
        raise unreadable(str(path), "this is a device or pipe, not a file", "Name a file")
    if status.st_size > LARGEST_BYTES:
        raise unreadable(
            str(path),
            f"the file has {status.st_size / 1e6:.1f} MB, and a definition at most "
            f"{LARGEST_BYTES / 1e6:.0f} MB",
            "Is it a file of results? Compute long axes: range, linspace, logspace",
        )
    return path.read_bytes()


def _decoded(content: bytes, file: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        binary = b"\0" in content
        raise unreadable(
            file,
            "this is a binary file" if binary else "the file is not in UTF-8",
            "A definition is a text file; name that"
            if binary
            else "Save it as UTF-8 in your editor",
            0 if binary else line,
        ) from None


def _is_folder(path: Path) -> BadInput:
    inside = sorted(entry.name for entry in path.iterdir() if entry.suffix.lower() in FORMATS)
    remedy = f"Name the file in it: {path / inside[0]}" if inside else f"Name a file. {_START}"
    return unreadable(str(path), "this is a folder", remedy)


def _is_missing(path: Path) -> BadInput:
    folder = path.parent
    if not folder.is_dir():
        return unreadable(str(path), f"there is no folder {folder}", "Check the path")
    names = sorted(entry.name for entry in folder.iterdir() if entry.suffix.lower() in FORMATS)
    others = f"In that folder: {', '.join(names[:5])}" if names else _START
    return unreadable(str(path), "there is no such file", suggestion(path.name, names, others))


def _is_autoperf(data: object) -> bool:
    """Recognise campaigns as AutoPerf's configurations list them."""
    return isinstance(data, list) and any(
        isinstance(entry, dict) and "qos_settings" in entry for entry in data
    )


def _not_a_mapping(data: Any, file: str) -> BadInput:
    listed = data["campaigns"] if isinstance(data, Mapping) else data
    if _is_autoperf(listed):
        return unreadable(
            file,
            "this is an AutoPerf configuration, a list of "
            f"{counted(len(listed), 'campaign', 'campaigns')}; "
            "an experiment definition is one mapping",
            "`fieldlab perftest import` makes a definition of each, `fieldlab perftest run` runs "
            "them as they are",
        )
    is_list = isinstance(data, list)
    kind = f"a list of {counted(len(data), 'entry', 'entries')}" if is_list else f"{data!r:.40}"
    return unreadable(
        file,
        f"the file holds {kind}; an experiment definition is a mapping (name: …, tool: …)",
        "Write one file per experiment" if is_list else _START,
    )
