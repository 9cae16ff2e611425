"""Where attempts come from, as people and programs see it: run, explain, attempts, export, diff."""

from __future__ import annotations

import csv
import getpass
import io
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.program import document, finish, invoke, start, write_experiment
from tests.repositories import Repository

REFUSE = '[provenance]\ndirty = "refuse"\n'


@pytest.fixture
def repository(folder: Path) -> Repository:
    """Stand in a repository whose newest commit has an experiment."""
    write_experiment(folder, a="[1, 2]")
    repository = Repository.make(folder)
    (folder / ".gitignore").write_text("__pycache__\n")
    repository.git("remote", "add", "origin", "https://ada:secret@git.example.org/sums.git")
    repository.commit()
    return repository


def provenances(folder: Path) -> list[tuple[str, str, int, str | None]]:
    with closing(sqlite3.connect(folder / ".fieldlab" / "lab.db")) as connection:
        query = 'SELECT repository, "commit", dirty, patch FROM provenances ORDER BY id'
        return connection.execute(query).fetchall()


def test_committed_code_is_run_without_a_word(repository: Repository) -> None:
    commit = repository.git("rev-parse", "HEAD")
    result = invoke("run", "experiment.yaml")
    assert (result.exit_code, "doesn't hold" in result.stderr) == (0, False)
    assert provenances(repository.top) == [("https://git.example.org/sums.git", commit, 0, None)]
    shown = document(invoke("experiment", "show", "sums", "--json"))
    assert shown["commit"] == commit
    assert shown["code_link"] == "https://git.example.org/sums.git"
    assert shown["environment"].startswith("CPython 3.")


def test_changes_are_kept_as_a_patch_and_said_once(repository: Repository) -> None:
    study = repository.top / "study.py"
    study.write_text(f"{study.read_text()}# changed\n")
    code, _, err = finish(start("run", "experiment.yaml", folder=repository.top))
    assert code == 0
    assert err.count("doesn't hold; they are kept as a patch") == 1
    ((_, _, dirty, patch),) = provenances(repository.top)
    assert (dirty, "+# changed" in (patch or "")) == (1, True)


def test_changes_are_not_kept_when_that_is_not_allowed(repository: Repository) -> None:
    (repository.top / "fieldlab.toml").write_text("[provenance]\npatch = false\n")
    result = invoke("run", "experiment.yaml")
    assert "doesn't hold; they aren't kept" in result.stderr
    assert [(dirty, patch) for _, _, dirty, patch in provenances(repository.top)] == [(1, None)]


def test_what_does_not_fit_into_the_patch_is_said(repository: Repository) -> None:
    (repository.top / "data.bin").write_bytes(bytes(1 << 20))
    result = invoke("run", "experiment.yaml")
    assert "they are kept as a patch without data.bin" in result.stderr


def test_uncommitted_code_is_refused_before_anything_is_made(repository: Repository) -> None:
    (repository.top / "fieldlab.toml").write_text(REFUSE)
    result = invoke("run", "experiment.yaml")
    assert result.exit_code == 2
    assert "has changes that aren't committed. Commit it, or allow it" in result.stderr
    assert document(invoke("status", "--json")) == []
    repository.commit()
    assert invoke("run", "experiment.yaml").exit_code == 0


def test_a_campaign_is_not_resumed_with_uncommitted_code(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_experiment(repository.top, "fail_on_three", a="[1, 2, 3]")
    assert invoke("run", "experiment.yaml").exit_code == 1
    monkeypatch.setenv("FIELDLAB_PROVENANCE_DIRTY", "refuse")
    refused = invoke("retry", "sums")
    assert (refused.exit_code, "aren't committed" in refused.stderr) == (2, True)
    assert document(invoke("status", "sums", "--json"))["failed"] == 1, "nothing was queued"
    repository.commit()
    assert invoke("resume", "sums").exit_code == 1


def test_code_outside_a_repository_is_refused_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIELDLAB_PROVENANCE_DIRTY", "refuse")
    result = invoke("run", write_experiment(folder))
    assert (result.exit_code, "isn't in a git repository" in result.stderr) == (2, True)
    monkeypatch.delenv("FIELDLAB_PROVENANCE_DIRTY")
    assert invoke("run", "experiment.yaml").exit_code == 0


def test_explain_says_where_an_attempt_comes_from(repository: Repository) -> None:
    (repository.top / "new.py").write_text("new = 1\n")
    finish(start("run", "experiment.yaml", folder=repository.top))
    commit = repository.git("rev-parse", "HEAD")
    code = f"{commit[:10]} of https://git.example.org/sums.git (main), with changes"
    shown = invoke("explain", "sums", "a=1").stdout
    assert f"  code {code}\n" in shown
    assert f"  by {getpass.getuser()} with `" in shown
    assert f"run experiment.yaml` in {repository.top}\n" in shown
    campaign = invoke("explain", "sums").stdout
    assert f"code      {code}\n" in campaign
    assert f"run by    {getpass.getuser()} on {socket.gethostname()}\n" in campaign
    (attempt,) = document(invoke("explain", "sums", "a=1", "--json"))["attempts"]
    assert (attempt["commit"], attempt["dirty"]) == (commit, True)
    assert attempt["origin"]["code"]["branch"] == "main"
    assert "+new = 1" in attempt["origin"]["patch"]


def test_attempts_and_their_export_name_commit_host_and_user(repository: Repository) -> None:
    invoke("run", "experiment.yaml")
    commit = repository.git("rev-parse", "HEAD")
    assert commit[:8] in invoke("attempts", "sums").stdout
    whence = {
        "commit": commit,
        "host": socket.gethostname(),
        "user": getpass.getuser(),
    }
    for each in document(invoke("attempts", "sums", "--json")):
        assert whence | {"dirty": False} == {key: each[key] for key in (*whence, "dirty")}
    text = invoke("export", "sums", "-", "--what", "attempts").stdout
    for row in csv.DictReader(io.StringIO(text, newline="")):
        assert whence | {"dirty": "false"} == {key: row[key] for key in (*whence, "dirty")}
    text = invoke("export", "sums", "-").stdout
    assert {row["commit"] for row in csv.DictReader(io.StringIO(text, newline=""))} == {commit}


# --- diff ----------------------------------------------------------------------------------------


def test_a_campaign_does_not_differ_from_itself(repository: Repository) -> None:
    invoke("run", "experiment.yaml")
    result = invoke("diff", "sums.1", "sums")
    assert (result.exit_code, result.stdout) == (0, "Nothing differs between sums.1 and sums.1\n")
    assert document(invoke("diff", "sums", "sums.1", "--json")) == {
        "a": "sums.1",
        "b": "sums.1",
        "differences": [],
        "files": None,
        "patches": None,
    }


def test_what_differs_between_campaigns_is_listed(repository: Repository) -> None:
    invoke("run", "experiment.yaml")
    write_experiment(repository.top, a="[1, 2, 3]", more="timeout: 30 s")
    (repository.top / "other.py").write_text("other = 1\n")
    second = repository.commit()
    (repository.top / "new.py").write_text("new = 1\n")
    invoke("run", "experiment.yaml")
    found = document(invoke("diff", "sums.1", "sums.2", "--json"))
    listed = {(each["part"], *each["key"]): each for each in found["differences"]}
    assert listed.keys() == {
        ("definition", "space", "matrix", "a"),
        ("definition", "timeout_s"),
        ("code", "commit"),
        ("code", "dirty"),
        ("outcome", "succeeded"),
        ("outcome", "skipped"),
        ("outcome", "attempts"),
    }
    assert listed["code", "commit"]["b"] == second
    assert "other.py" in found["files"]
    assert found["patches"]["a"] == ""
    assert "+new = 1" in found["patches"]["b"]
    shown = invoke("diff", "sums.1", "sums.2").stdout
    assert "  space.matrix.a: [1, 2] → [1, 2, 3]\n" in shown
    assert " other.py " in shown
    assert "changes that weren't committed, in sums.2 only" in shown
    assert "identity" not in shown


def test_patches_are_compared(repository: Repository) -> None:
    for number, axis in (("1", "[1]"), ("2", "[1, 2]")):
        (repository.top / "new.py").write_text(f"new = {number}\n")
        write_experiment(repository.top, a=axis)
        invoke("run", "experiment.yaml")
    shown = invoke("diff", "sums.1", "sums.2").stdout
    assert "changes that weren't committed, compared\n--- sums.1\n+++ sums.2\n" in shown
    assert "\n-+new = 1\n" in shown
    assert "\n++new = 2\n" in shown


def test_several_states_of_the_code_are_all_shown(repository: Repository) -> None:
    write_experiment(repository.top, "fail_on_three", a="[1, 2, 3]")
    first = repository.commit()
    invoke("run", "experiment.yaml")
    (repository.top / "mended").touch()
    second = repository.commit()
    invoke("retry", "sums")
    write_experiment(repository.top, "fail_on_three", a="[1, 2, 3, 4]")
    third = repository.commit()
    invoke("run", "experiment.yaml")
    shown = invoke("diff", "sums.1", "sums.2").stdout
    assert f"  commit:\n    - {first} and {second}\n    + {third}\n" in shown
    found = document(invoke("diff", "sums.1", "sums.2", "--json"))["differences"]
    (commit,) = [each for each in found if each["key"] == ["commit"]]
    assert (commit["a"], commit["b"]) == ({"several": [first, second]}, third)
    assert f"{first[:10]} of" in invoke("explain", "sums.1").stdout
    assert f"{second[:10]} of" in invoke("explain", "sums.1").stdout


def test_attempts_are_compared_with_their_results(repository: Repository) -> None:
    write_experiment(repository.top, "fail_on_three", a="[1, 3]")
    invoke("run", "experiment.yaml")
    one, three = (
        document(invoke("explain", "sums", f"a={a}", "--json"))["fingerprint"] for a in (1, 3)
    )
    (repository.top / "mended").touch()
    invoke("retry", "sums")
    shown = invoke("diff", f"sums/{one}", f"sums.1/{three[:6]}").stdout
    assert f"sums.1/{one[:8]}/1 → sums.1/{three[:8]}/2\n" in shown
    assert "  parameters.a: 1 → 3\n" in shown
    assert "  results.total: 1 → 3 (+200.0%)\n" in shown
    again = document(invoke("diff", f"sums/{three}/1", f"sums/{three}/2", "--json"))
    keys = {(each["part"], *each["key"]): each for each in again["differences"]}
    assert ("trial", "parameters", "a") not in keys
    assert keys["outcome", "status"]["a"] == "ValueError: three is no good"
    assert keys["outcome", "results", "total"] == {
        "part": "outcome", "key": ["results", "total"], "b": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("sums/ffffff", "No trial of sums that has run begins with 'ffffff'"),
        ("sums/xyz", "'xyz' names no trial"),
        ("sums/", "'sums/' names no attempt"),
        ("sums/7092e2/one", "names no attempt"),
        ("sums/7092e2/1/2", "names no attempt"),
        ("summs", "Did you mean"),
        ("ATTEMPT", "only one of them is a campaign"),
        ("ATTEMPT/7", "There is no attempt 7 of trial"),
    ],
)
def test_what_can_not_be_compared_is_explained(folder: Path, other: str, said: str) -> None:
    invoke("run", write_experiment(folder, a="[1]"))
    print_ = document(invoke("explain", "sums", "a=1", "--json"))["fingerprint"]
    result = invoke("diff", "sums", other.replace("ATTEMPT", f"sums/{print_}"))
    assert result.exit_code == 2
    assert said in result.stderr
