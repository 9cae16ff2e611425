"""The composition root: the one room that names concrete classes."""

from fieldlab.app.custody import Ended, whoami
from fieldlab.app.executors import EXECUTORS
from fieldlab.app.lab import Lab, opened

__all__ = ["EXECUTORS", "Ended", "Lab", "opened", "whoami"]
