"""What attempts are made with, as records."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fieldlab.domain.provenance import (
    LEFT_OUT,
    Code,
    Environment,
    Origin,
    Provenance,
    left_out,
    repository_address,
    without_credentials,
)

CODE = Code(repository="https://git.example.org/a.git", commit="c" * 40, branch="main")
ENVIRONMENT = Environment(interpreter="CPython 3.11.2", platform="Linux", packages={"numpy": "2"})
PROVENANCE = Provenance(code=CODE, environment=ENVIRONMENT)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("https://ada:pass@git.example.org/a", "https://git.example.org/a"),
        ("https://token@git.example.org/a", "https://git.example.org/a"),
        ("https://ada:p@ss@git.example.org/a@b", "https://git.example.org/a@b"),
        ("HTTP://ada:pass@h:8080/a", "HTTP://h:8080/a"),
        ("ssh://git:pass@h/a", "ssh://git@h/a"),
        ("ssh://git@h/a", "ssh://git@h/a"),
        ("git@h:ada/a.git", "git@h:ada/a.git"),
        ("--url=postgresql://ada:pass@h/lab", "--url=postgresql://ada@h/lab"),
        ("a https://x:y@h and ftp://u:v@h", "a https://h and ftp://u@h"),
        ("/srv/git/a@b.git", "/srv/git/a@b.git"),
        ("sqlite:///lab.db", "sqlite:///lab.db"),
        ("file:///srv/a", "file:///srv/a"),
    ],
)
def test_addresses_lose_passwords_and_tokens(text: str, plain: str) -> None:
    assert without_credentials(text) == plain


def test_an_address_loses_what_stands_behind_a_question_mark() -> None:
    assert repository_address("https://h/a.git?private_token=x#y") == "https://h/a.git"
    assert repository_address("/srv/why?/a") == "/srv/why?/a"
    assert repository_address("ada:secret@host:a.git") == "ada@host:a.git"
    assert repository_address("git@host:a/b.git") == "git@host:a/b.git"


@pytest.mark.parametrize(
    "change",
    [
        {"code": None},
        {"code": replace(CODE, dirty=True)},
        {"code": replace(CODE, dirty=None)},
        {"code": replace(CODE, dirty=True, patch="diff")},
        {"environment": replace(ENVIRONMENT, packages={"numpy": "3"})},
        {"environment": replace(ENVIRONMENT, lock_sha256="0")},
    ],
    ids=str,
)
def test_equal_provenances_have_one_digest_and_others_another(change: dict[str, Any]) -> None:
    again = Provenance(code=replace(CODE), environment=replace(ENVIRONMENT))
    assert again.digest == PROVENANCE.digest
    assert replace(PROVENANCE, **change).digest != PROVENANCE.digest


def test_a_patch_says_what_it_leaves_out() -> None:
    patch = f"{LEFT_OUT}a\n{LEFT_OUT}b c\ndiff --git a/x b/x\n+x\n{LEFT_OUT}no\n"
    assert left_out(patch) == ["a", "b c"]
    assert left_out("") == []


def test_an_origin_says_all_but_patch_and_process_number() -> None:
    code = replace(CODE, dirty=True, patch="diff")
    origin = Origin(host="bench", pid=7, provenance=replace(PROVENANCE, code=code))
    assert origin.document() == replace(origin, pid=8).document()
    assert origin.document()["code"]["dirty"] is True
    assert "patch" not in origin.document()["code"]
    assert origin.patch == "diff"
    bare = Origin(host="bench")
    assert (bare.document()["code"], bare.document()["environment"], bare.patch) == ({}, {}, "")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (CODE, "cccccccccc of https://git.example.org/a.git (main)"),
        (
            replace(CODE, dirty=True),
            "cccccccccc of https://git.example.org/a.git (main), with changes",
        ),
        (replace(CODE, commit="", branch=""), "no commit of https://git.example.org/a.git"),
    ],
    ids=str,
)
def test_code_is_named_in_a_line(code: Code, text: str) -> None:
    assert str(code) == text
