"""The hosts of sites, ready to be reached."""

from __future__ import annotations

from fieldlab.domain.sites import Site
from fieldlab.hosts.ssh import SshHost
from fieldlab.ports.host import Host


def open_hosts(site: Site) -> dict[str, Host]:
    """Make the hosts of a site, by name; nothing is connected yet."""
    return {spec.name: SshHost(spec, site) for spec in site.hosts}
