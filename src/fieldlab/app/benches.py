"""The ssh executor, put together: a site of the profile, its hosts, who holds them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from fieldlab.app.setups import setup_of
from fieldlab.app.sites import find_site, open_hosts
from fieldlab.domain.definition import Definition
from fieldlab.domain.errors import UnknownName
from fieldlab.domain.sites import Site
from fieldlab.engine.liveness import take_over
from fieldlab.engine.store_thread import StoreThread
from fieldlab.execution.remote.executor import RemoteExecutor
from fieldlab.execution.remote.readying import Ways, ready
from fieldlab.execution.remote.reviving import wait_until_there
from fieldlab.execution.remote.surroundings import Manners, Surroundings
from fieldlab.outlets.packing import pack_folder
from fieldlab.ports.executor import Setup
from fieldlab.settings import Settings
from fieldlab.store.database import Database
from fieldlab.store.holding import SqlHostLedger
from fieldlab.store.sql_store import SqlStore


def remote_executor(
    settings: Settings, database: Database, definition: Definition, tell: Callable[[str], None]
) -> RemoteExecutor:
    """Make the executor of a definition that runs on a site's hosts.

    Raises
    ------
    BadInput
        There is no such site.
    """
    options = definition.executor.options
    site = _site_of(settings, definition)
    ledger, store = SqlHostLedger(database), SqlStore(database)

    def free_what_the_dead_hold() -> None:
        for campaign_id in {campaign_id for campaign_id, _ in ledger.holders()}:
            take_over(store, campaign_id)

    around = Surroundings(
        site=site,
        hosts=open_hosts(site),
        ledger=ledger,
        calls=StoreThread(tell),
        take_over=free_what_the_dead_hold,
        tell=tell,
        manners=_manners(options),
    )
    return RemoteExecutor(around, _ways(definition))


def check_remote(settings: Settings, definition: Definition, setup: Setup) -> None:
    """Check what can be checked of a definition for a site without a connection.

    Raises
    ------
    BadInput
        There is no such site, or the tool can't be used there.
    """
    ready(_site_of(settings, definition), _ways(definition), setup)


def remote_slots(settings: Settings, definition: Definition) -> int:
    """Say how many attempts of a definition its site has hosts for; errors are of the check."""
    setup = setup_of(definition, settings.attempts, settings.functions)
    return ready(_site_of(settings, definition), _ways(definition), setup).slots


def _ways(definition: Definition) -> Ways:
    options = definition.executor.options
    return Ways(
        slots=definition.executor.slots,
        tags=tuple(options.get("tags", ())),
        send=tuple(options.get("send", ())),
        metrics=bool(options.get("metrics", False)),
        noise=definition.noise,
        pack=pack_folder if options.get("compress", True) else None,
    )


async def wait_for_hosts(settings: Settings, definition: Definition, over: asyncio.Event) -> bool:
    """Wait until a definition's site has enough hosts that answer; False if it is over before."""
    site = _site_of(settings, definition)
    hosts = open_hosts(site)
    setup = setup_of(definition, settings.attempts, settings.functions)
    wish = ready(site, _ways(definition), setup).wish
    try:
        return await wait_until_there(hosts, wish, over)
    finally:
        await asyncio.gather(*(each.close() for each in hosts.values()), return_exceptions=True)


def _manners(options: Mapping[str, Any]) -> Manners:
    default = Manners()
    return Manners(
        restart=options.get("restart", default.restart),
        restart_after=options.get("restart_after", default.restart_after),
        restart_limit_s=options.get("restart_limit", default.restart_limit_s),
        power_cycle_after_s=options.get("power_cycle_after", default.power_cycle_after_s),
        lost_after_s=options.get("lost_after", default.lost_after_s),
        wait_s=options.get("wait", default.wait_s),
    )


def _site_of(settings: Settings, definition: Definition) -> Site:
    """Find the site of a definition.

    Raises
    ------
    UnknownName
        There is none of that name; or several, and none is named.
    """
    try:
        return find_site(settings, definition.executor.options.get("site", ""))
    except UnknownName as error:
        key = ("executor", "ssh", "site")
        raise UnknownName(error.what, remedy=error.remedy, key=key) from None
