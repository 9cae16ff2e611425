"""Finding the actors that a user wrote: classes in a module or file."""

from __future__ import annotations

import inspect
from pathlib import Path

from fieldlab.domain.errors import BadInput, nearest
from fieldlab.domain.messages import DeliveryPolicy, check_group, check_pattern
from fieldlab.execution.modules import load_module, make_importable
from fieldlab.ports.actor import Actor, actor_name

_KEY = ("actor",)


def load_actors(target: str, folder: str) -> list[tuple[str, Actor]]:
    """Make the actors that a target names, each with a target of its own.

    Parameters
    ----------
    target
        ``file.py`` or ``package.module`` for all actors that it defines, or ``…:Class`` for one.
    folder
        Where files are looked up, and the first place where modules are.

    Raises
    ------
    BadInput
        There is no such module or class, or an actor of it can't be made or listens to nothing.
    """
    module_name, _, wanted = target.partition(":")
    make_importable(folder)
    module = load_module(module_name, folder, target, _KEY)
    found = {
        name: member
        for name, member in vars(module).items()
        if inspect.isclass(member)
        and issubclass(member, Actor)
        and not inspect.isabstract(member)
        and member.__module__ == module.__name__
    }
    if wanted and wanted not in found:
        raise BadInput(
            f"'{module_name}' has no actor '{wanted}'",
            remedy=nearest(wanted, found) or f"Actors: {', '.join(found) or 'none'}",
            key=_KEY,
        )
    if not found:
        raise BadInput(
            f"'{target}' defines no actor",
            remedy="Write a class that inherits from fieldlab.Actor and has `topics` and `handle`",
            key=_KEY,
        )
    names = [wanted] if wanted else list(found)
    return [(f"{module_name}:{name}", _made(found[name])) for name in names]


def _check_settings(actor: Actor, label: str) -> None:
    """Refuse what would only show when the first message comes."""
    if not isinstance(actor.policy, DeliveryPolicy):
        raise BadInput(
            f"The policy of the actor {label} is {actor.policy!r}",
            remedy="Write policy = fieldlab.DeliveryPolicy(attempts=3)",
            key=_KEY,
        )
    if type(actor.concurrency) is not int or actor.concurrency < 1:
        raise BadInput(
            f"The concurrency of the actor {label} is {actor.concurrency!r}",
            remedy="Write a whole number, at least 1: so many messages at a time",
            key=_KEY,
        )
    try:
        inspect.signature(actor.handle).bind(None, None)
    except TypeError as error:
        raise BadInput(
            f"handle of the actor {label} can't be called: {error}",
            remedy="Write: async def handle(self, envelope, context)",
            key=_KEY,
        ) from error


def _made(kind: type[Actor]) -> Actor:
    label = f"{Path(inspect.getfile(kind)).name}:{kind.__name__}"
    try:
        actor = kind()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise BadInput(
            f"The actor {label} can't be made: {type(error).__name__}: {error}",
            remedy="Its class is called without arguments; read settings from the environment",
            key=_KEY,
        ) from error
    if (
        isinstance(actor.topics, str)
        or not actor.topics
        or not all(isinstance(each, str) for each in actor.topics)
    ):
        raise BadInput(
            f"The actor {label} listens to nothing",
            remedy='Give its class a list: topics = ["pipeline.process.*"]',
            key=_KEY,
        )
    _check_settings(actor, label)
    for pattern in actor.topics:
        check_pattern(pattern)
    check_group(actor_name(actor))
    if actor.group:
        check_group(actor.group)
    return actor
