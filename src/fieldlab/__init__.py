"""fieldlab runs experiments from a git commit to reviewed, delivered data."""

from __future__ import annotations

from fieldlab.domain.marks import tool

__all__ = ["__version__", "tool"]
__version__ = "0.1.0"
