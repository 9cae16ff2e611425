"""The composition root: the one room that names concrete classes."""

from fieldlab.app.lab import EXECUTORS, Ended, Lab, whoami

__all__ = ["EXECUTORS", "Ended", "Lab", "whoami"]
