"""fieldlab runs experiments from a git commit to reviewed, delivered data."""

from __future__ import annotations

from fieldlab.domain.marks import tool
from fieldlab.domain.messages import DeliveryPolicy, Envelope
from fieldlab.ports.actor import Actor, Context

__all__ = ["Actor", "Context", "DeliveryPolicy", "Envelope", "__version__", "tool"]
__version__ = "0.1.0"
