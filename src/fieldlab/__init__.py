"""fieldlab runs experiments from a git commit to reviewed, delivered data."""

from __future__ import annotations

import importlib
import typing

from fieldlab.domain.marks import tool
from fieldlab.domain.messages import DeliveryPolicy, Envelope
from fieldlab.ports.actor import Actor, Context

if typing.TYPE_CHECKING:
    from fieldlab.notebook.reading import open  # noqa: A004

__all__ = [
    "Actor",
    "Context",
    "DeliveryPolicy",
    "Envelope",
    "__version__",
    "open",
    "tool",
]
__version__ = "0.1.0"

#: public names → where they are; every worker imports this file, so they are fetched when used
_LAZY = {"open": "fieldlab.notebook.reading"}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'fieldlab' has no attribute '{name}'")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
