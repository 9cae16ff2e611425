"""From what pydantic finds wrong to problems that say what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fieldlab.definitions.hints import suggestion
from fieldlab.domain.errors import BadInput, Problem
from fieldlab.domain.fields import Key

#: pydantic's name of a type error → what was wanted
_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping (key: value)",
    "mapping_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
}
_NUMBERS = {
    "greater_than_equal": ("ge", "{:g} or more"),
    "less_than_equal": ("le", "{:g} or less"),
}


def translated(
    error: ValidationError,
    model: type[BaseModel],
    data: object,
    prefix: Key = (),
    homes: Mapping[str, str] | None = None,
) -> Iterator[Problem]:
    """Translate every error of a validation.

    Parameters
    ----------
    error, model, data
        What was raised by validating ``data`` with ``model``.
    prefix
        Path of the part that was validated.
    homes
        For keys that are often written one level too high: key → where it belongs.
    """
    for details in error.errors(include_url=False):
        # A mapping's own key that is wrong is reported with "[key]" after it.
        loc: Key = tuple(part for part in details["loc"] if part != "[key]")
        what, remedy = _explained(details, model, loc, homes or {})
        yield Problem(what=what, remedy=remedy, key=(*prefix, *_as_written(loc, data)))


def _as_written(loc: Key, data: object) -> Key:
    """Cut a path where a short form was written: ``retry: 3`` has no key ``attempts``."""
    for length, part in enumerate(loc):
        if isinstance(data, Mapping):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return loc[:length]
    return loc


def shown(value: Any) -> str:
    """Write a value the way the user sees it in the file, cut where it gets long."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"


def keys_of(model: type[BaseModel]) -> list[str]:
    """List the keys that a part of a definition may have."""
    return list(model.model_fields)


def _explained(
    details: ErrorDetails, model: type[BaseModel], loc: Key, homes: Mapping[str, str]
) -> tuple[str, str]:
    kind, given = details["type"], details.get("input")
    context = details.get("ctx") or {}
    cause = context.get("error")
    if isinstance(cause, BadInput):
        return cause.what, cause.remedy
    owner = _owner(model, loc)
    if kind == "extra_forbidden":
        return _unknown_key(str(loc[-1]), keys_of(owner), homes)
    # What is wrong with an entry of a list or mapping is explained by what those are.
    named = [str(part) for part in loc if str(part) in owner.model_fields]
    remedy = _described(owner, named[-1]) if named else ""
    if kind == "missing":
        return f"the key '{loc[-1]}' is missing", remedy
    if kind in _WANTED:
        field = owner.model_fields.get(str(loc[-1])) if loc else None
        if given is None and field is not None and field.is_required():
            return "nothing is written here", remedy
        return _wrong_type(_WANTED[kind], given, remedy)
    what = f"{details['msg'][:1].lower()}{details['msg'][1:]}"
    if kind == "too_short":
        what = "the list is empty"
    elif kind in _NUMBERS:
        bound, text = _NUMBERS[kind]
        what = f"this must be {text.format(context[bound])}, not {shown(given)}"
    elif kind == "literal_error":
        what = f"this must be {context['expected']}, not {shown(given)}"
        remedy = suggestion(str(given), _words(context["expected"]), remedy)
    return what, remedy


def _unknown_key(name: str, known: list[str], homes: Mapping[str, str]) -> tuple[str, str]:
    what = f"there is no key '{name}' here"
    if name in homes:
        return what, f"It belongs under '{homes[name]}': indent it"
    return what, suggestion(name, known, f"Keys: {', '.join(known)}")


def _wrong_type(wanted: str, given: Any, remedy: str) -> tuple[str, str]:
    if given is None:
        return "nothing is written here", f"Write {wanted}, or leave it out"
    if wanted == "text" and isinstance(given, bool | int | float):
        return f"this must be text, not {shown(given)}", f'Put it in quotes: "{shown(given)}"'
    return f"this must be {wanted}, not {shown(given)}", remedy


def _owner(model: type[BaseModel], loc: Key) -> type[BaseModel]:
    """Find the model that has the last key of a path."""
    for part in loc[:-1]:
        field = model.model_fields.get(str(part))
        if field is None:
            break
        annotation = field.annotation
        options = [annotation, *get_args(annotation)]
        inner = [each for each in options if isinstance(each, type) and issubclass(each, BaseModel)]
        if not inner:
            break
        model = inner[0]
    return model


def _described(model: type[BaseModel], name: str) -> str:
    field = model.model_fields.get(name)
    if field is None or not field.description:
        return ""
    return re.split(r"[.;] |\.$", field.description)[0]


def _words(expected: str) -> list[str]:
    return [word for word in expected.split("'") if word.strip() not in ("", ",", "or")]
