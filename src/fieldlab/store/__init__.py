"""The table of truth: SQLAlchemy Core on SQLite and PostgreSQL, one code for both."""
