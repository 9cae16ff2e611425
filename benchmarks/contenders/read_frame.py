"""Read the results of the experiment `bench` into a frame, in one of several ways.

``python -m benchmarks.contenders.read_frame WAY URL ROWS``; it fails if there aren't so many rows.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

TABLE = "results_bench"


def fieldlab(url: str) -> Any:
    """A pandas DataFrame by fieldlab."""
    import fieldlab

    return fieldlab.open(url).results("bench")


def fieldlab_polars(url: str) -> Any:
    """A polars DataFrame by fieldlab."""
    import fieldlab

    return fieldlab.open(url).results("bench", "polars")


def read_sql(url: str) -> Any:
    """A pandas DataFrame by pandas, over SQLAlchemy."""
    import pandas as pd
    import sqlalchemy as sa

    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        return pd.read_sql(sa.text(f"SELECT * FROM {TABLE}"), connection)


def read_sql_plain(url: str) -> Any:
    """A pandas DataFrame by pandas, over Python's own sqlite3."""
    import pandas as pd

    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        return pd.read_sql(f"SELECT * FROM {TABLE}", connection)


WAYS: dict[str, Callable[[str], Any]] = {
    each.__name__: each for each in (fieldlab, fieldlab_polars, read_sql, read_sql_plain)
}

if __name__ == "__main__":
    way, place, rows = sys.argv[1:]
    shape = WAYS[way](place).shape
    if shape[0] != int(rows) or shape[1] < 12:  # fieldlab adds the commit to each row
        sys.exit(f"{way} read {shape[0]} rows of {shape[1]} columns")
