"""The environment of this process: interpreter, platform, packages, and the file that pins them."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path

from fieldlab.domain.provenance import Environment

#: files that pin an environment; in one folder the earlier counts
LOCK_FILES = (
    "uv.lock",
    "pylock.toml",
    "pdm.lock",
    "poetry.lock",
    "pixi.lock",
    "conda-lock.yml",
    "Pipfile.lock",
    "requirements.lock",
    "requirements.txt",
    "environment.yml",
    "renv.lock",
    "Manifest.toml",
    "Cargo.lock",
    "package-lock.json",
    "flake.lock",
)


def read_environment(folder: Path, top: Path | None) -> Environment:
    """Read the environment of what lies in a folder.

    Parameters
    ----------
    top
        Of its repository: where the search upwards for a lock file ends. None: it has none.
    """
    try:
        lock = find_lock_file(folder, top)
    except OSError:  # a folder above that can't be searched
        lock = None
    return Environment(
        interpreter=f"{platform.python_implementation()} {platform.python_version()}",
        platform=platform.platform(),
        packages=installed_packages(),
        lock_file=lock.relative_to(top or folder).as_posix() if lock else "",
        lock_sha256=_sha256(lock) if lock else "",
    )


def installed_packages() -> dict[str, str]:
    """List the installed packages, as ``pip freeze`` does: name → version, sorted by name.

    An installed package has a folder ``name-version.dist-info`` (PEP 376 and the packaging
    specifications since), so that its files needn't be read; old ``.egg-info`` ones are.
    """
    found: dict[str, str] = {}
    for place in dict.fromkeys(sys.path):
        for folder in _listed(place or "."):
            stem, _, ending = folder.rpartition(".")
            name, _, version = stem.partition("-")
            if ending == "egg-info":
                name, version = _from_metadata(Path(place, folder)) or (name, version)
            if name and ending in ("dist-info", "egg-info"):
                # of several on the path the first is imported
                found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return dict(sorted(found.items()))


def _listed(place: str) -> list[str]:
    try:
        return sorted(os.listdir(place))  # noqa: PTH208 - names are enough
    except OSError:  # a zip file, or nothing
        return []


def _from_metadata(path: Path) -> tuple[str, str] | None:
    try:
        found = metadata.Distribution.at(path)
        return found.name, found.version
    except (AttributeError, KeyError, OSError, TypeError, UnicodeDecodeError):
        return None  # what is left of a broken installation


def find_lock_file(folder: Path, top: Path | None) -> Path | None:
    """Find the nearest lock file, from a folder up to the top of its repository."""
    for place in (folder, *folder.parents):
        for name in LOCK_FILES:
            if (place / name).is_file():
                return place / name
        if place == (top or folder):
            break
    return None


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
