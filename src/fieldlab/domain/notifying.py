"""What people want to be told, and how: the table ``[notify]`` of ``fieldlab.toml``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fieldlab.domain.errors import BadInput, Problem, nearest

#: the table of ``fieldlab.toml``
NOTIFY = "notify"
#: addresses, separated by commas; they take the place of the table's
URLS_VARIABLE = "FIELDLAB_NOTIFY_URLS"
#: what can be told → topics of the messages that tell it
EVENTS = {
    "finished": ("campaign.finished",),
    "tripped": ("campaign.tripped",),
    "paused": ("campaign.paused",),
    "cancelled": ("campaign.cancelled",),
    "host": ("host.lost", "host.ready"),
    "disk": ("disk.low",),
    "progress": ("campaign.progress",),
}
#: topics of the messages that no lifecycle publishes
PROGRESS_TOPIC, DISK_TOPIC = "campaign.progress", "disk.low"
#: percent, where progress is to be told and nobody said when
_PROGRESS = (50, 90)
_KEYS = ("urls", "command", "events", "progress", "digest", "disk_free")
_SIZES = {"%": 0, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = r"([0-9]+(?:\.[0-9]+)?)\s*(%|[MGT]B)"
_URL = r"[A-Za-z][A-Za-z0-9+.-]*://\S+"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySettings:
    """Whom to tell, what, and how often."""

    #: addresses, as apprise writes them; secrets may be in them
    urls: tuple[str, ...] = ()
    #: argument vector of a program that is to be told too
    command: tuple[str, ...] = ()
    #: folder that the command runs in
    folder: str = ""
    events: tuple[str, ...] = tuple(name for name in EVENTS if name != "progress")
    #: percent of a campaign's trials
    progress: tuple[int, ...] = ()
    #: messages that come within this time are one, s
    digest_s: float = 30.0
    #: a disk is nearly full with less free than either, percent and bytes
    free_percent: float = 5.0
    free_bytes: int = 10**9

    @property
    def is_on(self) -> bool:
        """Whether anybody is to be told anything."""
        return bool((self.urls or self.command) and self.events)

    @property
    def topics(self) -> tuple[str, ...]:
        """What is listened to."""
        return tuple(topic for name in self.events for topic in EVENTS[name])


def disk_low(where: str, free_bytes: int) -> dict[str, object]:
    """Make the body of a message ``disk.low``.

    Parameters
    ----------
    where
        For people: ``host h2:/experiments``.
    """
    return {"where": where, "free_bytes": free_bytes}


def group_of(address: str) -> str:
    """Name the group of consumers that tells one address, without what is secret in it."""
    import hashlib  # here, because settings are read at every start

    scheme = re.sub(r"[^a-z0-9]+", "-", address.partition(":")[0].lower())[:20]
    return f"notify.{scheme}.{hashlib.sha256(address.encode()).hexdigest()[:10]}"


def read_notify(
    table: Mapping[str, Any], file: str, folder: str, environ: Mapping[str, str]
) -> NotifySettings:
    """Read the table; ``FIELDLAB_NOTIFY_URLS`` takes the place of its addresses.

    Parameters
    ----------
    file
        Where the table stands, for messages.
    folder
        Where that file lies.

    Raises
    ------
    BadInput
        A value can't be used; ``problems`` lists them all.
    """
    variable = environ.get(URLS_VARIABLE)
    if not table and not variable:
        return NotifySettings()
    read: dict[str, Any] = {"folder": folder}
    problems: list[Problem] = []
    for key, value in table.items():
        try:
            if key not in _READERS:
                remedy = nearest(key, _KEYS) or f"Known keys: {', '.join(_KEYS)}"
                raise BadInput(f"unknown key '{key}'", remedy=remedy)
            read |= _READERS[key](value)
        except BadInput as error:
            place = (NOTIFY, key)
            problems.append(Problem(what=error.what, file=file, key=place, remedy=error.remedy))
    if variable is not None:
        try:
            read |= _urls([each.strip() for each in variable.split(",") if each.strip()])
        except BadInput as error:
            problems.append(Problem(what=error.what, file=URLS_VARIABLE, remedy=error.remedy))
    if problems:
        raise BadInput.of(problems)
    events = read.get("events")
    if read.get("progress") and events is None:
        read["events"] = (*NotifySettings().events, "progress")
    elif events and "progress" in events:
        read.setdefault("progress", _PROGRESS)
    return NotifySettings(**read)


def _texts(value: object, example: str) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(each, str) and each for each in value):
        return tuple(value)
    raise BadInput("must be a list of texts", remedy=f"Write it as {example}")


def _urls(value: object) -> dict[str, Any]:
    urls = _texts(value, '["mailto://…", "json://…"]')
    for number, each in enumerate(urls, 1):
        if not re.fullmatch(_URL, each):  # it may hold a password, so it isn't shown
            raise BadInput(
                f"address {number} isn't one",
                remedy='Write it as apprise does, such as "mailto://ada:secret@example.org"',
            )
    return {"urls": tuple(dict.fromkeys(urls))}


def _command(value: object) -> dict[str, Any]:
    return {"command": _texts(value, '["./tell.sh", "--loud"]')}


def _events(value: object) -> dict[str, Any]:
    events = _texts(value, '["finished", "tripped"]')
    for each in events:
        if each not in EVENTS:
            raise BadInput(
                f"there is no event '{each}'",
                remedy=nearest(each, EVENTS) or f"Events: {', '.join(EVENTS)}",
            )
    return {"events": tuple(dict.fromkeys(events))}


def _progress(value: object) -> dict[str, Any]:
    numbers = value if isinstance(value, list) else [value]
    if not all(type(each) is int and 0 < each < 100 for each in numbers):
        raise BadInput(
            "must be percentages between 1 and 99", remedy="Write whole numbers, as in [50, 90]"
        )
    return {"progress": tuple(sorted(set(numbers)))}


def _digest(value: object) -> dict[str, Any]:
    from fieldlab.domain.durations import parse_duration

    if not isinstance(value, str | int | float):
        raise BadInput("must be a duration", remedy='Write "30s" or "5m"')
    return {"digest_s": parse_duration(value)}


def _disk_free(value: object) -> dict[str, Any]:
    parts = [value] if isinstance(value, str) else value
    found = [
        re.fullmatch(_SIZE, each.strip()) if isinstance(each, str) else None
        for each in (parts if isinstance(parts, list) else [None])
    ]
    read = {"free_percent": 0.0, "free_bytes": 0}
    for each in found:
        if each is None or (each[2] == "%" and float(each[1]) > 100):
            raise BadInput(
                "must be a share or a size", remedy='Write "5 %", "20 GB", or both in a list'
            )
        if each[2] == "%":
            read["free_percent"] = float(each[1])
        else:
            read["free_bytes"] = int(float(each[1]) * _SIZES[each[2]])
    return read


_READERS: dict[str, Callable[[object], dict[str, Any]]] = {
    "urls": _urls,
    "command": _command,
    "events": _events,
    "progress": _progress,
    "digest": _digest,
    "disk_free": _disk_free,
}
