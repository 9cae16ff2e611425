"""The machines of a site: found in the settings, and reached."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fieldlab.domain.errors import BadInput, UnknownName, nearest
from fieldlab.domain.sites import HostSpec, Site
from fieldlab.ports.host import Host
from fieldlab.settings import Settings


def find_site(settings: Settings, name: str = "") -> Site:
    """Find a site by its name; "" is the only one.

    Raises
    ------
    UnknownName
        There is none of that name, or several and none is named.
    """
    names = sorted(settings.sites)
    if not names:
        raise UnknownName(
            "There are no sites",
            remedy="Describe one in fieldlab.toml: a line [sites.NAME], "
            "and below it [[sites.NAME.hosts]] for each machine. "
            "Or make virtual ones with `fieldlab sandbox up`",
        )
    if not name and len(names) == 1:
        return settings.sites[names[0]]
    if not name:
        raise UnknownName("There are several sites", remedy=f"Name one: {', '.join(names)}")
    if name not in settings.sites:
        raise UnknownName(
            f"There is no site '{name}'",
            remedy=nearest(name, names) or f"Known sites: {', '.join(names)}",
        )
    return settings.sites[name]


def choose_hosts(site: Site, names: Iterable[str]) -> Site:
    """Give a site with only the hosts that are named; all if none is.

    Raises
    ------
    UnknownName
        It has no such host.
    """
    wanted = list(names)
    known = {host.name: host for host in site.hosts}
    for name in wanted:
        if name not in known:
            raise UnknownName(
                f"The site '{site.name}' has no host '{name}'",
                remedy=nearest(name, known) or f"Its hosts: {', '.join(known)}",
            )
    hosts: tuple[HostSpec, ...] = tuple(known[name] for name in dict.fromkeys(wanted))
    return replace(site, hosts=hosts or site.hosts)


def open_hosts(site: Site) -> dict[str, Host]:
    """Make what reaches the machines of a site, by their names; each connects when it is used.

    Raises
    ------
    BadInput
        A file that the site names can't be used.
    MissingExtra
        The extra 'ssh' isn't installed.
    """
    from fieldlab.hosts.ssh import SshHost
    from fieldlab.settings.sites import file_problems

    if problems := file_problems(site):
        raise BadInput.of(problems)
    return {spec.name: SshHost(spec, site) for spec in site.hosts}
