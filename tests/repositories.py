"""Real git repositories to test against."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    **{f"GIT_{who}_NAME": "Ada Example" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "ada@example.org" for who in ("AUTHOR", "COMMITTER")},
}


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository with its work tree."""

    top: Path

    @classmethod
    def make(cls, top: Path, **files: str) -> Repository:
        """Make one, with its first commit if there are files; ``study_py`` is ``study.py``."""
        top.mkdir(parents=True, exist_ok=True)
        made = cls(top)
        made.git("init", "--quiet", "--initial-branch=main")
        if files:
            for name, text in files.items():
                (top / name.replace("_", ".")).write_text(text)
            made.commit()
        return made

    def git(self, *words: str | Path) -> str:
        """Run git; what it printed."""
        done = subprocess.run(
            ["git", *map(str, words)],
            cwd=self.top,
            env={**os.environ, **_ENVIRONMENT},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, message: str = "a step") -> str:
        """Commit everything; the commit's hash."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def clone(self, top: Path) -> Repository:
        """Make another one, at the newest commit."""
        self.git("clone", "--quiet", self.top, top)
        return Repository(top)
