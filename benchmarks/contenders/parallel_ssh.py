"""parallel-ssh: one client with its connections kept open; the program on all hosts each time."""

from __future__ import annotations

import sys
from pathlib import Path

from pssh.clients import ParallelSSHClient  # type: ignore[import-not-found,unused-ignore]


def main() -> None:
    """Run ``true`` so many times, and write down how often it succeeded."""
    trials, key, hosts = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    client = ParallelSSHClient(hosts, user="root", pkey=key, pool_size=len(hosts))
    succeeded = 0
    for _ in range(trials // len(hosts)):
        outputs = client.run_command("true")
        client.join(outputs)
        succeeded += sum(each.exit_code == 0 for each in outputs)
    Path("succeeded").write_text(str(succeeded))


if __name__ == "__main__":
    main()
