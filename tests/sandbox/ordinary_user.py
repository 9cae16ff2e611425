"""Being an ordinary user with a range of ids, in a mount namespace that only this test sees."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S

#: gives nobody a range of ids, and makes Python readable where it lies in a closed home
_SCRIPT = """
set -eu
folder=$1 closed=$2 inner=$3; shift 3
echo nobody:500000:65536 > "$folder/ids"
for file in /etc/subuid /etc/subgid; do
    [ -e $file ] || : > $file
    mount --bind "$folder/ids" $file
done
if [ -n "$closed" ]; then
    mkdir "$folder/python"
    mount --bind "$inner" "$folder/python"
    mount -t tmpfs -o mode=755 tmpfs "$closed"
    mkdir -p "$inner"
    mount --bind "$folder/python" "$inner"
fi
cd "$folder"
exec setpriv --reuid nobody --regid nogroup --clear-groups "$@"
"""


def run_as_ordinary_user(argv: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a user who isn't root, in a folder that is open to everybody."""
    if os.geteuid() != 0:
        return subprocess.run(
            argv, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    if shutil.which("newuidmap") is None:
        pytest.skip("newuidmap is missing: install uidmap")
    prefix = Path(sys.base_prefix)
    closed = next((each for each in reversed(prefix.parents) if not _is_open(each)), None)
    words = [str(folder), str(closed or ""), str(prefix)]
    environment = {**os.environ, "HOME": str(folder), "TMPDIR": str(folder)}
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", _SCRIPT, "sh", *words, *argv],
        capture_output=True,
        text=True,
        env=environment,
        timeout=PATIENCE_S,
        check=False,
    )


def _is_open(folder: Path) -> bool:
    return bool(folder.stat().st_mode & 0o001)
