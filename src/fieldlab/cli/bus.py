"""The group `bus`: messages as they go, and what is done to them by hand."""

from __future__ import annotations

import json as json_text
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fieldlab.cli.labs import opened
from fieldlab.cli.output import (
    Json,
    count,
    counted,
    local_time,
    say,
    show,
    show_facts,
    to_json,
    write_json,
)
from fieldlab.domain.errors import BadInput

if TYPE_CHECKING:
    from fieldlab.app import Lab
    from fieldlab.store.bus_views import DeliveryView, MessageView

#: messages that `tail` shows when it isn't told how many
NEWEST = 10
#: while following, it looks back so far for messages of senders whose clocks are behind, s
LATE_S = 10.0

Numbers = Annotated[
    list[int] | None,
    typer.Argument(metavar="[NUMBER]...", help="Deliveries, as `bus dead` and `bus show` list."),
]
Group = Annotated[str, typer.Option("--group", metavar="GROUP", help="Only this group's.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    for command in (status, tail, show_message, publish, dead, retry, prune):
        name = "show" if command is show_message else None
        group.command(name)(command)
    app.add_typer(group, name="bus", help="Messages: watch, send, try again, put away.")


def status(json: Json = False) -> None:
    """List the groups of consumers, and how their messages fare."""
    from fieldlab.store.bus_views import groups, unheard

    with opened() as lab, lab.database.read() as connection:
        found, alone = groups(connection), unheard(connection)
    if json:
        write_json({"groups": [asdict(each) for each in found], "unheard": alone})
        return
    listening = [each for each in found if each.patterns or each.is_unsettled]
    if listening:
        from fieldlab.cli.tables import console, table

        states = ["waiting", "claimed", "acknowledged", "dead", "expired"]
        made = table(["group", *states, "waits since", "topics"], right=states)
        for each in listening:
            numbers = [count(each.counts[state]) for state in states]
            since = local_time(each.oldest_waiting)
            made.add_row(each.name, *numbers, since, " ".join(each.patterns))
        console().print(made)
    else:
        say("No group listens yet; `fieldlab actors run FILE` starts actors")
    if alone:
        say(f"{counted(alone, 'message')} that nobody listened for: the first group gets them")


def tail(
    pattern: Annotated[
        str, typer.Argument(metavar="[TOPICS]", help="A pattern: * is a word, # any number.")
    ] = "#",
    number: Annotated[int, typer.Option("--number", "-n", min=0, help="How many.")] = NEWEST,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with those that come.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the newest messages, the latest last.

    With --json and --follow it writes an object per line.
    """
    from fieldlab.domain.messages import check_pattern
    from fieldlab.store.bus_views import newest_messages

    check_pattern(pattern)
    with opened() as lab:
        with lab.database.read() as connection:
            found = newest_messages(connection, pattern, limit=number)
        if json and not follow:
            write_json([_document(each) for each in found])
            return
        for each in found:
            _show_line(each, as_json=json)
        if follow:
            shown = {each.id for each in found}
            for each in _coming(lab, pattern, shown):
                _show_line(each, as_json=json)
        elif not found:
            say("No message has been sent yet" if pattern == "#" else f"None to '{pattern}' yet")


def _coming(lab: Lab, pattern: str, shown: set[str]) -> Iterator[MessageView]:
    """Give messages as they come, each once."""
    from fieldlab.domain.ids import uuid7_at
    from fieldlab.store.bus_views import newest_messages
    from fieldlab.store.news import news_of

    news = news_of(lab.database)
    began = time.time()
    try:
        while True:
            after = uuid7_at(max(began, time.time() - LATE_S))
            with lab.database.read() as connection:
                found = newest_messages(connection, pattern, limit=10_000, after=after)
            yield from (each for each in found if each.id not in shown)
            shown = {each.id for each in found}
            sys.stdout.flush()
            news.wait(1.0)
    finally:
        news.close()


def _show_line(message: MessageView, *, as_json: bool) -> None:
    if as_json:
        show(to_json(_document(message)))
        return
    fates = ", ".join(f"{each.group}: {each.state}" for each in message.deliveries) or "nobody yet"
    moment = typer.style(local_time(message.created_at), dim=True)
    show(f"{moment}  {message.topic}  {typer.style(message.id, dim=True)}")
    body = json_text.dumps(message.plain_body, ensure_ascii=False)
    body = body if len(body) <= 200 else f"{body[:200]}…"
    show(f"  {body}  {typer.style(f'→ {fates}', fg='cyan')}")


def _document(message: MessageView) -> dict[str, Any]:
    return {**asdict(message), "body": message.plain_body}


def show_message(
    which: Annotated[str, typer.Argument(metavar="ID", help="A message, or a delivery's number.")],
    json: Json = False,
) -> None:
    """Show one message: its body, and what became of it in each group."""
    from fieldlab.store.bus_views import find_message

    with opened() as lab, lab.database.read() as connection:
        found = find_message(connection, which)
    if json:
        write_json(_document(found))
        return
    show_facts(
        [
            ("message", found.id),
            ("topic", found.topic),
            ("sent", f"{local_time(found.created_at)} by {found.sender or 'unknown'}"),
            ("expires", local_time(found.expires_at)),
            ("answers to", found.reply_to),
            ("answers", found.in_reply_to + (" (it failed)" if found.failed else "")),
            ("body", json_text.dumps(found.plain_body, indent=2, ensure_ascii=False)),
        ]
    )
    if not found.deliveries:
        say("No group has listened for it yet: the first that does gets it")
    for each in found.deliveries:
        show("")
        show_facts(_delivery_facts(each))


def _delivery_facts(delivery: DeliveryView) -> list[tuple[str, str]]:
    return [
        ("delivery", f"{delivery.number} to {delivery.group}"),
        ("state", f"{delivery.state}, taken {counted(delivery.claims, 'time')}"),
        ("settled", local_time(delivery.settled_at)),
        ("error", delivery.error),
    ]


def publish(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="Such as pipeline.process.EU.")],
    body: Annotated[
        str, typer.Argument(metavar="[BODY]", help="JSON; - reads it from standard input.")
    ] = "null",
    expires_in: Annotated[
        str | None,
        typer.Option("--expires-in", metavar="DURATION", help="Nobody begins with it afterwards."),
    ] = None,
    wait: Annotated[
        str | None,
        typer.Option("--wait", metavar="DURATION", help="Ask for an answer, and show it."),
    ] = None,
    json: Json = False,
) -> None:
    """Send a message."""
    from fieldlab.app import messaging
    from fieldlab.domain.durations import parse_duration

    content = _read_body(body)
    with opened() as lab:
        if wait is not None:
            timeout_s = parse_duration(wait)
            answer = messaging.request(lab, topic, content, timeout_s=timeout_s)
            write_json(answer)
            return
        lasts_s = None if expires_in is None else parse_duration(expires_in)
        sent = messaging.publish(lab, topic, content, expires_in_s=lasts_s)
    if json:
        write_json({"id": sent.id, "topic": sent.topic})
    else:
        show(sent.id)


def _read_body(text: str) -> Any:
    if text == "-":
        text = sys.stdin.read()
    try:
        return json_text.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"The body is not JSON: {error}",
            remedy="""Write it as in '{"name": "x", "number": 1}'; text needs its own quotes:"""
            """ '"text"'""",
            key=("body",),
        ) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def dead(
    numbers: Numbers = None,
    group: Group = "",
    why: Annotated[str, typer.Option("--why", help="For the journal.")] = "",
    json: Json = False,
) -> None:
    """List the dead letters; with numbers, put these waiting deliveries away as dead letters."""
    from fieldlab.app import whoami
    from fieldlab.store.bus_views import bury, dead_letters

    with opened() as lab:
        if numbers:
            with lab.database.begin() as connection:
                found = bury(connection, numbers, by=whoami(), why=why)
        else:
            with lab.database.read() as connection:
                found = dead_letters(connection, group)
    if json:
        write_json([asdict(each) for each in found])
    elif numbers:
        say(f"Put away: {counted(len(found), 'delivery', 'deliveries')}")
    elif found:
        _show_dead(found)
    else:
        say("There are no dead letters")


def _show_dead(found: Sequence[DeliveryView]) -> None:
    from fieldlab.cli.tables import console, table

    made = table(["no.", "topic", "group", "tries", "given up", "error"], right=["no.", "tries"])
    for each in found:
        lines = each.error.strip().splitlines() or [""]
        made.add_row(
            str(each.number),
            each.topic,
            each.group,
            str(each.claims),
            local_time(each.settled_at),
            lines[-1],
        )
    console().print(made)
    say("`fieldlab bus show NUMBER` shows one, `fieldlab bus retry NUMBER` tries it again")


def retry(
    numbers: Numbers = None,
    every: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    group: Group = "",
    json: Json = False,
) -> None:
    """Let dead, expired or acknowledged deliveries be tried again, with all their tries."""
    from fieldlab.app import whoami
    from fieldlab.store.bus_views import dead_letters
    from fieldlab.store.bus_views import retry as try_again

    if not numbers and not every:
        raise BadInput(
            "Nothing is named that is to be tried again",
            remedy="Name deliveries by their numbers, or all dead letters with --all",
        )
    with opened() as lab, lab.database.begin() as connection:
        wanted = numbers or [each.number for each in dead_letters(connection, group)]
        found = try_again(connection, wanted, by=whoami())
    if json:
        write_json([asdict(each) for each in found])
    else:
        say(f"To be tried again: {counted(len(found), 'delivery', 'deliveries')}")


def prune(
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="DURATION", help="Sent so long ago, as in 30d.")
    ],
    json: Json = False,
) -> None:
    """Delete old messages of which nothing is left to do; dead letters stay."""
    from fieldlab.domain.durations import parse_duration
    from fieldlab.store.bus_views import prune as delete_old

    with opened() as lab, lab.database.begin() as connection:
        deleted = delete_old(connection, parse_duration(older_than))
    if json:
        write_json({"deleted": deleted})
    else:
        say(f"Deleted: {counted(deleted, 'message')}")
