"""Finding the lab that a folder belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldlab.domain.errors import BadInput
from fieldlab.settings import FOLDER, PROFILE, Dirty, ProvenanceSettings, load_settings


def test_without_anything_the_lab_lies_in_this_folder(folder: Path) -> None:
    settings = load_settings()
    assert settings.home == folder / ".fieldlab"
    assert settings.database == f"sqlite:///{folder}/.fieldlab/lab.db"
    assert settings.attempts == folder / ".fieldlab" / "attempts"
    assert settings.sheet("probe.1") == folder / ".fieldlab" / "status" / "probe.1.csv"
    assert not list(folder.iterdir()), "looking makes nothing"


@pytest.mark.parametrize("mark", [PROFILE, FOLDER])
def test_a_folder_belongs_to_the_nearest_lab_above(tmp_path: Path, mark: str) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    for root in (tmp_path, tmp_path / "a"):
        if mark == PROFILE:
            (root / PROFILE).write_text("")
        else:
            (root / FOLDER).mkdir()
    assert load_settings(deep, {}).home == tmp_path / "a" / ".fieldlab"


def test_a_file_called_like_the_folder_is_no_lab(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("")
    deep = tmp_path / "deep"
    deep.mkdir()
    assert load_settings(deep, {}).home == deep / ".fieldlab"


def test_the_profile_is_obeyed(tmp_path: Path) -> None:
    (tmp_path / PROFILE).write_text('home = "lab"\ndatabase = "postgresql://ada@host/lab"\n')
    deep = tmp_path / "deep"
    deep.mkdir()
    settings = load_settings(deep, {})
    assert settings.home == tmp_path / "lab"
    assert settings.database == "postgresql://ada@host/lab"


def test_a_home_without_a_database_holds_one(tmp_path: Path) -> None:
    (tmp_path / PROFILE).write_text('home = "lab"\n')
    assert load_settings(tmp_path, {}).database == f"sqlite:///{tmp_path}/lab/lab.db"


def test_the_environment_comes_first(tmp_path: Path) -> None:
    (tmp_path / PROFILE).write_text('home = "lab"\ndatabase = "postgresql://ada@host/lab"\n')
    environ = {"FIELDLAB_HOME": "/srv/lab", "FIELDLAB_DATABASE": "sqlite:////srv/other.db"}
    settings = load_settings(tmp_path, environ)
    assert settings.home == Path("/srv/lab")
    assert settings.database == "sqlite:////srv/other.db"
    empty = load_settings(tmp_path, {"FIELDLAB_HOME": "", "FIELDLAB_DATABASE": ""})
    assert empty.home == tmp_path / "lab"
    assert empty.database == "postgresql://ada@host/lab"


def test_a_relative_home_starts_from_here(folder: Path) -> None:
    assert load_settings(folder, {"FIELDLAB_HOME": "my lab"}).home == folder / "my lab"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('databse = "x"', "databse: unknown key 'databse'. Did you mean 'database'?"),
        ("zzz = 1", "unknown key 'zzz'. Known keys: database, home, provenance"),
        ("home = 3", "home: must be text. Write it in quotes"),
        ("home = [", "can't be read"),
        ("provenance = true", "provenance: must be a table. Begin it with a line [provenance]"),
        ("[provenance]\npatch = 'no'", "provenance.patch: must be true or false. Write `true`"),
        ("[provenance]\ndirty = true", 'provenance.dirty: must be "allow" or "refuse"'),
        ("[provenance]\ndirty = 'deny'", 'provenance.dirty: must be "allow" or "refuse"'),
        ("[provenance]\npach = true", "unknown key 'pach'. Did you mean 'patch'?"),
        ("\udcff\udcfe", "can't be read"),
    ],
    ids=ascii,
)
def test_a_wrong_profile_is_explained(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / PROFILE).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(BadInput) as caught:
        load_settings(tmp_path, {})
    assert str(tmp_path / PROFILE) in str(caught.value)
    assert told in str(caught.value)


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / PROFILE).write_text("one = 1\ntwo = 2\nhome = 3\n")
    with pytest.raises(BadInput) as caught:
        load_settings(tmp_path, {})
    assert len(caught.value.problems) == 3


def test_uncommitted_code_is_allowed_and_kept_unless_said_otherwise(tmp_path: Path) -> None:
    assert load_settings(tmp_path, {}).provenance == ProvenanceSettings(
        patch=True, dirty=Dirty.ALLOW
    )
    (tmp_path / PROFILE).write_text('[provenance]\npatch = false\ndirty = "refuse"\n')
    told = ProvenanceSettings(patch=False, dirty=Dirty.REFUSE)
    assert load_settings(tmp_path, {}).provenance == told
    environ = {"FIELDLAB_PROVENANCE_PATCH": "True", "FIELDLAB_PROVENANCE_DIRTY": "allow"}
    assert load_settings(tmp_path, environ).provenance == ProvenanceSettings()
    assert load_settings(tmp_path, {"FIELDLAB_PROVENANCE_DIRTY": ""}).provenance == told


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    environ = {"FIELDLAB_PROVENANCE_PATCH": "perhaps", "FIELDLAB_PROVENANCE_DIRTY": "deny"}
    with pytest.raises(BadInput) as caught:
        load_settings(tmp_path, environ)
    assert [problem.file for problem in caught.value.problems] == list(environ)
