"""The composition root: the one room that names concrete classes."""

from fieldlab.app.lab import EXECUTORS, Ended, Lab, keep_from_git, whoami

__all__ = ["EXECUTORS", "Ended", "Lab", "keep_from_git", "whoami"]
