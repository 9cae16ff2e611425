"""The page on sites names every key, and what it shows is read."""

from __future__ import annotations

import re
from pathlib import Path

from fieldlab.domain.sites import HostSpec
from fieldlab.settings import load_settings
from fieldlab.settings.sites import OF_HOST, OF_SITE, SHARED
from tests.docs.pages import blocks, section, table_rows, text_of

PAGE = "how-to/set-up-a-site.md"


def test_every_key_of_a_site_is_described() -> None:
    rows = table_rows(section(text_of(PAGE), "Describe it"))
    said = {re.findall(r"`(\w+)`", key)[0]: default for key, default, _ in rows}
    assert said.keys() == {*OF_SITE, *OF_HOST, *SHARED, "hosts"}
    plain = HostSpec(name="a", address="a")
    assert said["port"] == f"`{plain.port}`"
    assert said["directory"] == f"`{plain.directory}`"


def test_the_site_that_is_shown_is_read(tmp_path: Path) -> None:
    (profile,) = blocks(PAGE, "toml")
    (tmp_path / "fieldlab.toml").write_text(profile.text)
    (site,) = load_settings(tmp_path, {}).sites.values()
    assert [host.name for host in site.hosts] == ["b1", "b2"]
