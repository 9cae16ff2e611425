"""Whether programs are there, asked of a real shell."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from fieldlab.domain.programs import missing_programs_command


@pytest.mark.parametrize("shell", ["sh", "bash", "busybox"])
def test_the_missing_ones_are_printed(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell}")
    there = tmp_path / "my bin" / "it's $there"
    there.parent.mkdir()
    there.write_text("#!/bin/sh\n")
    there.chmod(0o755)
    (tmp_path / "no-program").write_text("")
    (tmp_path / "folder").mkdir()
    asked = ["sh", str(there), "~/my bin/it's $there", "~/no-program", "~/folder", "~/none"]
    asked += ["/none/at all", "no-such-program-'x", "$(touch made)", "-v"]
    _, *words = missing_programs_command(asked)
    prefix = [program, "sh"] if shell == "busybox" else [program]
    ran = subprocess.run(
        [*prefix, *words],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.splitlines() == asked[3:]
    assert not (tmp_path / "made").exists()


def test_nothing_asked_is_nothing_missing() -> None:
    ran = subprocess.run(missing_programs_command(()), capture_output=True, check=True)
    assert ran.stdout == b""
