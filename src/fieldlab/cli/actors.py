"""The group `actors`: who consumes messages, and starting them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fieldlab.cli.errors import ExitCode
from fieldlab.cli.labs import opened
from fieldlab.cli.output import Json, count, local_time, say, write_json
from fieldlab.domain.errors import BadInput

if TYPE_CHECKING:
    from fieldlab.app import Lab
    from fieldlab.engine.troupe import Part
    from fieldlab.ports.actor import Actor
    from fieldlab.store.actors import ActorView

#: what those who tell people are called together
_HERALDS = "notifications"


def register(app: typer.Typer) -> None:
    """Add the group; alone, it lists."""
    group = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
    group.callback()(listed)
    group.command()(run)
    app.add_typer(group, name="actors", help="Actors: who runs, where and since when; start them.")


def listed(
    context: typer.Context,
    ended: Annotated[bool, typer.Option("--ended", help="Also those that have ended.")] = False,
    json: Json = False,
) -> None:
    """List the actors that run: where, since when, their load and their last error."""
    if context.invoked_subcommand is not None:
        return
    from fieldlab.store.actors import read_actors

    with opened() as lab, lab.database.read() as connection:
        found = read_actors(connection, ended=ended)
    if json:
        write_json([_document(each) for each in found])
    elif found:
        _show(found)
    else:
        say("No actor runs; `fieldlab actors run FILE` starts those of a file")


def state_of(view: ActorView) -> str:
    """Say whether an actor runs, has ended, or died."""
    from fieldlab.engine.liveness import is_gone

    if view.ended_at is not None:
        return "ended"
    return "died" if is_gone(view.sign, view.silent_s) else "runs"


def _document(view: ActorView) -> dict[str, Any]:
    sign = view.sign
    return {
        "name": sign.name,
        "state": state_of(view),
        "group": sign.group,
        "topics": list(sign.topics),
        "host": sign.host,
        "pid": sign.pid,
        "started_at": view.started_at,
        "heartbeat_at": view.heartbeat_at,
        "ended_at": view.ended_at,
        "in_work": sign.in_work,
        "handled": sign.handled,
        "failed": sign.failed,
        "restarts": sign.restarts,
        "last_error": sign.last_error or None,
        "last_error_at": sign.last_error_at
        and datetime.fromtimestamp(sign.last_error_at, UTC).isoformat(),
    }


def _show(found: Sequence[ActorView]) -> None:
    from fieldlab.cli.tables import console, table

    numbers = ["in work", "handled", "failed"]
    made = table(["actor", "state", "where", "since", *numbers, "last error"], right=numbers)
    for each in found:
        sign = each.sign
        again = f" (start {sign.restarts + 1})" if sign.restarts else ""
        made.add_row(
            sign.name,
            state_of(each) + again,
            f"{sign.host}, process {sign.pid}",
            local_time(each.started_at),
            count(sign.in_work),
            count(sign.handled),
            count(sign.failed),
            sign.last_error,
        )
    console().print(made)


def run(
    targets: Annotated[
        list[str] | None,
        typer.Argument(metavar="TARGET...", help="file.py, package.module, or one's :Class."),
    ] = None,
    notify: Annotated[
        bool, typer.Option("--notify", help="Also tell people what happens, as [notify] says.")
    ] = False,
    processes: Annotated[
        bool, typer.Option("--processes", help="Each in a process of its own.")
    ] = False,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End when no message of theirs is left.")
    ] = False,
    under: Annotated[int, typer.Option("--under", hidden=True)] = 0,
    restarts: Annotated[int, typer.Option("--restarts", hidden=True)] = 0,
    json: Json = False,
) -> None:
    """Run actors until Ctrl-C or a termination signal; twice ends them at once.

    An actor that dies is started again with --processes; its message goes to another try.
    """
    from fieldlab.app import messaging
    from fieldlab.engine.supervisor import Manner
    from fieldlab.execution.actors import load_actors
    from fieldlab.ports.actor import actor_name

    _check_words(targets, notify=notify, processes=processes, until_idle=until_idle)
    if under:
        messaging.end_with(under)
    folder = str(Path.cwd())
    found = [each for target in targets or () for each in load_actors(target, folder)]
    _check_names([actor for _, actor in found])
    names = [actor_name(actor) for _, actor in found] + [_HERALDS] * notify
    with opened(create=True) as lab:
        if notify:
            _require_notify(lab)
        if not under:
            say(f"Running {', '.join(names)} on {lab.database.place}; Ctrl-C ends it")
        if processes:
            messaging.run_troupe(lab, _parts(found, notify=notify), say)
        else:
            manner = Manner(exits_when_stuck=bool(under), until_idle=until_idle, restarts=restarts)
            actors = [actor for _, actor in found]
            messaging.run_actors(lab, actors, say, manner, and_heralds=notify)
    if json:
        write_json({"ended": names})
    raise typer.Exit(ExitCode.DONE)


def _check_words(
    targets: Sequence[str] | None, *, notify: bool, processes: bool, until_idle: bool
) -> None:
    if processes and until_idle:
        raise BadInput(
            "Actors in processes of their own run until they are told to stop",
            remedy="Leave out --processes or --until-idle",
        )
    if not (targets or notify):
        raise BadInput(
            "There is nothing to run", remedy="Name a file with actors, or give --notify"
        )


def _require_notify(lab: Lab) -> None:
    if not lab.settings.notify.is_on:
        raise BadInput(
            "The settings name nobody who is to be told anything",
            remedy="Write `urls` or `command` into the table [notify] of fieldlab.toml",
        )


def _parts(found: Sequence[tuple[str, Actor]], *, notify: bool) -> list[Part]:
    """Give each actor a process of its own, which ends with this one."""
    from fieldlab.app import messaging
    from fieldlab.engine.troupe import Part
    from fieldlab.ports.actor import actor_name

    me = os.getpid()
    named = [(target, actor_name(actor)) for target, actor in found]
    named += [("--notify", _HERALDS)] * notify
    return [
        Part(name=name, command=partial(messaging.actor_command, target, me))
        for target, name in named
    ]


def _check_names(actors: Sequence[Actor]) -> None:
    """Refuse two actors of one name: nobody could tell them apart, and they would share a group."""
    from fieldlab.ports.actor import actor_name

    groups = {each.group: tuple(each.topics) for each in actors if each.group}
    for each in actors:
        if each.group and not each.broadcast and tuple(each.topics) != groups[each.group]:
            raise BadInput(
                f"The actors of the group '{each.group}' listen to different topics",
                remedy="Those who share a group share its messages: give them the same topics",
                key=("actor",),
            )
    names = [actor_name(each) for each in actors]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(
            f"Several actors are called {', '.join(twice)}",
            remedy="Give each class a `name` of its own, or name one target once",
            key=("actor",),
        )
