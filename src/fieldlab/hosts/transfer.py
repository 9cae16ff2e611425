"""Copying files to and from a machine: which way is best."""

from __future__ import annotations

import contextlib
from pathlib import Path

import asyncssh

from fieldlab.domain.errors import TransferFailed
from fieldlab.domain.sites import HostSpec, Site
from fieldlab.hosts import rsync, sftp
from fieldlab.hosts.links import Link, Links

#: up to so many files and folders, and bytes, SFTP over the connection that is there is quicker
FEW = (64, 4 << 20)


async def fetch(links: Links, spec: HostSpec, site: Site, source: str, target: Path) -> None:
    """See :meth:`fieldlab.ports.host.Host.fetch`."""
    async with sftp.explained(spec, f"Fetching {source}"), links.link() as link:
        client = await _client(link, spec)
        tree = await sftp.remote_tree(client, source, FEW)
        if tree.exceeds(FEW) and _by_rsync(link):
            with contextlib.suppress(rsync.Unfit):
                await rsync.fetch(spec, site, source, target, folder=tree.folder)
                return
        if tree.exceeds(FEW):
            tree = await sftp.remote_tree(client, source)
        await sftp.fetch(links, client, tree, source, target)


async def send(links: Links, spec: HostSpec, site: Site, source: Path, target: str) -> None:
    """See :meth:`fieldlab.ports.host.Host.send`."""
    async with sftp.explained(spec, f"Sending {source}"), links.link() as link:
        client = await _client(link, spec)
        tree = sftp.local_tree(source, FEW)
        if tree.exceeds(FEW) and _by_rsync(link):
            await sftp.make_top(client, target, folder=tree.folder)
            with contextlib.suppress(rsync.Unfit):
                await rsync.send(spec, site, source, target, folder=tree.folder)
                return
        if tree.exceeds(FEW):
            tree = sftp.local_tree(source)
        await sftp.send(links, client, tree, source, target)


def _by_rsync(link: Link) -> bool:
    return "rsync" in link.facts.programs and rsync.is_here()


async def _client(link: Link, spec: HostSpec) -> asyncssh.SFTPClient:
    try:
        return await link.sftp()
    except asyncssh.ChannelOpenError as error:
        raise TransferFailed(
            f"Host '{spec.name}' has no SFTP: {error.reason}",
            remedy="Add the line `Subsystem sftp internal-sftp` to its sshd_config",
        ) from error
