"""fieldlab runs experiments from a git commit to reviewed, delivered data."""

from __future__ import annotations

import importlib
import typing

from fieldlab.domain.marks import tool
from fieldlab.domain.messages import DeliveryPolicy, Envelope
from fieldlab.ports.actor import Actor, Context

if typing.TYPE_CHECKING:
    from fieldlab.domain.errors import BadInput, FieldlabError, Halted, TrialFailed
    from fieldlab.engine.feed import TrialFuture
    from fieldlab.notebook.ems import EvalOnCluster, do_on_cluster
    from fieldlab.notebook.reading import open  # noqa: A004
    from fieldlab.notebook.running import Run, run
    from fieldlab.notebook.sessions import Session, as_completed, session

__all__ = [
    "Actor",
    "BadInput",
    "Context",
    "DeliveryPolicy",
    "Envelope",
    "EvalOnCluster",
    "FieldlabError",
    "Halted",
    "Run",
    "Session",
    "TrialFailed",
    "TrialFuture",
    "__version__",
    "as_completed",
    "do_on_cluster",
    "open",
    "run",
    "session",
    "tool",
]
__version__ = "0.1.0"

#: where the names come from that are imported when somebody uses them: workers import this, too
_PLACES = {
    "BadInput": "fieldlab.domain.errors",
    "EvalOnCluster": "fieldlab.notebook.ems",
    "FieldlabError": "fieldlab.domain.errors",
    "Halted": "fieldlab.domain.errors",
    "Run": "fieldlab.notebook.running",
    "Session": "fieldlab.notebook.sessions",
    "TrialFailed": "fieldlab.domain.errors",
    "TrialFuture": "fieldlab.engine.feed",
    "as_completed": "fieldlab.notebook.sessions",
    "do_on_cluster": "fieldlab.notebook.ems",
    "open": "fieldlab.notebook.reading",
    "run": "fieldlab.notebook.running",
    "session": "fieldlab.notebook.sessions",
}


def __getattr__(name: str) -> object:
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'fieldlab' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
