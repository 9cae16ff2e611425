"""How a sandbox's hosts are reached: files for ssh, and the site that they are."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from fieldlab.domain.sites import HostSpec, Site
from fieldlab.sandbox.folder import Folder, Plan, Standing

USER = "root"
DIRECTORY = "/experiments"
INTERFACE = "eth0"
#: what the site is called where nobody says otherwise
SITE = "sandbox"


def make_site(folder: Folder, plan: Plan, standing: Standing, name: str = SITE) -> Site:
    """Describe the hosts as a site."""
    hosts = tuple(
        HostSpec(
            name=host.name,
            address=standing.address(place),
            user=USER,
            key=str(folder.key),
            roles=host.roles,
            directory=DIRECTORY,
            interface=INTERFACE,
        )
        for place, host in enumerate(plan.hosts)
    )
    # in a user namespace the addresses are out of reach: ssh has to be led there
    config = str(folder.ssh_config) if standing.rootless else ""
    return Site(name=name, hosts=hosts, known_hosts=str(folder.known_hosts), ssh_config=config)


def write_known_hosts(folder: Folder, plan: Plan, standing: Standing) -> None:
    """Write down the hosts' keys, once they have them."""
    site = make_site(folder, plan, standing)
    keys = [
        folder.host_key(host.name).with_suffix(".pub").read_text().split() for host in site.hosts
    ]
    lines = [
        f"{host.address},{host.name} {kind} {key}\n"
        for host, (kind, key, *_) in zip(site.hosts, keys, strict=True)
    ]
    folder.known_hosts.write_text("".join(lines))


def write_access(folder: Folder, plan: Plan, standing: Standing) -> None:
    """Write what ssh and fieldlab need to reach the hosts."""
    site = make_site(folder, plan, standing)
    folder.ssh_config.write_text(_ssh_config(folder, site, rootless=standing.rootless))
    folder.site.write_text(_site_table(site))


def _ssh_config(folder: Folder, site: Site, *, rootless: bool) -> str:
    """Write what `ssh -F` reads; a host is known there by its name and its address."""
    parts = [f"Host {host.name}\n  HostName {host.address}\n" for host in site.hosts]
    names = " ".join(f"{host.name} {host.address}" for host in site.hosts)
    settings = {
        "User": USER,
        "IdentityFile": _quoted(folder.key),
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "UserKnownHostsFile": _quoted(folder.known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
        "ConnectTimeout": "5",
    }
    if rootless:
        argv = [sys.executable, "-P", "-m", "fieldlab.sandbox.passage", str(folder.path)]
        command = shlex.join(argv).replace("%", "%%")
        settings["ProxyCommand"] = f"{command} %h %p"
    lines = [f"  {key} {value}\n" for key, value in settings.items()]
    return "".join([*parts, f"Host {names}\n", *lines])


def _quoted(path: Path) -> str:
    """Write a path such that ssh takes it as it is, with its spaces and percent signs."""
    return '"' + str(path).replace("%", "%%") + '"'


def _site_table(site: Site) -> str:
    """Write the site as a table of a profile (TOML)."""
    facts = {
        "known_hosts": site.known_hosts,
        "ssh_config": site.ssh_config,
        "user": USER,
        "key": site.hosts[0].key,
        "directory": DIRECTORY,
        "interface": INTERFACE,
    }
    lines = ["# written by `fieldlab sandbox up`, removed by `fieldlab sandbox down`"]
    lines.append(f"[sites.{site.name}]")
    lines += [f"{key} = {_text(value)}" for key, value in facts.items() if value]
    for host in site.hosts:
        lines.append(f"\n[[sites.{site.name}.hosts]]")
        lines.append(f"name = {_text(host.name)}")
        lines.append(f"address = {_text(host.address)}")
        lines.append(f"roles = {_texts(host.roles)}")
    return "\n".join([*lines, ""])


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)  # a JSON text is one of TOML's, too


def _texts(values: Sequence[str]) -> str:
    return f"[{', '.join(map(_text, values))}]"
