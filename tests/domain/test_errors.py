"""Errors: what failed, where, what to do, and codes that scripts can rely on."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from fieldlab.domain import errors
from fieldlab.domain.errors import (
    BadInput,
    Conflict,
    FieldlabError,
    HostUnreachable,
    MissingExtra,
    NotSent,
    Problem,
    RequestTimeout,
    StoreUnavailable,
    nearest,
    render_key,
)

CLASSES = [
    found
    for _, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, FieldlabError)
]


def test_codes_are_stable() -> None:
    assert {found.__name__: found.code for found in CLASSES} == {
        "FieldlabError": "error",
        "BadInput": "bad-input",
        "BadExpression": "bad-expression",
        "NoLab": "no-lab",
        "BadResult": "bad-result",
        "UnknownName": "unknown-name",
        "IllegalTransition": "illegal-transition",
        "Conflict": "conflict",
        "StoreError": "store",
        "StoreUnavailable": "store-unavailable",
        "StoreFull": "store-full",
        "StoreReadOnly": "store-read-only",
        "StoreTooNew": "store-too-new",
        "RequestTimeout": "request-timeout",
        "RequestFailed": "request-failed",
        "ExecutionError": "execution",
        "TrialFailed": "trial-failed",
        "Halted": "halted",
        "HostError": "host-error",
        "HostUnreachable": "host-unreachable",
        "HostLoginRefused": "host-login-refused",
        "HostKeyRefused": "host-key-refused",
        "HostsLost": "hosts-lost",
        "TransferFailed": "transfer-failed",
        "SandboxError": "sandbox",
        "NotSent": "not-sent",
        "MachineError": "machine",
        "MissingExtra": "missing-extra",
    }


def test_only_what_may_pass_is_transient() -> None:
    assert {found for found in CLASSES if found.transient} == {
        Conflict,
        HostUnreachable,
        NotSent,
        RequestTimeout,
        StoreUnavailable,
    }


def test_the_tree_at_the_top_of_the_file_shows_every_error_at_its_place() -> None:
    shown: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^([ │├└─]*)([A-Z]\w+)", line)
        if not found or found.group(2) == "Every":
            continue
        depth = len(found.group(1)) // 4
        path[depth:] = [found.group(2)]
        shown[found.group(2)] = path[depth - 1] if depth else ""
    parents = {
        found.__name__: next(
            (base.__name__ for base in found.__bases__ if issubclass(base, FieldlabError)), ""
        )
        for found in CLASSES
    }
    assert shown == parents


@pytest.mark.parametrize("kind", [found for found in CLASSES if found is not MissingExtra])
def test_the_message_says_what_and_what_to_do(kind: type[FieldlabError]) -> None:
    error = kind("The disk is gone", remedy="Look for it")
    assert str(error) == "The disk is gone. Look for it"
    assert (error.what, error.remedy) == ("The disk is gone", "Look for it")
    assert str(kind("The disk is gone")) == "The disk is gone"


def test_a_missing_extra_says_how_to_install_it() -> None:
    error = MissingExtra("notebook", "An export to Parquet")
    assert str(error) == (
        "An export to Parquet needs the 'notebook' extra, which isn't installed."
        " Install it with `pip install '.[notebook]'` in fieldlab's checkout"
    )


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ((), ""),
        (("space",), "space"),
        (("space", "matrix", 0, "rho"), "space.matrix[0].rho"),
        ((2, "x"), "[2].x"),
    ],
    ids=str,
)
def test_keys_are_written_the_way_people_read_them(key: tuple[str | int, ...], text: str) -> None:
    assert render_key(key) == text


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem(what="it is empty"), "it is empty"),
        (Problem(what="it is empty", remedy="Fill it"), "it is empty. Fill it"),
        (Problem(what="it is empty", file="e.yaml", line=3), "e.yaml:3: it is empty"),
        (Problem(what="it is empty", file="e.yaml"), "e.yaml: it is empty"),
        (
            Problem(what="it is empty", file="e.yaml", line=3, key=("a", 1)),
            "e.yaml:3: a[1]: it is empty",
        ),
        (Problem(what="it is empty", key=("a",), remedy="Fill it"), "a: it is empty. Fill it"),
    ],
    ids=str,
)
def test_a_problem_says_where_it_is(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_several_problems_are_one_error_with_a_line_each() -> None:
    problems = [Problem(what="one", key=("a",)), Problem(what="two", remedy="Mend it")]
    error = BadInput.of(iter(problems))
    assert str(error) == "a: one\ntwo. Mend it"
    assert error.problems == tuple(problems)


def test_a_single_problem_is_kept_as_one() -> None:
    error = BadInput("it is empty", remedy="Fill it", key=("a",))
    assert error.problems == (Problem(what="it is empty", remedy="Fill it", key=("a",)),)


def test_errors_are_also_what_python_calls_them() -> None:
    builtin = {
        "BadInput": ValueError,
        "UnknownName": LookupError,
        "StoreError": RuntimeError,
        "StoreFull": OSError,
        "StoreReadOnly": OSError,
        "MissingExtra": ImportError,
    }
    for name, parent in builtin.items():
        assert issubclass(getattr(errors, name), parent)


@pytest.mark.parametrize(
    ("word", "said"), [("repaet", "Did you mean 'repeat'?"), ("zzz", ""), ("", "")]
)
def test_the_nearest_name_is_suggested(word: str, said: str) -> None:
    assert nearest(word, ("repeat", "order", "seed")) == said


@pytest.mark.parametrize(
    "error", [BadInput("what", remedy="do", key=("a",)), StoreUnavailable("gone", remedy="wait")]
)
def test_errors_cross_a_process_boundary(error: FieldlabError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert copy.what.startswith(error.what)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("It is late", "It is late. Go home"),
        ("Is it late?", "Is it late? Go home"),
        ("It is late.", "It is late. Go home"),
    ],
)
def test_a_sentence_ends_once(what: str, said: str) -> None:
    assert str(FieldlabError(what, remedy="Go home")) == said
    assert str(Problem(what=what, remedy="Go home")) == said
