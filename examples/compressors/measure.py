"""Compress Python's own sources once with one program at one level, and print what it took.

Usage: python measure.py PROGRAM LEVEL KIB     prints one JSON object
       python measure.py --check               says which programs are there

The corpus is made of files that any machine with Python has: see :func:`corpus`. Standard library
only, so any Python will do.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import IO

#: program → words that make it compress its standard input to its standard output with one thread
PROGRAMS = {
    "gzip": ["--no-name"],
    "bzip2": [],
    "xz": ["--threads=1"],
    "zstd": ["--quiet", "--single-thread"],
}
#: an exit code that tells a missing program from one that fails, as shells do
NOT_FOUND = 127


def corpus(kib: int) -> bytes:
    """Make the first ``kib`` KiB of the standard library's sources, packed into one stream.

    The files come in the order of their names, each with its name and size before it: the same
    bytes wherever the same Python is installed.

    Raises
    ------
    ValueError
        There aren't so many sources.
    """
    root = Path(sysconfig.get_path("stdlib"))
    wanted, stream = kib * 1024, bytearray()
    for name in sorted(path.relative_to(root).as_posix() for path in root.rglob("*.py")):
        if name.startswith(("site-packages/", "dist-packages/", "test/")):
            continue
        text = (root / name).read_bytes()
        stream += f"{name} {len(text)}\n".encode() + text
        if len(stream) >= wanted:
            return bytes(stream[:wanted])
    raise ValueError(f"{root} has {len(stream) // 1024} KiB of sources, not {kib}: ask for less")


def measure(program: str, level: int, data: bytes) -> dict[str, str | int | float]:
    """Compress and decompress once.

    Returns
    -------
    dict
        ``original_bytes``, ``compressed_bytes``, ``ratio``; ``compress_mb_per_s`` and
        ``decompress_mb_per_s``: original megabytes per second of processor time; ``corpus``: the
        first digits of the data's SHA-256.

    Raises
    ------
    RuntimeError
        What came back isn't what went in.
    """
    with tempfile.TemporaryFile() as plain, tempfile.TemporaryFile() as packed:
        plain.write(data)
        compress_s = _run([program, *PROGRAMS[program], f"-{level}", "-c"], plain, packed)
        size = packed.seek(0, os.SEEK_END)
        with tempfile.TemporaryFile() as back:
            decompress_s = _run([program, "-d", "-c"], packed, back)
            back.seek(0)
            if back.read() != data:
                raise RuntimeError(f"{program} -{level} gave back other data than it was given")
    return {
        "original_bytes": len(data),
        "compressed_bytes": size,
        "ratio": len(data) / size,
        "compress_mb_per_s": len(data) / 1e6 / compress_s,
        "decompress_mb_per_s": len(data) / 1e6 / decompress_s,
        "corpus": hashlib.sha256(data).hexdigest()[:12],
    }


def _run(argv: list[str], given: IO[bytes], made: IO[bytes]) -> float:
    """Run a program from one file to another; give its processor time, s.

    That is the same however busy the machine is, or nearly so.
    """
    given.flush()
    given.seek(0)
    process = subprocess.Popen(argv, stdin=given, stdout=made)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, argv)
    return usage.ru_utime + usage.ru_stime


def missing(program: str) -> str:
    """Say what to do about a program that isn't there; empty if it is."""
    if shutil.which(program):
        return ""
    return (
        f"{program} isn't on PATH: install it, then `fieldlab retry compressors`; "
        "or take its block out of experiment.yaml"
    )


def main(words: list[str]) -> int:
    """Read the command line, measure, print; give the exit code."""
    if words == ["--check"]:
        for program in PROGRAMS:
            print(missing(program) or f"{program}: {shutil.which(program)}")
        return 0
    program, level, kib = words
    if program not in PROGRAMS:
        print(f"There is no program '{program}' here, but {', '.join(PROGRAMS)}", file=sys.stderr)
        return 2
    if problem := missing(program):
        print(problem, file=sys.stderr)
        return NOT_FOUND
    print(json.dumps(measure(program, int(level), corpus(int(kib)))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
