"""Which hosts an attempt gets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from fieldlab.domain.errors import BadInput, nearest
from fieldlab.domain.sites import ALL, HostSpec, Site

#: what a tool asks for that says nothing of hosts: any one
ANY_ONE: Mapping[str, int] = {"": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The hosts that an attempt needs: how many of which role, among those that may be used."""

    roles: Mapping[str, int]
    #: in the site's order
    hosts: tuple[HostSpec, ...]

    def candidates(self, role: str) -> list[HostSpec]:
        """List the hosts that a role can be given to; "" is any."""
        return [host for host in self.hosts if not role or role in host.roles]

    @property
    def most_at_a_time(self) -> int:
        """How many attempts the hosts are enough for."""
        if ALL in self.roles.values():
            return 1
        return max(1, len(self.relevant) // max(1, sum(self.roles.values())))

    @property
    def relevant(self) -> list[HostSpec]:
        """List the hosts that can be given any of the roles."""
        return [host for host in self.hosts if any(host in self.candidates(r) for r in self.roles)]

    def _names(self, role: str, usable: Collection[str]) -> list[str]:
        return [host.name for host in self.candidates(role) if host.name in usable]

    def choose(self, usable: Collection[str]) -> dict[str, tuple[str, ...]] | None:
        """Choose hosts among the usable ones, by name: host → its roles; None if they are too few.

        A host gets one role where numbers are asked for; where all of a role are, it keeps that
        one beside others.
        """
        places = [role for role, count in self.roles.items() for _ in range(count)]
        taken = _matched([self._names(role, usable) for role in places])
        if taken is None:
            return None
        own = {host.name: host.roles for host in self.hosts}
        chosen = {name: (places[at],) if places[at] else own[name] for name, at in taken.items()}
        for role in (role for role, count in self.roles.items() if count == ALL):
            for host in self.candidates(role):
                if host.name not in usable:
                    return None
                chosen[host.name] = (*chosen.get(host.name, ()), role)
        return {host.name: chosen[host.name] for host in self.hosts if host.name in chosen}


def _matched(places: Sequence[Sequence[str]]) -> dict[str, int] | None:
    """Give each place one of its candidates, and no candidate two places; None if that can't be.

    By augmenting paths: Kuhn, The Hungarian method for the assignment problem, 1955.

    Returns
    -------
    dict or None
        Candidate → index of its place.
    """
    holder: dict[str, int] = {}

    def seat(place: int, tried: set[str]) -> bool:
        for name in places[place]:
            if name not in tried:
                tried.add(name)
                if name not in holder or seat(holder[name], tried):
                    holder[name] = place
                    return True
        return False

    return holder if all(seat(place, set()) for place in range(len(places))) else None


def wish_of(site: Site, roles: Mapping[str, int], tags: Sequence[str]) -> Wish:
    """Say what an attempt needs of a site.

    Raises
    ------
    BadInput
        The site has too few hosts for it, even if all of them answer.
    """
    hosts = tuple(host for host in site.hosts if set(tags) <= set(host.tags))
    if not hosts:
        known = sorted({tag for host in site.hosts for tag in host.tags})
        missing = next((tag for tag in tags if tag not in known), "")
        raise BadInput(
            f"The site '{site.name}' has no host with the tags {', '.join(tags)}",
            remedy=nearest(missing, known) or f"Tags there: {', '.join(known) or 'none'}",
            key=("executor", "ssh", "tags"),
        )
    wish = Wish(roles=roles, hosts=hosts)
    for role, count in roles.items():
        there = len(wish.candidates(role))
        if there < max(count, 1):
            raise _too_few(site, role, count, there)
    if wish.choose({host.name for host in hosts}) is None:
        asked = ", ".join(f"{count} × {role or 'any'}" for role, count in roles.items())
        raise BadInput(
            f"The site '{site.name}' has too few hosts for {asked}: each does one of them",
            remedy="Add hosts to the site, or ask for fewer",
            key=("executor",),
        )
    return wish


def _too_few(site: Site, role: str, count: int, there: int) -> BadInput:
    known = sorted({each for host in site.hosts for each in host.roles})
    wanted = "a host" if count in (ALL, 1) else f"{count} hosts"
    remedy = (there == 0 and nearest(role, known)) or (
        f'Give hosts of [sites.{site.name}] the role: roles = ["{role}"]'
        if role
        else "Add hosts to the site"
    )
    with_role = f" with the role '{role}'" if role else ""
    has = "none" if there == 0 else str(there)
    return BadInput(
        f"The tool needs {wanted}{with_role}, and the site '{site.name}' has {has}",
        remedy=remedy,
        key=("executor",),
    )
