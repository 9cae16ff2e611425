"""Fabric: a group with a thread for each host, its connections kept open or made anew each time."""

from __future__ import annotations

import sys
from pathlib import Path

from fabric import Config, ThreadingGroup  # type: ignore[import-not-found,unused-ignore]


def main() -> None:
    """Run ``true`` so many times, and write down how often it succeeded."""
    trials, keep, ssh_config, hosts = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
    group = ThreadingGroup(*hosts, config=Config(runtime_ssh_path=ssh_config))
    succeeded = 0
    for _ in range(trials // len(hosts)):
        results = group.run("true", hide=True, in_stream=False)
        succeeded += sum(each.ok for each in results.values())
        if keep != "keep":
            group.close()
    group.close()
    Path("succeeded").write_text(str(succeeded))


if __name__ == "__main__":
    main()
