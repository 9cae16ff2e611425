"""fieldlab runs experiments from a git commit to reviewed, delivered data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fieldlab.domain.marks import tool
    from fieldlab.domain.messages import DeliveryPolicy, Envelope
    from fieldlab.ports.actor import Actor, Context

__all__ = ["Actor", "Context", "DeliveryPolicy", "Envelope", "__version__", "tool"]
__version__ = "0.1.0"

#: where the names come from, which are imported when somebody uses them: every worker and every
#: command begins here
_PLACES = {
    "Actor": "fieldlab.ports.actor",
    "Context": "fieldlab.ports.actor",
    "DeliveryPolicy": "fieldlab.domain.messages",
    "Envelope": "fieldlab.domain.messages",
    "tool": "fieldlab.domain.marks",
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        from importlib import import_module

        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'fieldlab' has no attribute '{name}'")
