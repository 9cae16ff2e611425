"""The schema's history. ``migrate`` takes a database from any earlier version to this program's."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa


def migrate(connection: sa.Connection, version: str = "head") -> None:
    """Apply the migrations that are missing up to a version, in the open transaction."""
    with _alembic_quiet():
        from alembic import command  # already its import tells of plug-ins
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, version)


@contextlib.contextmanager
def _alembic_quiet() -> Iterator[None]:
    """Keep Alembic's steps out of a user's log; what it warns of stays."""
    logger = logging.getLogger("alembic")
    before = logger.level
    logger.setLevel(max(before, logging.WARNING))
    try:
        yield
    finally:
        logger.setLevel(before)
