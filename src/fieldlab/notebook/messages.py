"""The bus, from a script or a notebook."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

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
    from fieldlab.app import Lab, messaging

    lab = Lab()
    try:
        async with messaging.open_bus(lab, lambda text: print(text, file=sys.stderr)) as bus:  # noqa: T201
            yield bus
    finally:
        lab.close()
