"""fieldlab runs experiments from a git commit to reviewed, delivered data."""

from __future__ import annotations

import typing

if typing.TYPE_CHECKING:
    from fieldlab.domain.errors import (
        BadInput,
        FieldlabError,
        Halted,
        RequestFailed,
        RequestTimeout,
        TrialFailed,
    )
    from fieldlab.domain.marks import tool
    from fieldlab.domain.messages import DeliveryPolicy, Envelope
    from fieldlab.engine.feed import TrialFuture
    from fieldlab.notebook.ems import EvalOnCluster, do_on_cluster
    from fieldlab.notebook.messages import open_bus
    from fieldlab.notebook.reading import open  # noqa: A004
    from fieldlab.notebook.running import Run, run
    from fieldlab.notebook.sessions import Session, as_completed, session
    from fieldlab.ports.actor import Actor, Context

__all__ = [
    "Actor",
    "BadInput",
    "Context",
    "DeliveryPolicy",
    "Envelope",
    "EvalOnCluster",
    "FieldlabError",
    "Halted",
    "RequestFailed",
    "RequestTimeout",
    "Run",
    "Session",
    "TrialFailed",
    "TrialFuture",
    "__version__",
    "as_completed",
    "do_on_cluster",
    "open",
    "open_bus",
    "run",
    "session",
    "tool",
]
__version__ = "0.1.0"

#: where the names come from, which are imported when somebody uses them: every worker and every
#: command begins here
_PLACES = {
    "Actor": "fieldlab.ports.actor",
    "BadInput": "fieldlab.domain.errors",
    "Context": "fieldlab.ports.actor",
    "DeliveryPolicy": "fieldlab.domain.messages",
    "Envelope": "fieldlab.domain.messages",
    "EvalOnCluster": "fieldlab.notebook.ems",
    "FieldlabError": "fieldlab.domain.errors",
    "Halted": "fieldlab.domain.errors",
    "RequestFailed": "fieldlab.domain.errors",
    "RequestTimeout": "fieldlab.domain.errors",
    "Run": "fieldlab.notebook.running",
    "Session": "fieldlab.notebook.sessions",
    "TrialFailed": "fieldlab.domain.errors",
    "TrialFuture": "fieldlab.engine.feed",
    "as_completed": "fieldlab.notebook.sessions",
    "do_on_cluster": "fieldlab.notebook.ems",
    "open": "fieldlab.notebook.reading",
    "open_bus": "fieldlab.notebook.messages",
    "run": "fieldlab.notebook.running",
    "session": "fieldlab.notebook.sessions",
    "tool": "fieldlab.domain.marks",
}


def __getattr__(name: str) -> object:
    if name in _PLACES:
        from importlib import import_module

        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'fieldlab' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
