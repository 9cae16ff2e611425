"""The group `site`: the machines that there are, whether they can be used, restarting them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from fieldlab.cli.errors import ExitCode
from fieldlab.cli.output import Json, counted, is_terminal, say, write_json
from fieldlab.domain.errors import BadInput

if TYPE_CHECKING:
    from fieldlab.cli.site_check import Looked
    from fieldlab.domain.sites import Site


def complete_site(incomplete: str) -> list[str]:
    """Complete the name of a site; nothing when that fails."""
    from fieldlab.settings import load_settings

    with contextlib.suppress(Exception):
        return [name for name in load_settings().sites if name.startswith(incomplete)]
    return []


SiteName = Annotated[
    str,
    typer.Argument(
        metavar="[SITE]",
        help="A site; it may be left out if there is one.",
        show_default=False,
        autocompletion=complete_site,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    group.command("list")(sites)
    group.command()(check)
    group.command()(reboot)
    app.add_typer(group, name="site", help="Look at machines, and restart them.")


def _site(name: str, hosts: Sequence[str] = ()) -> Site:
    from fieldlab.app.sites import choose_hosts, find_site
    from fieldlab.settings import load_settings

    return choose_hosts(find_site(load_settings(), name), hosts)


def sites(json: Json = False) -> None:
    """List the sites and their hosts."""
    from dataclasses import asdict

    from fieldlab.settings import load_settings

    found = load_settings().sites
    if json:
        write_json([asdict(each) for each in found.values()])
        return
    if not found:
        say(
            "No sites. Describe one in fieldlab.toml: see the how-to `Set up a site`. "
            "Or make virtual hosts with `fieldlab sandbox up`."
        )
        return
    from fieldlab.cli.tables import print_fitted

    rows = [
        (
            site.name,
            host.name,
            f"{host.user}@{host.identity}" if host.user else host.identity,
            ", ".join(host.roles),
            ", ".join(host.tags),
            host.directory,
        )
        for site in found.values()
        for host in site.hosts
    ]
    columns = ("site", "host", "address", "roles", "tags", "folder")
    print_fitted(columns, rows, spare=("tags", "folder"))


def check(
    site: SiteName = "",
    pairs: Annotated[
        bool, typer.Option("--pairs", help="Also ping every host from every other one.")
    ] = False,
    json: Json = False,
) -> None:
    """Look at all hosts of a site, and say what is wrong and what to do.

    The exit code is 4 if a host can't be used, or with --pairs doesn't reach another one.
    """
    import asyncio

    from fieldlab.cli import site_check

    chosen = _site(site)
    looked = asyncio.run(site_check.look(chosen, pairs=pairs))
    if json:
        write_json(site_check.as_document(chosen, looked))
    else:
        site_check.show_table(chosen, looked)
    if not looked.ok:
        _say_unusable(looked)
        raise typer.Exit(ExitCode.INFRASTRUCTURE)


def _say_unusable(looked: Looked) -> None:
    if names := looked.unusable:
        of = counted(len(looked.health), "host")
        say(f"{len(names)} of {of} can't be used: {', '.join(names)}")
    if looked.apart:
        of = counted(len(looked.pairs), "pair")
        say(f"{len(looked.apart)} of {of} can't reach each other")


def reboot(
    site: Annotated[
        str, typer.Argument(metavar="SITE", help="A site.", autocompletion=complete_site)
    ],
    hosts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[HOST]...", help="Some of its hosts; all if none is named."),
    ] = None,
    power_cycle: Annotated[
        bool, typer.Option("--power-cycle", help="By each host's own command for its power.")
    ] = False,
    limit: Annotated[
        str, typer.Option("--limit", metavar="DURATION", help="How long it may take.")
    ] = "10m",
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    json: Json = False,
) -> None:
    """Restart hosts, and wait until they are really back: with another boot id.

    What runs on them is lost. The exit code is 4 if one isn't back in time.
    """
    import asyncio

    from fieldlab.domain.durations import parse_duration

    chosen = _site(site, hosts or ())
    limit_s = parse_duration(limit)
    names = [host.name for host in chosen.hosts]
    if not yes:
        _ask(chosen.name, names)
    results = asyncio.run(_reboot_all(chosen, limit_s, power_cycle=power_cycle))
    if json:
        write_json(
            [{"host": name, "ok": not error, "error": error} for name, error in results.items()]
        )
    if any(results.values()):
        raise typer.Exit(ExitCode.INFRASTRUCTURE)


def _ask(site: str, names: Sequence[str]) -> None:
    question = f"Restart {counted(len(names), 'host')} of {site}: {', '.join(names)}?"
    if not is_terminal():
        raise BadInput(question, remedy="Nobody can be asked here: say --yes")
    typer.confirm(question, abort=True, err=True)


async def _reboot_all(site: Site, limit_s: float, *, power_cycle: bool) -> dict[str, str]:
    """Restart all of them together; give what went wrong with each, or ""."""
    import asyncio
    import time

    from fieldlab.app.sites import open_hosts
    from fieldlab.domain.errors import FieldlabError

    hosts = open_hosts(site)
    if power_cycle:
        _require_power(site)

    async def one(name: str) -> str:
        began = time.monotonic()
        say(f"{name}: restarting")
        try:
            await hosts[name].reboot(limit_s=limit_s, power_cycle=power_cycle)
        except FieldlabError as error:
            say(f"{name}: {error}")
            return str(error)
        finally:
            await hosts[name].close()
        say(f"{name}: back after {time.monotonic() - began:.0f} s")
        return ""

    said = await asyncio.gather(*(one(name) for name in hosts))
    return dict(zip(hosts, said, strict=True))


def _require_power(site: Site) -> None:
    without = [host.name for host in site.hosts if not host.power_cycle]
    if without:
        raise BadInput(
            f"No command for the power of {', '.join(without)}; nothing was restarted",
            remedy="Give it `power_cycle` in fieldlab.toml",
        )
