"""The table [notify]: what it takes, and what it says of mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fieldlab.domain.errors import BadInput
from fieldlab.domain.notifying import EVENTS, NotifySettings, group_of, read_notify
from fieldlab.settings import PROFILE, load_settings


def read(table: dict[str, Any], **environ: str) -> NotifySettings:
    return read_notify(table, "lab.toml", "here", environ)


def mistake(table: dict[str, Any]) -> str:
    with pytest.raises(BadInput) as caught:
        read(table)
    return str(caught.value)


def test_nothing_is_told_unless_somebody_is_named(folder: Path) -> None:
    assert not load_settings(folder, {}).notify.is_on
    assert not read({"events": ["finished"]}).is_on


def test_the_table_of_a_profile_is_read(tmp_path: Path) -> None:
    (tmp_path / PROFILE).write_text(
        '[notify]\nurls = ["json://localhost", "json://localhost"]\ncommand = ["./tell", "-l"]\n'
        'events = ["tripped"]\ndigest = "5m"\n'
    )
    found = load_settings(tmp_path, {}).notify
    assert found.is_on
    assert found.urls == ("json://localhost",)
    assert (found.command, found.folder) == (("./tell", "-l"), str(tmp_path))
    assert (found.topics, found.digest_s) == (("campaign.tripped",), 300.0)


def test_by_default_all_is_told_but_progress() -> None:
    found = read({"urls": ["json://localhost"]})
    assert {*found.events, "progress"} == set(EVENTS)
    assert "progress" not in found.events


def test_progress_is_told_where_somebody_said_so() -> None:
    found = read({"progress": [90, 50, 50]})
    assert found.progress == (50, 90)
    assert set(found.events) == set(EVENTS)
    assert read({"events": ["progress"]}).progress == (50, 90)
    assert "progress" not in read({"events": ["finished"], "progress": 5}).events


def test_addresses_of_the_environment_take_the_place_of_the_table_s() -> None:
    found = read({"urls": ["json://one"]}, FIELDLAB_NOTIFY_URLS="json://two, mailto://a:b@c ,")
    assert found.urls == ("json://two", "mailto://a:b@c")
    assert read({"urls": ["json://one"]}, FIELDLAB_NOTIFY_URLS="").urls == ()


@pytest.mark.parametrize(
    ("text", "percent", "size"),
    [("5 %", 5.0, 0), ("20GB", 0.0, 20 * 10**9), (["2.5 %", "500 MB"], 2.5, 5 * 10**8)],
)
def test_the_floor_of_a_disk_is_a_share_or_a_size(text: Any, percent: float, size: int) -> None:
    found = read({"disk_free": text})
    assert (found.free_percent, found.free_bytes) == (percent, size)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"url": []}, "lab.toml: notify.url: unknown key 'url'. Did you mean 'urls'?"),
        ({"urls": "json://x"}, 'notify.urls: must be a list of texts. Write it as ["mailto'),
        ({"urls": ["json://x", "me@x.org"]}, "notify.urls: address 2 isn't one"),
        ({"command": "./tell.sh"}, "notify.command: must be a list of texts"),
        ({"events": ["finnished"]}, "there is no event 'finnished'. Did you mean 'finished'?"),
        ({"progress": [0]}, "notify.progress: must be percentages between 1 and 99"),
        ({"progress": [True]}, "notify.progress: must be percentages"),
        ({"digest": "soon"}, "notify.digest: 'soon' is not a duration"),
        ({"digest": [1]}, "notify.digest: must be a duration"),
        ({"disk_free": "half"}, "notify.disk_free: must be a share or a size"),
        ({"disk_free": "500 %"}, "notify.disk_free: must be a share or a size"),
    ],
)
def test_mistakes_are_named_with_their_remedy(table: dict[str, Any], said: str) -> None:
    assert said in mistake(table)


def test_all_mistakes_are_named_at_once_and_no_password() -> None:
    said = mistake({"urls": ["ada:s3cret"], "events": [""], "quiet": 1})
    assert said.count("lab.toml: notify.") == 3
    assert "s3cret" not in said


def test_notify_is_a_table(tmp_path: Path) -> None:
    (tmp_path / PROFILE).write_text("notify = 3\n")
    with pytest.raises(BadInput, match=r"notify: must be a table. Begin it with a line \[notify\]"):
        load_settings(tmp_path, {})


def test_a_group_is_one_address_s_and_tells_nothing_of_it() -> None:
    address = "slack://TOKENTOKEN/x"
    assert group_of(address) == group_of(address) != group_of(f"{address}y")
    assert group_of(address).startswith("notify.slack.")
    assert "TOKEN" not in group_of(address)
