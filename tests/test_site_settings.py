"""Sites in the profile: what is said is read, and what is wrong is named with its key."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fieldlab.domain.errors import BadInput, Problem, UnknownName
from fieldlab.domain.sites import HostSpec, Site
from fieldlab.settings import Settings, load_settings
from fieldlab.settings.sites import file_problems

PROFILE = """
[sites.bench]
user = "lab"
key = "keys/id"
known_hosts = "keys/known_hosts"
ssh_config = "~/.ssh/bench"
directory = "/data/lab/attempts"
interface = "eth1"
port = 2222
jump = "gate,lab@inner:23"

[[sites.bench.hosts]]
name = "b1"
address = "10.0.0.1"
roles = ["publisher"]
tags = ["fast", "64 bit"]
power_cycle = ["plug", "cycle", "1"]

[[sites.bench.hosts]]
name = "b2"
user = "root"
port = 22
key = "/keys/other"
directory = "/data/attempts"
interface = ""
jump = ""
"""


def read(folder: Path, profile: str) -> dict[str, Site]:
    (folder / "fieldlab.toml").write_text(profile)
    return dict(load_settings(folder, {}).sites)


def problems(folder: Path, profile: str) -> list[Problem]:
    with pytest.raises(BadInput) as caught:
        read(folder, profile)
    assert {each.file for each in caught.value.problems} == {str(folder / "fieldlab.toml")}
    return list(caught.value.problems)


def test_a_site_gives_its_hosts_what_they_dont_say(tmp_path: Path) -> None:
    site = read(tmp_path, PROFILE)["bench"]
    assert site.known_hosts == str(tmp_path / "keys/known_hosts")
    assert site.ssh_config == str(Path("~/.ssh/bench").expanduser())
    first, second = site.hosts
    assert first == HostSpec(
        name="b1",
        address="10.0.0.1",
        port=2222,
        user="lab",
        key=str(tmp_path / "keys/id"),
        roles=("publisher",),
        tags=("fast", "64 bit"),
        directory="/data/lab/attempts",
        interface="eth1",
        power_cycle=("plug", "cycle", "1"),
        jump="gate,lab@inner:23",
    )
    assert second == HostSpec(
        name="b2",
        address="b2",
        port=22,
        user="root",
        key="/keys/other",
        directory="/data/attempts",
    )
    assert [host.name for host in site.with_role("publisher")] == ["b1"]


def test_no_sites(tmp_path: Path) -> None:
    assert read(tmp_path, "") == {}


HOST = '[[sites.s.hosts]]\nname = "a"\n'


@pytest.mark.parametrize(
    ("profile", "key", "said"),
    [
        ("sites = 3", ("sites",), "table"),
        ("[sites]\ns = 3", ("sites", "s"), "table"),
        ("[sites.s]", ("sites", "s", "hosts"), "no hosts"),
        ("[sites.s]\nhosts = []", ("sites", "s", "hosts"), "no hosts"),
        ("[sites.s]\nhosts = [3]", ("sites", "s", "hosts", 0), "table"),
        (f"[sites.s]\nuserr = 'x'\n{HOST}", ("sites", "s", "userr"), "Did you mean 'user'?"),
        ("[[sites.s.hosts]]\naddress = 'b'", ("sites", "s", "hosts", 0), "no name"),
        (f"{HOST}adress = 'b'", ("sites", "s", "hosts", 0, "adress"), "Did you mean 'address'?"),
        (f"{HOST}{HOST}", ("sites", "s", "hosts", 1, "name"), "hosts[0] already"),
        (
            f"{HOST}[[sites.s.hosts]]\nname = 'b'\naddress = 'a'",
            ("sites", "s", "hosts", 1, "address"),
            "the host 'a' already",
        ),
        ("[['sites'.'no name'.hosts]]\nname = 'a'", ("sites", "no name"), "must be a name"),
        ("[[sites.s.hosts]]\nname = '../x'", ("sites", "s", "hosts", 0, "name"), "must be a name"),
        (f"{HOST}port = 0", ("sites", "s", "hosts", 0, "port"), "from 1 to 65535"),
        (f"{HOST}port = 65536", ("sites", "s", "hosts", 0, "port"), "from 1 to 65535"),
        (f"{HOST}port = '22'", ("sites", "s", "hosts", 0, "port"), "from 1 to 65535"),
        (f"{HOST}port = true", ("sites", "s", "hosts", 0, "port"), "from 1 to 65535"),
        (f"{HOST}address = '-oProxyCommand=x'", ("sites", "s", "hosts", 0, "address"), "host name"),
        (f"{HOST}address = 'a b'", ("sites", "s", "hosts", 0, "address"), "host name"),
        (f"{HOST}user = '-l'", ("sites", "s", "hosts", 0, "user"), "user's name"),
        (f"{HOST}jump = '-J'", ("sites", "s", "hosts", 0, "jump"), "user@gate:22"),
        (f"{HOST}directory = '/'", ("sites", "s", "hosts", 0, "directory"), "folder of its own"),
        (f"{HOST}directory = '~'", ("sites", "s", "hosts", 0, "directory"), "as in /experiments/"),
        (f"{HOST}directory = '~/x'", ("sites", "s", "hosts", 0, "directory"), "absolute"),
        (f"{HOST}directory = 'x/y'", ("sites", "s", "hosts", 0, "directory"), "absolute"),
        (f"{HOST}directory = ''", ("sites", "s", "hosts", 0, "directory"), "absolute"),
        (f"{HOST}directory = '/a/../..'", ("sites", "s", "hosts", 0, "directory"), "'..'"),
        (f'{HOST}key = "a\\nb"', ("sites", "s", "hosts", 0, "key"), "one line"),
        (f"{HOST}roles = 'x'", ("sites", "s", "hosts", 0, "roles"), "list of names"),
        (f"{HOST}tags = [1]", ("sites", "s", "hosts", 0, "tags"), "list of words"),
        (f"{HOST}power_cycle = 'x y'", ("sites", "s", "hosts", 0, "power_cycle"), "list of words"),
        (f"{HOST}power_cycle = []", ("sites", "s", "hosts", 0, "power_cycle"), "list of words"),
    ],
)
def test_a_mistake_is_named(
    tmp_path: Path, profile: str, key: tuple[str | int, ...], said: str
) -> None:
    (found,) = problems(tmp_path, profile)
    assert found.key == key
    assert said in f"{found.what} {found.remedy}"


def test_all_mistakes_are_named_together(tmp_path: Path) -> None:
    found = problems(tmp_path, f"[sites.s]\nport = 0\nx = 1\n{HOST}user = 3\n[sites.t]")
    assert len(found) == 4


def test_other_mistakes_of_the_profile_hide_none_of_a_site(tmp_path: Path) -> None:
    text = (
        f"homme = 3\n[site.foo]\n[provenance]\nx = 1\n[notify]\ny = 1\n[sites.s]\nport = 0\n{HOST}"
    )
    keys = {each.key for each in problems(tmp_path, text)}
    assert keys == {
        *(("homme",), ("site",), ("provenance", "x"), ("notify", "y")),
        ("sites", "s", "port"),
    }


def test_the_sandbox_is_a_site(tmp_path: Path) -> None:
    folder = tmp_path / ".fieldlab" / "sandbox"
    folder.mkdir(parents=True)
    assert read(tmp_path, "") == {}
    text = '[[sites.sandbox.hosts]]\nname = "h1"\nkey = "id"\n'
    (folder / "site.toml").write_text(text)
    (host,) = read(tmp_path, "")["sandbox"].hosts
    assert host.key == str(folder / "id")
    (folder / "site.toml").write_text("[")
    with pytest.raises(BadInput, match=r"site\.toml"):
        load_settings(tmp_path, {})


def site_with(key: Path) -> Site:
    return Site(name="s", hosts=(HostSpec(name="a", address="a", key=str(key)),))


def test_keys_are_looked_at_when_they_are_used(tmp_path: Path) -> None:
    key = tmp_path / "id"
    assert "isn't there" in str(file_problems(site_with(key))[0])
    key.write_text("-----BEGIN")
    key.chmod(0o644)
    (found,) = file_problems(site_with(key))
    assert "by others" in found.what
    assert "chmod 600" in found.remedy
    key.chmod(0o600)
    assert file_problems(site_with(key)) == []
    key.write_text("ssh-ed25519 AAAA")
    assert "public" in str(file_problems(site_with(key))[0])
    if os.geteuid():
        key.chmod(0)
        assert "can't be read" in str(file_problems(site_with(key))[0])
    missing = Site(name="s", hosts=(), ssh_config=str(tmp_path / "nowhere"))
    assert "nowhere" in str(file_problems(missing)[0])


def test_a_site_and_its_hosts_are_found_by_name(tmp_path: Path) -> None:
    from fieldlab.app.sites import choose_hosts, find_site, open_hosts

    (tmp_path / "fieldlab.toml").write_text(PROFILE)
    settings = load_settings(tmp_path, {})
    assert find_site(settings) == find_site(settings, "bench")
    with pytest.raises(UnknownName, match="Did you mean 'bench'"):
        find_site(settings, "bensh")
    site = choose_hosts(find_site(settings), ["b2"])
    assert [host.name for host in site.hosts] == ["b2"]
    with pytest.raises(UnknownName, match="Did you mean 'b1'"):
        choose_hosts(find_site(settings), ["bb1"])
    with pytest.raises(BadInput, match=r"fieldlab\.toml: sites\.bench\.key: .*keys/id"):
        open_hosts(find_site(settings))
    with pytest.raises(UnknownName, match=r"fieldlab\.toml.*fieldlab sandbox up"):
        find_site(Settings(home=tmp_path, database=""))


def test_without_asyncssh_an_extra_is_missing(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['asyncssh'] = None\n"
        "from fieldlab.app.sites import open_hosts\n"
        "from fieldlab.domain.errors import MissingExtra\n"
        "from fieldlab.domain.sites import HostSpec, Site\n"
        "try: open_hosts(Site(name='s', hosts=(HostSpec(name='a', address='a'),)))\n"
        "except MissingExtra as error: print(error)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert "'ssh' extra" in said


@pytest.mark.parametrize(("written", "seconds"), [('"30s"', 30.0), ("5", 5.0)])
def test_a_site_says_how_long_its_hosts_may_be_silent(
    tmp_path: Path, written: str, seconds: float
) -> None:
    profile = f'[sites.s]\npatience = {written}\n[[sites.s.hosts]]\nname = "a"\naddress = "a"\n'
    assert read(tmp_path, profile)["s"].patience_s == seconds


@pytest.mark.parametrize("written", ["0", '"soon"', "true", "700"])
def test_a_patience_that_makes_no_sense_is_refused(tmp_path: Path, written: str) -> None:
    profile = f'[sites.s]\npatience = {written}\n[[sites.s.hosts]]\nname = "a"\naddress = "a"\n'
    assert "duration from 1 s" in problems(tmp_path, profile)[0].what
