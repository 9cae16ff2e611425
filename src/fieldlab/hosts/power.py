"""Restarting a machine, and waiting until it is really back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import tenacity

from fieldlab.domain.errors import BadInput, FieldlabError, HostError, HostUnreachable
from fieldlab.domain.sites import HostSpec
from fieldlab.hosts.links import Links

#: a machine that was told to reboot has so long to say that it won't, s
_REFUSAL_S = 15.0
#: a look whether it is back takes at most so long, s
_LOOK_S = 15.0
#: looks are so far apart, s
_PAUSE_S = 0.5

_REBOOT = (
    "exec /bin/sh -c 'PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; "
    "[ $(id -u) = 0 ] && exec reboot; exec sudo -n reboot'"
)


async def reboot(
    spec: HostSpec, links: Links, *, limit_s: float, power_cycle: bool = False
) -> None:
    """Restart a machine; see :meth:`fieldlab.ports.host.Host.reboot`."""
    if power_cycle and not spec.power_cycle:
        raise BadInput(
            f"Host '{spec.name}' has no command for its power",
            remedy='Give it one in fieldlab.toml, as in power_cycle = ["ipmitool", …]',
        )
    try:
        async with asyncio.timeout(limit_s):
            before = await _boot_id(links)
            if power_cycle:
                await _cycle(spec)
            else:
                await _ask(spec, links)
            await _until_back(links, before)
    except TimeoutError as error:
        raise HostUnreachable(
            f"Host '{spec.name}' isn't back {limit_s:.0f} s after it was told to restart",
            remedy="Look at its console, or give it more time",
        ) from error


async def _boot_id(links: Links) -> str:
    """Say which boot the machine is in; the one that was seen last if it doesn't answer."""
    with contextlib.suppress(FieldlabError):
        async with links.link():
            pass
    return links.boot_id


async def _ask(spec: HostSpec, links: Links) -> None:
    try:
        talk = await links.ask(_REBOOT, limit_s=_REFUSAL_S)
    except HostUnreachable:
        return  # it is on its way down
    if talk.code:
        said = talk.head.decode(errors="replace").strip()
        raise HostError(
            f"Host '{spec.name}' can't be told to reboot: {said or f'exit code {talk.code}'}",
            remedy="Allow its user `sudo reboot` without a password, "
            "or use the host's command for its power with --power-cycle",
        )


async def _cycle(spec: HostSpec) -> None:
    """Run the command for its power, here."""
    try:
        process = await asyncio.create_subprocess_exec(
            *spec.power_cycle,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise BadInput(
            f"The command for the power of host '{spec.name}' can't be started: {error}",
            remedy="Correct its `power_cycle`",
        ) from error
    try:
        said, _ = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise HostError(
            f"The command for the power of host '{spec.name}' ended with exit code "
            f"{process.returncode}: {said[-500:].decode(errors='replace').strip()}",
            remedy=f"Try it by hand: {' '.join(spec.power_cycle)}",
        )


async def _until_back(links: Links, before: str) -> None:
    """Connect again and again until it is another boot that answers."""
    tries = tenacity.AsyncRetrying(
        wait=tenacity.wait_fixed(_PAUSE_S),
        retry=tenacity.retry_if_exception_type((FieldlabError, TimeoutError))
        | tenacity.retry_if_result(lambda now: now == before),
    )
    await tries(_fresh_boot_id, links)


async def _fresh_boot_id(links: Links) -> str:
    await links.close()
    async with asyncio.timeout(_LOOK_S), links.link():
        return links.boot_id
