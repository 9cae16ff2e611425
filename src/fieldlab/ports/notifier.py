"""Messages to people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Urgency(StrEnum):
    """How soon somebody should look."""

    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message to people."""

    title: str
    body: str
    urgency: Urgency = Urgency.INFO


class Notifier(Protocol):
    """A way to reach people."""

    async def send(self, notice: Notice) -> None:
        """Send it.

        Raises
        ------
        NotSent
            It didn't go out; transient if it may be tried again.
        """
        ...
