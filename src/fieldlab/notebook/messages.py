"""The bus, from a script or a notebook."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fieldlab.notebook.showing import tell

if TYPE_CHECKING:
    from fieldlab.bus.message_bus import MessageBus


@asynccontextmanager
async def open_bus() -> AsyncIterator[MessageBus]:
    """Open the bus of the current folder's lab: ``async with fieldlab.open_bus() as bus``.

    A database that is away for a moment is tried again; that is said on standard error.

    Raises
    ------
    NoLab
        There is no lab here; `fieldlab init --bare` makes one.
    """
    from fieldlab.app import messaging, opened

    with opened() as lab:
        async with messaging.open_bus(lab, tell) as bus:
            yield bus
