"""Reading the state of the code from real repositories."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from fieldlab.domain.provenance import LEFT_OUT, Code, left_out
from fieldlab.hosts import git, work_tree
from fieldlab.hosts.work_tree import read_work_tree
from tests.repositories import Repository
from tests.waiting import wait_until


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.make(tmp_path / "repository", study_py="one = 1\n", notes_txt="notes\n")


def code_of(repository: Repository, folder: str = ".", *, patch: bool = True) -> Code:
    found = read_work_tree(repository.top / folder, patch=patch)
    assert not found.trouble
    assert found.code is not None
    assert found.top == repository.top
    return found.code


def test_a_committed_tree_is_its_commit(repository: Repository) -> None:
    code = code_of(repository)
    assert code == Code(
        repository=str(repository.top),
        commit=repository.git("rev-parse", "HEAD"),
        branch="main",
        dirty=False,
        patch=None,
    )


def test_a_folder_below_belongs_to_the_repository(repository: Repository) -> None:
    (repository.top / "deep" / "er").mkdir(parents=True)
    (repository.top / "study.py").write_text("one = 2\n")
    assert code_of(repository, "deep/er") == code_of(repository)
    assert "study.py" in (code_of(repository, "deep/er").patch or "")


def snapshot(top: Path) -> dict[str, bytes]:
    """Read all files of a work tree."""
    paths = [path for path in top.rglob("*") if ".git" not in path.parts]
    return {
        str(path.relative_to(top)): bytes(path.readlink())
        if path.is_symlink()
        else path.read_bytes() + bytes([bool(path.stat().st_mode & stat.S_IXUSR)])
        for path in paths
        if path.is_symlink() or path.is_file()
    }


def test_a_patch_gives_back_everything_that_is_not_committed(
    repository: Repository, tmp_path: Path
) -> None:
    repository.git("rm", "--quiet", "notes.txt")
    (repository.top / "staged.py").write_text("staged = True\n")
    repository.git("add", "staged.py")
    (repository.top / "staged.py").write_text("staged = False\n")
    (repository.top / "study.py").write_text("one = 'eins'\nwith_umlaut = 'ä'\n")
    (repository.top / "study.py").chmod(0o755)
    (repository.top / "new folder").mkdir()
    (repository.top / "new folder" / "néw\n.py").write_text("no end of line")
    (repository.top / "image.png").write_bytes(bytes(range(256)) * 8)
    (repository.top / "link").symlink_to("study.py")
    (repository.top / ":(top)odd*name").write_text("odd\n")
    patch = code_of(repository).patch
    assert patch
    assert not left_out(patch)
    other = repository.clone(tmp_path / "other")
    (tmp_path / "changes.patch").write_text(patch)
    other.git("apply", tmp_path / "changes.patch")
    assert snapshot(other.top) == snapshot(repository.top)


def test_reading_leaves_the_repository_as_it_is(repository: Repository) -> None:
    (repository.top / "staged.py").write_text("staged = True\n")
    repository.git("add", "staged.py")
    (repository.top / "new.py").write_text("new = True\n")
    before = repository.git("status", "--porcelain")
    files = {p: p.stat().st_mtime_ns for p in repository.top.rglob("*") if p.is_file()}
    assert "new.py" in (code_of(repository).patch or "")
    assert {p: p.stat().st_mtime_ns for p in repository.top.rglob("*") if p.is_file()} == files
    assert repository.git("status", "--porcelain") == before


@pytest.mark.parametrize("change", ["edit", "stage", "new", "delete"])
def test_any_change_makes_it_dirty(repository: Repository, change: str) -> None:
    if change == "delete":
        (repository.top / "study.py").unlink()
    elif change == "new":
        (repository.top / "new.py").write_text("")
    else:
        (repository.top / "study.py").write_text("one = 2\n")
        if change == "stage":
            repository.git("add", "study.py")
    assert code_of(repository).dirty
    assert code_of(repository).patch
    assert code_of(repository, patch=False) == Code(
        repository=str(repository.top),
        commit=repository.git("rev-parse", "HEAD"),
        branch="main",
        dirty=True,
    )


def test_what_git_ignores_is_no_change(repository: Repository) -> None:
    (repository.top / ".gitignore").write_text("*.log\n")
    repository.commit()
    (repository.top / "run.log").write_text("much\n")
    assert code_of(repository).dirty is False


def test_what_running_python_leaves_behind_is_no_change(repository: Repository) -> None:
    for place in ("__pycache__", "deep/__pycache__"):
        (repository.top / place).mkdir(parents=True)
        (repository.top / place / "study.pyc").write_bytes(b"code")
    (repository.top / "deep" / "kept.py").write_text("")
    repository.git("add", "deep/kept.py")
    repository.git("commit", "--quiet", "--message", "more")
    assert code_of(repository).dirty is False
    (repository.top / "new.py").write_text("new = 1\n")
    patch = code_of(repository).patch or ""
    assert "new.py" in patch
    assert "pyc" not in patch


def test_a_repository_without_commits_is_all_new(tmp_path: Path) -> None:
    repository = Repository.make(tmp_path / "young")
    (repository.top / "study.py").write_text("one = 1\n")
    code = code_of(repository)
    assert (code.commit, code.branch, code.dirty) == ("", "main", True)
    assert "+one = 1" in (code.patch or "")
    repository.git("add", "study.py")
    assert "+one = 1" in (code_of(repository).patch or "")


def test_a_detached_head_has_no_branch(repository: Repository) -> None:
    repository.git("checkout", "--quiet", "--detach")
    assert code_of(repository).branch == ""
    assert code_of(repository).commit


def test_worktrees_and_submodules_are_repositories(repository: Repository, tmp_path: Path) -> None:
    repository.git("worktree", "add", "--quiet", tmp_path / "second", "-b", "second")
    second = Repository(tmp_path / "second")
    (second.top / "new.py").write_text("new\n")
    code = code_of(second)
    assert (code.branch, code.dirty) == ("second", True)
    assert "new.py" in (code.patch or "")
    allowed = ("-c", "protocol.file.allow=always")
    repository.git(*allowed, "submodule", "--quiet", "add", tmp_path / "second", "part")
    repository.commit()
    assert code_of(repository).dirty is False
    part = Repository(repository.top / "part")
    assert code_of(part).commit == part.git("rev-parse", "HEAD")
    (part.top / "study.py").write_text("changed\n")
    assert code_of(repository).dirty
    assert "-dirty" in (code_of(repository).patch or "")


@pytest.mark.parametrize(
    ("remotes", "address"),
    [
        ({"origin": "https://ada:secret@git.example.org/a.git"}, "https://git.example.org/a.git"),
        ({"fork": "git@git.example.org:ada/a.git"}, "git@git.example.org:ada/a.git"),
        ({"fork": "https://f.example.org", "origin": "ssh://git@o/a"}, "ssh://git@o/a"),
    ],
)
def test_the_remote_names_the_repository(
    repository: Repository, remotes: dict[str, str], address: str
) -> None:
    for name, url in remotes.items():
        repository.git("remote", "add", name, url)
    assert code_of(repository).repository == address


def test_nothing_of_the_user_s_is_run(repository: Repository, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch '{tmp_path}/sprung'\ncat \"$1\"\n")
    trap.chmod(0o755)
    for key in ("core.fsmonitor", "diff.external", "diff.odd.command", "diff.odd.textconv"):
        repository.git("config", key, str(trap))
    repository.git("config", "diff.noprefix", "true")
    repository.git("config", "color.ui", "always")
    repository.git("config", "core.pager", str(trap))
    for name in ("post-index-change", "pre-commit", "reference-transaction"):
        hook = repository.top / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        shutil.copy(trap, hook)
    (repository.top / ".gitattributes").write_text("*.py diff=odd\n")
    (repository.top / "study.py").write_text("one = 2\n")
    (repository.top / "new.py").write_text("new = 2\n")
    patch = code_of(repository).patch or ""
    assert "\n+one = 2\n" in patch
    assert "+++ b/new.py\n" in patch
    assert not (tmp_path / "sprung").exists()


def test_a_repository_is_found_by_its_folder_alone(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git tells hooks by variables which repository is theirs, and fieldlab may run in one."""
    other = Repository.make(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.top / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.top))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.top / "index"))
    code = code_of(repository)
    assert (code.dirty, code.repository) == (False, str(repository.top))


# --- what doesn't fit ----------------------------------------------------------------------------


def test_new_files_that_are_too_large_are_named_and_left_out(repository: Repository) -> None:
    (repository.top / "data.bin").write_bytes(os.urandom(git.NEW_BYTES + 1))
    (repository.top / "new.py").write_text("new = 1\n")
    (repository.top / "study.py").write_text("one = 2\n")
    patch = code_of(repository).patch or ""
    assert left_out(patch) == ["data.bin"]
    assert "+one = 2" in patch
    assert "+new = 1" in patch
    assert len(patch) < 2_000


def test_many_new_files_are_counted(repository: Repository) -> None:
    for number in range(git.NEW_FILES + 12):
        (repository.top / f"{number:05}.txt").write_text(f"{number}\n")
    patch = code_of(repository).patch or ""
    assert patch.count("\nnew file mode") == git.NEW_FILES
    assert len(left_out(patch)) == 6
    assert left_out(patch)[-1] == "7 more new files"


def test_changes_that_are_too_large_are_left_out(repository: Repository) -> None:
    (repository.top / "notes.txt").write_bytes(os.urandom(2 * git.PATCH_BYTES))
    patch = code_of(repository).patch or ""
    assert patch.startswith(f"{LEFT_OUT}everything, because it is larger than")
    assert len(patch) < 200
    assert code_of(repository).dirty


def test_changes_that_are_no_text_are_left_out(repository: Repository) -> None:
    (repository.top / "study.py").write_bytes(b"one = '\xe4'\n")
    assert left_out(code_of(repository).patch or "") == [
        "everything, because the changes aren't all in UTF-8"
    ]


def test_a_repository_inside_is_left_out(repository: Repository) -> None:
    Repository.make(repository.top / "inner", study_py="two = 2\n")
    assert left_out(code_of(repository).patch or "") == ["inner/"]


# --- what can't be read --------------------------------------------------------------------------


def test_outside_a_repository_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert read_work_tree(tmp_path, patch=True) == work_tree.WorkTree()


def test_a_bare_repository_has_no_code(repository: Repository, tmp_path: Path) -> None:
    repository.git("clone", "--quiet", "--bare", repository.top, tmp_path / "bare")
    assert read_work_tree(tmp_path / "bare", patch=True) == work_tree.WorkTree()


def test_without_git_a_repository_is_a_trouble(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_work_tree(repository.top, patch=True).trouble == "git isn't installed"
    assert read_work_tree(tmp_path, patch=True) == work_tree.WorkTree()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_repository_of_another_user_is_explained(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for path in (repository.top, repository.top / ".git"):
        os.chown(path, 12345, 12345)
    found = read_work_tree(repository.top, patch=True)
    assert found.code is None
    assert f"`git config --global --add safe.directory {repository.top}`" in found.trouble


def test_a_damaged_repository_is_a_trouble(repository: Repository) -> None:
    (repository.top / ".git" / "index").write_bytes(b"nonsense")
    found = read_work_tree(repository.top, patch=True)
    assert "index" in found.trouble
    assert found.code is not None
    assert (found.code.commit, found.code.dirty) == (repository.git("rev-parse", "HEAD"), None)


def test_a_git_that_hangs_is_ended_with_its_children(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nsleep 1000 & echo $! > $PIDS\nwait\n")
    slow.chmod(0o755)
    pids = tmp_path / "pids"
    monkeypatch.setenv("PATH", str(slow.parent), prepend=os.pathsep)
    monkeypatch.setenv("PIDS", str(pids))
    monkeypatch.setattr(git, "PATIENCE_S", 0.5)
    found = read_work_tree(repository.top, patch=True)
    assert (found.code, found.trouble) == (None, "git took too long")
    child = Path("/proc", pids.read_text().strip())
    wait_until(lambda: not _runs(child), "git's child is ended")


def _runs(process: Path) -> bool:
    try:
        return "Z" not in (process / "stat").read_text().split()[2]
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_files_that_differ_between_commits_are_listed(repository: Repository) -> None:
    first = repository.git("rev-parse", "HEAD")
    (repository.top / "study.py").write_text("one = 2\n")
    second = repository.commit()
    said = git.summary_of_changes(repository.top, first, second)
    assert "study.py | 2 +-" in said
    assert git.summary_of_changes(repository.top, first, "f" * 40) == ""
    assert git.summary_of_changes(repository.top, first, "--output=x") == ""
    assert git.summary_of_changes(repository.top / "nowhere", first, second) == ""
