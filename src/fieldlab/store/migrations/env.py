"""Alembic's entry point: run the migrations on the connection that fieldlab hands over."""

from alembic import context

from fieldlab.store import bus_tables  # noqa: F401 - it adds its tables to the metadata
from fieldlab.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,  # the caller's transaction holds it all
)
context.run_migrations()
