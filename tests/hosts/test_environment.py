"""The environment: packages as pip lists them, and the nearest lock file."""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest

from fieldlab.hosts.environment import installed_packages, read_environment
from fieldlab.hosts.provenance import capture
from tests.repositories import Repository


def test_the_packages_are_those_that_can_be_imported() -> None:
    known: dict[str, str] = {}
    for each in metadata.distributions():
        known.setdefault(re.sub(r"[-_.]+", "-", each.name).lower(), each.version)
    assert installed_packages() == dict(sorted(known.items()))
    assert "sqlalchemy" in known


def test_old_kinds_of_packages_are_listed_and_broken_ones_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "old.egg-info").mkdir()
    (tmp_path / "old.egg-info" / "PKG-INFO").write_text("Name: Old.Thing\nVersion: 1.5\n")
    (tmp_path / "single-2.0-py3.egg-info").write_text("Name: single\nVersion: 2.0\n")
    (tmp_path / "new_thing-3.0+local.dist-info").mkdir()
    (tmp_path / ".dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "nowhere"), __file__])
    assert installed_packages() == {"new-thing": "3.0+local", "old-thing": "1.5", "single": "2.0"}


def test_of_several_versions_the_one_that_is_imported_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, version in (("a", "2"), ("b", "1")):
        (tmp_path / folder / f"thing-{version}.dist-info").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "a"), str(tmp_path / "b")])
    assert installed_packages() == {"thing": "2"}


def test_the_nearest_lock_file_counts_up_to_the_top_of_the_repository(tmp_path: Path) -> None:
    top = tmp_path / "repository"
    deep = top / "studies" / "one"
    deep.mkdir(parents=True)
    (tmp_path / "uv.lock").write_text("not of the repository")
    assert read_environment(deep, top).lock_file == ""
    (top / "requirements.txt").write_text("numpy\n")
    (top / "uv.lock").write_text("pins")
    found = read_environment(deep, top)
    assert (found.lock_file, found.lock_sha256) == ("uv.lock", hashlib.sha256(b"pins").hexdigest())
    (deep / "requirements.txt").write_text("numpy\n")
    assert read_environment(deep, top).lock_file == "studies/one/requirements.txt"
    assert read_environment(top, None).lock_file == "uv.lock"
    assert read_environment(deep.parent, None).lock_file == ""


def test_interpreter_and_platform_are_named(tmp_path: Path) -> None:
    found = read_environment(tmp_path, None)
    assert found.interpreter == f"CPython {platform.python_version()}"
    assert platform.machine() in found.platform


def test_code_and_environment_are_captured_together(tmp_path: Path) -> None:
    repository = Repository.make(tmp_path / "real", study_py="one = 1\n", uv_lock="pins")
    link = tmp_path / "link"
    link.symlink_to(repository.top)
    found = capture(link, patch=True)
    assert found == capture(repository.top, patch=True)
    assert found.provenance.code is not None
    assert found.provenance.environment.lock_file == "uv.lock"
    assert found.provenance.digest == capture(link, patch=False).provenance.digest


def test_a_folder_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    found = capture(tmp_path / "gone", patch=True)
    assert (found.provenance.code, found.trouble) == (None, "")
    assert found.provenance.environment.packages
