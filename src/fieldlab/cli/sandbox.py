"""The group `sandbox`: virtual hosts to rehearse on, and faults to inject."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fieldlab.cli.output import Json, counted, say, show, show_facts, write_json

if TYPE_CHECKING:
    from fieldlab.sandbox import Sandbox, SandboxStatus

_FOLDER = "sandbox"
Place = Annotated[
    Path | None,
    typer.Option("--folder", help="The sandbox's folder; .fieldlab/sandbox if absent."),
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    for command in (up, status, fault, clear, down):
        group.command()(command)
    app.add_typer(group, name="sandbox", help="Virtual hosts on this machine, and faults in them.")


def _folder(given: Path | None) -> Path:
    from fieldlab.settings import load_settings

    return given or load_settings().home / _FOLDER


def _sandbox(given: Path | None) -> Sandbox:
    from fieldlab.sandbox import Sandbox

    return Sandbox.at(_folder(given))


def up(
    hosts: Annotated[int, typer.Option("--hosts", help="How many: h1, h2 …")] = 4,
    roles: Annotated[
        str, typer.Option("--roles", help="Dealt out in turn, as in pub,sub; none if absent.")
    ] = "",
    disk: Annotated[str, typer.Option("--disk", help="Size of each disk, in memory.")] = "256M",
    reboot: Annotated[
        str,
        typer.Option("--reboot", metavar="DURATION", help="How long a reboot keeps a host down."),
    ] = "3s",
    share: Annotated[
        list[Path] | None,
        typer.Option("--share", help="A folder of this machine that all hosts see; repeatable."),
    ] = None,
    folder: Place = None,
    json: Json = False,
) -> None:
    """Make hosts, each with its own network, ssh server, disk and processes, until `down`.

    Who isn't root needs user namespaces and a range of ids: see `fieldlab doctor`.
    """
    from fieldlab.domain.durations import parse_duration
    from fieldlab.sandbox import Sandbox

    began = time.monotonic()
    sandbox = Sandbox.up(
        hosts,
        folder=_folder(folder),
        roles=[role.strip() for role in roles.split(",") if role.strip()],
        disk=disk,
        reboot_s=parse_duration(reboot),
        shared=share or (),
        outlives=True,
    )
    taken = time.monotonic() - began
    found = sandbox.status()
    if json:
        write_json(_document(sandbox, found))
        return
    say(f"{counted(hosts, 'host')} up in {taken:.1f} s, called {found.hosts[0].name} …")
    _say_what_next(sandbox, found.hosts[0].name, folder)


def _say_what_next(sandbox: Sandbox, host: str, folder: Path | None) -> None:
    whole = folder.absolute() if folder else None
    option = f" --folder {whole}" if whole else ""
    show_facts(
        [
            ("log in", f"ssh -F {sandbox.ssh_config} {host}"),
            ("as a site", f"sandbox, described in {sandbox.folder / 'site.toml'}"),
            ("harm them", f"fieldlab sandbox fault {host} delay 50ms{option}"),
            ("look", f"fieldlab sandbox status{option}"),
            ("end", f"fieldlab sandbox down{option}"),
        ]
    )


def _document(sandbox: Sandbox, found: SandboxStatus) -> dict[str, Any]:
    return {"folder": sandbox.folder, "gateway": sandbox.gateway, **asdict(found)}


def status(folder: Place = None, json: Json = False) -> None:
    """Show the hosts, what is wrong with them, and by what their traffic is shaped."""
    sandbox = _sandbox(folder)
    found = sandbox.status()
    if json:
        write_json(_document(sandbox, found))
        return
    from fieldlab.cli.tables import console, table

    made = table(["host", "address", "state", "roles", "faults"])
    for host in found.hosts:
        words = (", ".join(host.roles), ", ".join(host.faults))
        made.add_row(host.name, host.address, host.state, *words)
    console().print(made)
    where = "in a user namespace" if found.rootless else "as root"
    show(f"traffic is shaped by {found.shaped_by}; it runs {where}")


def fault(
    host: Annotated[str, typer.Argument(help="As in h1.")],
    kind: Annotated[
        str,
        typer.Argument(
            help="link, loss, delay, jitter, duplication, rate, partition, sshd, full-disk,"
            " reboot or dead."
        ),
    ],
    value: Annotated[
        str, typer.Argument(help="As in 20%, 50ms, 5mbit, or another host for a partition.")
    ] = "",
    folder: Place = None,
    json: Json = False,
) -> None:
    """Let something go wrong with a host; when this ends with 0, it has."""
    sandbox = _sandbox(folder)
    sandbox.fault(host, kind, value)
    _tell(sandbox, host, as_json=json)


def clear(
    host: Annotated[str, typer.Argument(help="As in h1; all hosts if absent.")] = "",
    kind: Annotated[str, typer.Argument(help="As for fault; all kinds if absent.")] = "",
    folder: Place = None,
    json: Json = False,
) -> None:
    """Take faults away. A host that is down is started, and waited for."""
    sandbox = _sandbox(folder)
    sandbox.clear(host, kind)
    _tell(sandbox, host, as_json=json)


def _tell(sandbox: Sandbox, name: str, *, as_json: bool) -> None:
    found = [host for host in sandbox.hosts if name in ("", host.name)]
    if as_json:
        write_json([asdict(host) for host in found])
        return
    for host in found:
        say(f"{host.name}: {', '.join([host.state, *host.faults])}")


def down(folder: Place = None, json: Json = False) -> None:
    """Take the sandbox down, and remove what a killed one has left; else do nothing."""
    from fieldlab.sandbox.handle import take_down

    found = take_down(_folder(folder))
    if json:
        write_json({"removed": found})
    else:
        say("The sandbox is down" if found else "No sandbox was up")
