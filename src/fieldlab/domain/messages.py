"""Messages: what actors send each other, the topics they go to, and how each delivery fares.

A topic is words with dots between them: ``pipeline.process.EU``. A group of consumers listens to
patterns of topics. Every group gets every message that matches, and shares it among its members: a
*delivery* is one message for one group.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any

from fieldlab.domain.errors import BadInput
from fieldlab.domain.ids import uuid7
from fieldlab.domain.lifecycle import Lifecycle, Role

#: characters of a topic or pattern
LONGEST_TOPIC = 255
#: bytes of JSON that a body may have
LARGEST_BODY = 16 << 20
#: what group names look like
GROUP_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"

#: an escaped NUL, not the escaped backslash before the text u0000
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_WORD = r"[A-Za-z0-9_-]+"
_TOPIC = re.compile(rf"{_WORD}(\.{_WORD})*")
_PATTERN = re.compile(rf"(({_WORD}|\*)\.)*({_WORD}|\*|#)")


class DeliveryState(StrEnum):
    """How one message fares with one group."""

    WAITING = "waiting"
    #: a consumer works on it, under a lease
    CLAIMED = "claimed"
    ACKNOWLEDGED = "acknowledged"
    #: given up: it failed too often, or somebody put it away by hand
    DEAD = "dead"
    #: its time to live ended before anybody took it
    EXPIRED = "expired"


_ENGINE = frozenset({Role.ENGINE})
_PEOPLE = frozenset({Role.OPERATOR, Role.RESEARCHER})

#: Steps of deliveries aren't in the journal, as their rows are the history; those that people take
#: by hand are.
DELIVERY = Lifecycle(
    entity="delivery",
    initial=DeliveryState.WAITING,
    states=tuple(DeliveryState),
    final=frozenset(),
    transitions={
        (DeliveryState.WAITING, DeliveryState.CLAIMED): _ENGINE,
        (DeliveryState.WAITING, DeliveryState.EXPIRED): _ENGINE,
        (DeliveryState.WAITING, DeliveryState.DEAD): _PEOPLE,
        (DeliveryState.CLAIMED, DeliveryState.ACKNOWLEDGED): _ENGINE,
        (DeliveryState.CLAIMED, DeliveryState.WAITING): _ENGINE,
        (DeliveryState.CLAIMED, DeliveryState.DEAD): _ENGINE,
        (DeliveryState.CLAIMED, DeliveryState.EXPIRED): _ENGINE,
        (DeliveryState.DEAD, DeliveryState.WAITING): _PEOPLE,
        (DeliveryState.EXPIRED, DeliveryState.WAITING): _PEOPLE,
        (DeliveryState.ACKNOWLEDGED, DeliveryState.WAITING): _PEOPLE,
    },
    journaled=False,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A message with all that is written on its outside.

    Attributes
    ----------
    topic
        Where it was sent to.
    body
        What JSON can say.
    id
        A UUID version 7, the same at every try.
    sender
        Who sent it, for people.
    sent_at
        Unix time, s.
    expires_at
        Unix time, s, after which nobody is to begin with it; None: it doesn't expire.
    reply_to
        Topic that an answer goes to; empty when none is wanted.
    in_reply_to
        Id of the message that this one answers; empty when it is no answer.
    failed
        Whether this answer says that the request failed; its body then says why.
    """

    topic: str
    body: Any = None
    id: str = field(default_factory=uuid7)
    sender: str = ""
    sent_at: float = field(default_factory=time.time)
    expires_at: float | None = None
    reply_to: str = ""
    in_reply_to: str = ""
    failed: bool = False

    def reply(self, body: Any, *, sender: str = "", failed: bool = False) -> Envelope:
        """Make the answer to this message. It expires when nobody waits for it any more."""
        return Envelope(
            topic=self.reply_to,
            body=body,
            sender=sender,
            in_reply_to=self.id,
            expires_at=self.expires_at,
            failed=failed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPolicy:
    """How long a consumer may keep a message, and what happens when it fails.

    Attributes
    ----------
    attempts
        Tries before it is given up and kept as a dead letter.
    lease_s
        A consumer that hasn't been heard of for so long has lost its message, s.
    timeout_s
        Longest time that handling may take, s; 0 has no limit.
    delay_s
        Wait before the second try, s; each further wait is twice as long.
    longest_delay_s
        But no wait is longer, s.
    """

    attempts: int = 5
    lease_s: float = 30.0
    timeout_s: float = 300.0
    delay_s: float = 1.0
    longest_delay_s: float = 300.0

    def __post_init__(self) -> None:
        if type(self.attempts) is not int or self.attempts < 1:
            raise BadInput(
                f"attempts is {self.attempts!r}",
                remedy="Write a whole number of tries, at least 1",
                key=("policy", "attempts"),
            )
        for name in ("lease_s", "timeout_s", "delay_s", "longest_delay_s"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 <= value < float("inf") or (name == "lease_s" and not value):
                raise BadInput(
                    f"{name} is {value!r}",
                    remedy="Write a number of seconds, such as 30"
                    + ("" if name == "lease_s" else ", or 0"),
                    key=("policy", name),
                )

    def delay_after(self, attempt: int) -> float:
        """Seconds to wait after that many tries have failed."""
        return min(self.delay_s * 2.0 ** min(attempt - 1, 60), self.longest_delay_s)


def check_topic(topic: str) -> str:
    """Let a topic pass.

    Raises
    ------
    BadInput
        It isn't words (letters, digits, ``_``, ``-``) with dots between them.
    """
    if len(topic) > LONGEST_TOPIC or not _TOPIC.fullmatch(topic):
        raise BadInput(
            f"'{topic[:80]}' is not a topic",
            remedy="Write words of letters, digits, _ and - with dots between them, such as"
            f" pipeline.process.EU; at most {LONGEST_TOPIC} characters",
            key=("topic",),
        )
    return topic


def check_pattern(pattern: str) -> str:
    """Let a pattern of topics pass: ``*`` stands for one word, ``#`` at the end for any number.

    Raises
    ------
    BadInput
        It isn't a pattern.
    """
    if len(pattern) > LONGEST_TOPIC or not _PATTERN.fullmatch(pattern):
        raise BadInput(
            f"'{pattern[:80]}' is not a pattern of topics",
            remedy="Write a topic in which * stands for one word, or # at the end for any number of"
            " words, such as cached.* or pipeline.#",
            key=("topics",),
        )
    return pattern


def check_group(group: str) -> str:
    """Let the name of a group pass.

    Raises
    ------
    BadInput
        It isn't 1 to 63 letters, digits, ``_``, ``-`` and dots.
    """
    if not re.fullmatch(GROUP_PATTERN, group):
        raise BadInput(
            f"'{group[:80]}' can't name a group of consumers",
            remedy="Use letters, digits, _, - and dots; at most 63",
            key=("group",),
        )
    return group


@lru_cache(maxsize=4096)
def _matcher(pattern: str) -> re.Pattern[str]:
    words = pattern.split(".")
    tail = words[-1] == "#"
    parts = [_WORD if word == "*" else re.escape(word) for word in words[: len(words) - tail]]
    text = r"\.".join(parts)
    if tail:  # no word at all, or more words after a dot
        text = f"{text}(\\.{_WORD})*" if parts else f"{_WORD}(\\.{_WORD})*"
    return re.compile(text)


def matches(pattern: str, topic: str) -> bool:
    """Say whether a topic fits a pattern, from its first word to its last."""
    return _matcher(pattern).fullmatch(topic) is not None


def groups_for(topic: str, subscriptions: Iterable[tuple[str, str]]) -> list[str]:
    """List the groups that are to get a topic's messages, each once.

    Parameters
    ----------
    subscriptions
        Pairs of a group's name and a pattern.
    """
    found = (group for group, pattern in subscriptions if matches(pattern, topic))
    return list(dict.fromkeys(found))


def body_copy(body: object) -> Any:
    """Take a copy of a body as it will arrive: what is changed afterwards doesn't change it.

    Raises
    ------
    BadInput
        See :func:`encode_body`.
    """
    return json.loads(encode_body(body))


def encode_body(body: object) -> str:
    """Write a message's body as strict JSON.

    Raises
    ------
    BadInput
        It isn't what JSON can say, or has more than 16 MiB.
    """
    try:
        text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInput(
            f"The body can't be written as JSON: {error}",
            remedy="Send numbers, text, true/false, null, and lists and mappings of them",
            key=("body",),
        ) from error
    if _NUL.search(text):
        raise BadInput("The body contains a NUL character", remedy="Leave it out", key=("body",))
    if size > LARGEST_BODY:
        raise BadInput(
            f"The body has {size / 2**20:.1f} MiB, more than the {LARGEST_BODY >> 20} MiB that a"
            " message may have",
            remedy="Put large data into a file and send where it is",
            key=("body",),
        )
    return text
