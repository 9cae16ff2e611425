"""What can be said about funding, projects, experimenters and experiments, and how it is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from fieldlab.domain.errors import BadInput, Problem
from fieldlab.store import tables

#: the column keeps 14 digits, two of them behind the point
LARGEST_BUDGET = Decimal("999999999999.99")

#: turns a user's text into what the column takes; raises BadInput
Reader = Callable[[str], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of entry: its table, and what can be said about one."""

    name: str
    table: sa.Table
    #: field → its reader; the fields are the columns of these names
    readers: Mapping[str, Reader]
    #: field → the kind that it names an entry of; the columns are called ``<field>_id``
    references: Mapping[str, str]

    @property
    def fields(self) -> tuple[str, ...]:
        """What can be set."""
        return (*self.readers, *self.references)


def line(text: str) -> str:
    """Read one line of text."""
    plain = text.strip()
    if not plain.isprintable():
        raise BadInput(
            f"{text[:60]!r} is not one line of text", remedy="Leave control characters out"
        )
    return plain


def paragraphs(text: str) -> str:
    """Read text of any number of lines."""
    plain = text.strip()
    if any(not each.isprintable() for each in re.split(r"[\n\r\t]", plain)):
        raise BadInput(f"{text[:60]!r} is not text", remedy="Leave control characters out")
    return plain


def email(text: str) -> str:
    """Read an e-mail address: something, an @, something, and no spaces."""
    plain = line(text)
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", plain):
        raise BadInput(f"'{plain}' is not an e-mail address", remedy="Write it as name@example.org")
    return plain


def accounts(text: str) -> str:
    """Read charge accounts separated by commas; one named twice counts once."""
    names = [each.strip() for each in line(text).split(",")]
    return ", ".join(dict.fromkeys(each for each in names if each))


def budget(text: str) -> Decimal:
    """Read an amount of money, exactly: 0 or more, with at most two decimals."""
    plain = line(text)
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", plain, re.ASCII):
        raise BadInput(
            f"'{plain}' is not an amount",
            remedy="Write digits with a decimal point, as in 125000.50",
        )
    amount = Decimal(plain)
    if amount < 0:
        raise BadInput(f"the budget {plain} is below 0", remedy="Write 0 or more")
    if amount > LARGEST_BUDGET:
        raise BadInput(f"the budget {plain} is too large", remedy=f"At most {LARGEST_BUDGET:,}")
    cents = amount.quantize(Decimal("0.01"))
    if cents != amount:
        raise BadInput(
            f"the budget {plain} has more than two decimals", remedy=f"Round it, as in {cents}"
        )
    return abs(cents)  # there is a -0.00


def currency(text: str) -> str:
    """Read a currency's code, in the form of ISO 4217: three letters."""
    plain = line(text)
    if not re.fullmatch(r"[A-Za-z]{3}", plain):
        raise BadInput(
            f"'{plain}' is not a currency code", remedy="Write three letters, as in EUR or USD"
        )
    return plain.upper()


def day(text: str) -> date:
    """Read a date of ISO 8601."""
    plain = line(text)
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", plain, re.ASCII):
            return date.fromisoformat(plain)
    except ValueError as error:  # "month must be in 1..12", "day is out of range for month"
        raise BadInput(
            f"'{plain}' is not a date: {error}", remedy="Write a day that the calendar has"
        ) from None
    raise BadInput(f"'{plain}' is not a date", remedy="Write year-month-day, as in 2026-03-31")


def commit(text: str) -> str:
    """Read the hash of a commit, whole or abbreviated: 4 to 64 hexadecimal digits."""
    plain = line(text)
    if not re.fullmatch(r"[0-9a-fA-F]{4,64}", plain):
        raise BadInput(
            f"'{plain}' is not a commit", remedy="Give the hash that `git rev-parse HEAD` prints"
        )
    return plain.lower()


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            name="funding",
            table=tables.funding,
            readers={
                "agency": line,
                "award": line,
                "accounts": accounts,
                "budget": budget,
                "currency": currency,
                "starts_on": day,
                "ends_on": day,
                "note": paragraphs,
            },
            references={},
        ),
        Kind(
            name="project",
            table=tables.projects,
            readers={"title": line, "repository": line, "note": paragraphs},
            references={"funding": "funding", "parent": "project"},
        ),
        Kind(
            name="experimenter",
            table=tables.experimenters,
            readers={
                "full_name": line,
                "email": email,
                "git_account": line,
                "gcp_account": line,
                "aws_account": line,
                "cluster_account": line,
                "note": paragraphs,
            },
            references={},
        ),
        Kind(
            name="experiment",
            table=tables.experiments,
            readers={
                "description": paragraphs,
                "code_link": line,
                "commit": commit,
                "environment": paragraphs,
                "cluster": line,
            },
            references={
                "project": "project",
                "experimenter": "experimenter",
                "funding": "funding",
            },
        ),
    )
}


def read_values(kind: Kind, texts: Mapping[str, str]) -> dict[str, Any]:
    """Read what a user said about an entry; an empty text is no value.

    Raises
    ------
    BadInput
        Some of it can't be used; ``problems`` lists everything, each with its field.
    """
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for field, text in texts.items():
        try:
            values[field] = kind.readers[field](text) if text.strip() else None
        except BadInput as error:
            problems.append(Problem(what=error.what, remedy=error.remedy, key=(field,)))
    if problems:
        raise BadInput.of(problems)
    return values
