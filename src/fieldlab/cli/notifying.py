"""The group `notify`: whether messages to people arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from fieldlab.cli.errors import ExitCode
from fieldlab.cli.output import Json, say, show_facts, write_json

if TYPE_CHECKING:
    from fieldlab.app.heralding import Address


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    group.callback()(_notify)
    group.command("test")(send_test)
    app.add_typer(group, name="notify", help="Messages to people: whether they arrive.")


def _notify() -> None:
    """Messages to people: whether they arrive."""


def send_test(json: Json = False) -> None:
    """Send a message to everybody whom [notify] of fieldlab.toml names.

    The exit code is 4 if somebody can't be told.
    """
    from fieldlab.app.heralding import addresses
    from fieldlab.domain.errors import BadInput
    from fieldlab.settings import load_settings

    found = addresses(load_settings().notify)
    if not found:
        raise BadInput(
            "The settings name nobody who is to be told anything",
            remedy="Write `urls` or `command` into the table [notify] of fieldlab.toml",
        )
    results = _send_to_all(found)
    if json:
        write_json(results)
    else:
        show_facts((each["to"], each["error"] or "sent") for each in results)
    failed = sum(not each["sent"] for each in results)
    if failed:
        say(f"{failed} of {len(results)} can't be told")
        raise typer.Exit(ExitCode.INFRASTRUCTURE)


def _send_to_all(found: list[Address]) -> list[dict[str, Any]]:
    import asyncio
    import socket

    from fieldlab.domain.errors import FieldlabError
    from fieldlab.engine.hosting import in_own_loop
    from fieldlab.ports.notifier import Notice

    notice = Notice(
        title="fieldlab: a test",
        body=f"Messages from fieldlab on {socket.gethostname()} arrive.",
    )

    async def send(address: Address) -> dict[str, Any]:
        error = ""
        try:
            await address.notifier.send(notice)
        except FieldlabError as failed:
            error = str(failed)
        return {"to": address.notifier.name, "sent": not error, "error": error or None}

    async def send_all() -> list[dict[str, Any]]:
        return list(await asyncio.gather(*map(send, found)))

    return in_own_loop(send_all)
