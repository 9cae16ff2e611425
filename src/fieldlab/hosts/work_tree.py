"""The state of the code in a folder: its commit, and a patch of what isn't committed."""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from fieldlab.domain.provenance import LEFT_OUT, Code, repository_address
from fieldlab.hosts.git import (
    ANSWER_BYTES,
    NEW_BYTES,
    NEW_FILES,
    PATCH_BYTES,
    PLAIN_DIFF,
    Git,
    GitTrouble,
)

#: folders that running code makes; they are no change of it, even if git doesn't ignore them
_BY_PRODUCTS = ("__pycache__", ".ipynb_checkpoints")
#: files that are named of those that a patch leaves out
_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkTree:
    """What is known of the code in a folder."""

    #: None: it isn't in a repository, or see ``trouble``
    code: Code | None = None
    #: of the repository
    top: Path | None = None
    #: why git can't say more; empty if it has said all
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class _Status:
    commit: str
    branch: str
    dirty: bool
    #: whether there are files that git neither keeps nor ignores
    new: bool


def read_work_tree(folder: Path, *, patch: bool) -> WorkTree:
    """Read the state of the repository that a folder belongs to.

    Parameters
    ----------
    patch
        Keep what isn't committed.
    """
    git = Git(folder)
    try:
        words = ("--show-toplevel", "--git-path", "index", "--git-path", "objects")
        top, index, objects = git.text("rev-parse", *words).split("\n")
        if not top:
            return WorkTree()
    except ValueError:  # no folder that one would run experiments in is called so
        return WorkTree(trouble="git can't say where the repository begins")
    except GitTrouble as error:
        return WorkTree(trouble=_trouble(folder, str(error)))
    git.folder = Path(top)
    known = WorkTree(top=git.folder)
    try:
        known = replace(known, code=Code(repository=_repository(git), commit="", dirty=None))
        status = _status(git)
    except GitTrouble as error:
        return replace(_with_commit_only(git, known), trouble=str(error))
    assert known.code is not None
    code = replace(known.code, commit=status.commit, branch=status.branch, dirty=status.dirty)
    if patch and status.dirty:
        code = replace(code, patch=_patch(git, status, (folder / index, folder / objects)))
    return replace(known, code=code)


def _trouble(folder: Path, said: str) -> str:
    """Say what keeps git from reading a repository; nothing if there is none to be read."""
    tops = [each for each in (folder, *folder.parents) if (each / ".git").exists()]
    if re.search("dubious ownership|unsafe repository", said):
        words = ("git", "config", "--global", "--add", "safe.directory", str((*tops, folder)[0]))
        return f"git refuses a repository of another user; `{shlex.join(words)}` allows it"
    if not tops or re.search("not a git repository|must be run in a work tree", said):
        return ""
    return said.splitlines()[0]


def _with_commit_only(git: Git, known: WorkTree) -> WorkTree:
    """Add the commit, which is found at once, when looking for changes takes too long."""
    quick = Git(git.folder)
    with suppress(GitTrouble):
        commit = quick.text("rev-parse", "--verify", "--quiet", "HEAD")
        assert known.code is not None
        return replace(known, code=replace(known.code, commit=commit))
    return known


def _repository(git: Git) -> str:
    """Name the repository by the address of its remote: `origin`, or the first that there is."""
    try:
        lines = git.text("config", "--get-regexp", r"^remote\..*\.url$").splitlines()
    except GitTrouble:  # that is how git says that there is none
        lines = []
    remotes = dict(line.partition(" ")[::2] for line in lines)
    remote = remotes.get("remote.origin.url") or next(iter(remotes.values()), "")
    return repository_address(remote) or str(git.folder)


def _status(git: Git) -> _Status:
    words = ("status", "--porcelain=v2", "--branch", "--no-ahead-behind", "-z")
    entries = (
        git.ask(*words, "--untracked-files=normal", cut=True).decode(errors="replace").split("\0")
    )
    heads = dict(
        entry.removeprefix("# ").split(" ", 1) for entry in entries if entry.startswith("# branch.")
    )
    made = re.compile(rf"\? (.*/)?({'|'.join(map(re.escape, _BY_PRODUCTS))})/")
    changes = [each for each in entries if each and not each.startswith("# ")]
    changes = [each for each in changes if not made.fullmatch(each)]
    commit, branch = heads.get("branch.oid", ""), heads.get("branch.head", "")
    return _Status(
        commit="" if commit == "(initial)" else commit,
        branch="" if branch == "(detached)" else branch,
        dirty=bool(changes),
        new=any(entry.startswith("? ") for entry in changes),
    )


def _patch(git: Git, status: _Status, kept_in: tuple[Path, Path]) -> str:
    """Write what isn't committed so that `git apply` gives it back, as far as it can be kept.

    Parameters
    ----------
    kept_in
        The repository's index, and the folder of its objects.
    """
    try:
        base = status.commit or git.text("hash-object", "-t", "tree", "--stdin")
        new, left_out = _new_files(git) if status.new else ([], [])
        if new:
            with suppress(GitTrouble):
                return _noted(left_out, _diff_with(git, base, new, kept_in))
            left_out.append(f"{len(new)} new files")
        return _noted(left_out, _diff(git, base))
    except GitTrouble as error:
        return _noted([f"everything, because {error}"], "")


def _noted(left_out: Sequence[str], patch: str) -> str:
    return "".join(f"{LEFT_OUT}{each}\n" for each in left_out) + patch


def _diff(git: Git, base: str, environ: Mapping[str, str] | None = None) -> str:
    words = ("diff", "--binary", "--full-index", *PLAIN_DIFF, base, "--")
    try:
        text = git.ask(*words, at_most=PATCH_BYTES, environ=environ).decode()
    except UnicodeDecodeError:
        raise GitTrouble("the changes aren't all in UTF-8") from None
    if "\0" in text:
        raise GitTrouble("the changes have characters that no text has")
    return text


def _diff_with(git: Git, base: str, new: Sequence[str], kept_in: tuple[Path, Path]) -> str:
    """Write the changes with new files among them, by a copy of the index that knows them."""
    index, objects = (path.absolute() for path in kept_in)
    quoted = str(objects).replace("\\", "\\\\").replace('"', '\\"')
    with tempfile.TemporaryDirectory(prefix="fieldlab-index-") as scratch:
        copy = Path(scratch, "index")
        with suppress(FileNotFoundError):  # a new repository has none
            shutil.copyfile(index, copy)
        environ = {
            "GIT_INDEX_FILE": str(copy),
            # git writes an object for it, which isn't to stay
            "GIT_OBJECT_DIRECTORY": scratch,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": f'"{quoted}"',
        }
        git.ask("add", "--intent-to-add", "--", *new, environ=environ)
        return _diff(git, base, environ)


def _new_files(git: Git) -> tuple[list[str], list[str]]:
    """List the new files that a patch can hold, and what to say of the others."""
    words = ("ls-files", "--others", "--exclude-standard", "-z")
    without = [f"--exclude={name}/" for name in _BY_PRODUCTS]
    answer = git.ask(*words, *without, cut=True)
    names = [name.decode(errors="surrogateescape") for name in answer.split(b"\0")[:-1]]
    sizes = sorted((_size(git.folder / name), name) for name in names if not name.endswith("/"))
    nested = [name for name in names if name.endswith("/")]
    kept: list[str] = []
    total = 0
    for size, name in sizes[:NEW_FILES]:
        total += size
        if total > NEW_BYTES:
            break
        kept.append(name)
    others = [*(name for _, name in sizes[len(kept) :]), *nested]
    named = [_printable(name) for name in sorted(others)[:_NAMED]]
    if len(others) > _NAMED:
        more = "more" if len(answer) < ANSWER_BYTES else "more at least"
        named.append(f"{len(others) - _NAMED:,} {more} new files")
    return kept, named


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return PATCH_BYTES


def _printable(name: str) -> str:
    return name if name.isprintable() else name.encode("unicode_escape").decode()
