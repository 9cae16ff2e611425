"""Where a lab lies: the environment, then ``fieldlab.toml``, then the nearest ``.fieldlab``."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fieldlab.domain.errors import BadInput, Problem, nearest

PROFILE = "fieldlab.toml"
FOLDER = ".fieldlab"
_KEYS = ("database", "home")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where this lab keeps its things."""

    #: folder of the embedded database, attempts and status spreadsheets
    home: Path
    #: ``sqlite:///…`` or ``postgresql://…``
    database: str

    @property
    def attempts(self) -> Path:
        """Folder of what attempts write, one folder per campaign."""
        return self.home / "attempts"

    def sheet(self, campaign: str) -> Path:
        """Name the status spreadsheet of a campaign."""
        return self.home / "status" / f"{campaign}.csv"


def load_settings(start: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Find the lab that a folder belongs to.

    ``FIELDLAB_HOME`` and ``FIELDLAB_DATABASE`` come first. Otherwise the nearest folder, from
    ``start`` upwards, that has a ``fieldlab.toml`` or a ``.fieldlab``; if there is none, ``start``.

    Raises
    ------
    BadInput
        ``fieldlab.toml`` can't be read or has an unknown key, or the current folder is gone.
    """
    here = current_folder() / (start or "")
    root = next((each for each in (here, *here.parents) if _is_root(each)), here)
    profile = _read_profile(root / PROFILE)
    home = Path(environ.get("FIELDLAB_HOME") or root / profile.get("home", FOLDER)).absolute()
    database = environ.get("FIELDLAB_DATABASE") or _from(root, profile.get("database", ""))
    return Settings(home=home, database=database or f"sqlite:///{home / 'lab.db'}")


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


def _read_profile(path: Path) -> dict[str, str]:
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
        if key in _KEYS and not isinstance(value, str)
    ]
    if problems:
        raise BadInput.of(problems)
    return profile
