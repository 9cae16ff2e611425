"""Recorded rows as data frames: pandas, polars, or Arrow tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args, overload

from fieldlab.domain.errors import BadInput, MissingExtra, nearest

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa  # type: ignore[import-untyped]

    from fieldlab.app import Lab
    from fieldlab.ports.store import Campaign

#: kinds of frames
Kind = Literal["pandas", "polars", "arrow"]
KINDS: tuple[str, ...] = get_args(Kind)


@overload
def results_frame(
    lab: Lab, name: str, kind: Literal["pandas"] = ..., *, own_columns: bool = ...
) -> pd.DataFrame: ...


@overload
def results_frame(lab: Lab, name: str, kind: str, *, own_columns: bool = ...) -> Any: ...


def results_frame(lab: Lab, name: str, kind: str = "pandas", *, own_columns: bool = True) -> Any:
    """Read results, as they are at one moment: parameters first, in the order of their trials.

    Parameters
    ----------
    name
        An experiment, for what all its campaigns have recorded, or a campaign, for its own part.
    kind
        "pandas", "polars" or "arrow".
    own_columns
        With the columns that fieldlab adds behind them.

    Returns
    -------
    pandas.DataFrame, polars.DataFrame or pyarrow.Table
        A row per row of results; see `pandas_frame` for the types.

    Raises
    ------
    UnknownName
        With the nearest name that exists.
    BadInput
        There is no such kind of frame.
    MissingExtra
        A library that it needs isn't installed.
    """
    _check_kind(kind)
    campaign = lab.find(name)
    return campaign_frame(
        lab, campaign, kind, everywhere=campaign.is_all_of(name), own_columns=own_columns
    )


def campaign_frame(
    lab: Lab, campaign: Campaign, kind: str, *, everywhere: bool, own_columns: bool
) -> Any:
    """Read the results of a campaign, or of all campaigns of its experiment: ``everywhere``.

    Otherwise as :func:`results_frame`.
    """
    from fieldlab.store.arrow import arrow_table
    from fieldlab.store.extracts import result_rows

    _check_kind(kind)
    with lab.database.read() as connection:
        table = arrow_table(
            result_rows(connection, campaign, everywhere=everywhere, own_columns=own_columns)
        )
    return _frame_of(table, kind)


def _check_kind(kind: str) -> None:
    """Refuse a kind of frame that doesn't exist, before anything is read."""
    if kind not in KINDS:
        raise BadInput(
            f"There is no kind of frame '{kind}'",
            remedy=nearest(kind, KINDS) or f"Kinds: {', '.join(KINDS)}",
            key=("kind",),
        )


def _frame_of(table: pa.Table, kind: str) -> Any:
    """Make a frame of an Arrow table, of which nothing may be used afterwards."""
    if kind == "pandas":
        return pandas_frame(table)
    if kind == "polars":
        try:
            import polars as pl
        except ImportError as error:
            raise MissingExtra("polars", "A polars DataFrame") from error
        return pl.from_arrow(table)
    return table


def pandas_frame(table: pa.Table) -> pd.DataFrame:
    """Make a pandas DataFrame of columns, each of its real type.

    ======== ==================================================
    boolean  bool, or boolean where values are missing
    integer  int64, or Int64 where values are missing
    real     float64; what is missing is NaN
    text     what pandas holds texts in
    moment   datetime64[us, UTC]
    ======== ==================================================
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtra("notebook", "A pandas DataFrame") from error
    columns: dict[str, Any] = {}
    for name in table.column_names:
        columns[name] = _series(table.column(name), pd)
        table = table.drop_columns([name])  # its memory goes as soon as pandas has it
    return pd.DataFrame(columns, copy=False)


def _series(column: pa.ChunkedArray, pandas: Any) -> Any:
    import pyarrow as pa

    nullable = {pa.int64(): pandas.Int64Dtype(), pa.bool_(): pandas.BooleanDtype()}
    series = column.to_pandas(types_mapper=nullable.get if column.null_count else None)
    # a single chunk is shared with Arrow, which lets nobody write
    return series.copy() if column.num_chunks == 1 else series
