"""Being nobody for a while: root may write anywhere, so permissions would go untested."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def nobody() -> Iterator[None]:
    """Give up root's rights; who hasn't any is left as is."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def open_folder() -> Iterator[Path]:
    """Make a folder that everybody may use; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="fieldlab-open-"))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        for each in (folder, *folder.rglob("*")):
            each.chmod(0o777)
        shutil.rmtree(folder)
