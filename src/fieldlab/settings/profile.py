"""Where a lab lies: the environment, then ``fieldlab.toml``, then the nearest ``.fieldlab``."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldlab.domain.errors import BadInput, Problem, nearest
from fieldlab.domain.notifying import NOTIFY, NotifySettings, read_notify

if TYPE_CHECKING:
    from fieldlab.domain.sites import Site

PROFILE = "fieldlab.toml"
FOLDER = ".fieldlab"
#: the table of `fieldlab.toml` on provenance
PROVENANCE = "provenance"
_TEXTS = ("database", "home")
#: the table of `fieldlab.toml` on machines
_SITES = "sites"
_TABLES = (PROVENANCE, NOTIFY)
_KEYS = (*_TEXTS, *_TABLES, _SITES)
_SPELLINGS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


class Dirty(StrEnum):
    """What becomes of a run whose code no commit holds."""

    ALLOW = "allow"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenanceSettings:
    """What is recorded of the code, and which code is run."""

    #: keep what isn't committed
    patch: bool = True
    dirty: Dirty = Dirty.ALLOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where this lab keeps its things."""

    #: folder of the embedded database, attempts and status spreadsheets
    home: Path
    #: ``sqlite:///…`` or ``postgresql://…``
    database: str
    provenance: ProvenanceSettings = field(default_factory=ProvenanceSettings)
    #: name → location with machines; the sandbox's, while it is up, is called ``sandbox``
    sites: Mapping[str, Site] = field(default_factory=dict)
    notify: NotifySettings = field(default_factory=NotifySettings)

    @property
    def attempts(self) -> Path:
        """Folder of what attempts write, one folder per campaign."""
        return self.home / "attempts"

    @property
    def functions(self) -> Path:
        """Folder of functions that scripts and notebooks have shipped, as pickles."""
        return self.home / "functions"

    def sheet(self, campaign: str) -> Path:
        """Name the status spreadsheet of a campaign."""
        return self.home / "status" / f"{campaign}.csv"


class Findings:
    """Gathers what is wrong in all parts of a profile, to say it together."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def add(self, problems: Iterable[Problem]) -> None:
        """Take some down."""
        self._problems += problems

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Take down what is wrong with a part, and go on."""
        try:
            yield
        except BadInput as error:
            self.add(error.problems)

    def tell(self) -> None:
        """Raise BadInput if anything was found."""
        if self._problems:
            raise BadInput.of(self._problems)


def load_settings(start: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Find the lab that a folder belongs to.

    ``FIELDLAB_HOME`` and ``FIELDLAB_DATABASE`` come first. Otherwise the nearest folder, from
    ``start`` upwards, that has a ``fieldlab.toml`` or a ``.fieldlab``; if there is none, ``start``.

    Raises
    ------
    BadInput
        ``fieldlab.toml`` can't be read, has an unknown key or a value that can't be used, or the
        current folder is gone.
    """
    here = current_folder() / (start or "")
    root = next((each for each in (here, *here.parents) if _is_root(each)), here)
    path, found = root / PROFILE, Findings()
    profile = _read_profile(path, found)
    home = Path(environ.get("FIELDLAB_HOME") or root / profile.get("home", FOLDER)).absolute()
    database = environ.get("FIELDLAB_DATABASE") or _from(root, profile.get("database", ""))
    provenance, sites, notify = ProvenanceSettings(), {}, NotifySettings()
    with found.gathered():
        provenance = _provenance(path, profile.get(PROVENANCE, {}), environ)
    with found.gathered():
        sites = _sites(path, profile, home)
    with found.gathered():
        notify = read_notify(profile.get(NOTIFY, {}), str(path), str(root), environ)
    found.tell()
    return Settings(
        home=home,
        database=database or f"sqlite:///{home / 'lab.db'}",
        provenance=provenance,
        sites=sites,
        notify=notify,
    )


def _provenance(
    path: Path, table: Mapping[str, Any], environ: Mapping[str, str]
) -> ProvenanceSettings:
    """Read the table ``[provenance]``; variables such as ``FIELDLAB_PROVENANCE_PATCH`` come first.

    Raises
    ------
    BadInput
        A value can't be used.
    """
    problems: list[Problem] = []
    given: dict[tuple[str, tuple[str, ...]], tuple[str, Any]] = {
        (str(path), (PROVENANCE, key)): (key, value) for key, value in table.items()
    }
    for key in ("patch", "dirty"):
        variable = f"FIELDLAB_{PROVENANCE}_{key}".upper()
        if environ.get(variable):
            word = environ[variable]
            value = _SPELLINGS.get(word.lower(), word) if key == "patch" else word
            given[variable, ()] = (key, value)
    read: dict[str, Any] = {}
    for (file, place), (key, value) in given.items():
        what, remedy = _objection(key, value)
        if what:
            problems.append(Problem(what=what, file=file, key=place, remedy=remedy))
        else:
            read[key] = Dirty(value) if key == "dirty" else value
    if problems:
        raise BadInput.of(problems)
    return ProvenanceSettings(**read)


def _sites(path: Path, profile: Mapping[str, Any], home: Path) -> dict[str, Site]:
    """Read the sites of a profile, and that of the sandbox."""
    if _SITES not in profile and not os.path.exists(home / "sandbox"):  # noqa: PTH110 - as below
        return {}
    # a command that needs no machines doesn't pay for it
    from fieldlab.settings.sites import read_sites, sandbox_sites

    return {**sandbox_sites(home), **read_sites(profile.get(_SITES, {}), path)}


def _objection(key: str, value: object) -> tuple[str, str]:
    """Say what is wrong with a setting of provenance, and what to write; empty if it is right."""
    if key == "patch":
        return ("", "") if isinstance(value, bool) else ("must be true or false", "Write `true`")
    if key == "dirty":
        known = value in list(Dirty)
        return ("", "") if known else ('must be "allow" or "refuse"', "Write one of them in quotes")
    return f"unknown key '{key}'", nearest(key, ("patch", "dirty")) or "Known keys: patch, dirty"


def current_folder() -> Path:
    """Give the folder that the program is in.

    Raises
    ------
    BadInput
        It was deleted meanwhile.
    """
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise BadInput(
            "The folder that you are in was deleted", remedy="Go to one that exists, with `cd`"
        ) from None


def _from(root: Path, url: str) -> str:
    """Let a relative path of a profile's SQLite URL begin where the profile lies."""
    start, relative = "sqlite:///", url.removeprefix("sqlite:///")
    if url == relative or relative.startswith("/"):
        return url
    return f"{start}{root / relative}"


def _is_root(folder: Path) -> bool:
    try:
        return (folder / PROFILE).is_file() or (folder / FOLDER).is_dir()
    except OSError:  # nobody's, as far as can be seen
        return False


def _read_profile(path: Path, found: Findings) -> dict[str, Any]:
    """Read the file without what is wrong at its top; a file that can't be read at all raises."""
    if not os.path.isfile(path):  # noqa: PTH113 - false, too, where it can't be seen
        return {}
    try:
        profile = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise BadInput.of([Problem(what=f"can't be read: {error}", file=str(path))]) from error
    problems = [
        Problem(
            what=f"unknown key '{key}'",
            file=str(path),
            key=(key,),
            remedy=nearest(key, _KEYS) or f"Known keys: {', '.join(_KEYS)}",
        )
        for key in profile
        if key not in _KEYS
    ] + [
        Problem(what="must be text", file=str(path), key=(key,), remedy="Write it in quotes")
        for key, value in profile.items()
        if key in _TEXTS and not isinstance(value, str)
    ]
    problems += [
        Problem(
            what="must be a table",
            file=str(path),
            key=(table,),
            remedy=f"Begin it with a line [{table}]",
        )
        for table in _TABLES
        if not isinstance(profile.get(table, {}), dict)
    ]
    found.add(problems)
    wrong = {each.key[0] for each in problems}
    return {key: value for key, value in profile.items() if key not in wrong}
