"""Rehearse a benchmark of DDS: virtual hosts, a campaign, and a host that restarts in the middle.

Usage: python run.py [OUT.png]

Needs what `fieldlab sandbox` needs, and ddsperf (Debian: cyclonedds-tools).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import fieldlab
from fieldlab.sandbox import Sandbox

NAME = "dds-bench"
HERE = Path(__file__).parent
#: the host that restarts, and how long it is away
VICTIM, AWAY = "h3", "3s"
#: how often it is looked whether the campaign is so far, s
LOOK_S = 0.05


def main() -> int:
    """Run all of it in the folder of the example; nothing is left running."""
    parser = argparse.ArgumentParser(description="Rehearse a benchmark of DDS.")
    parser.add_argument("picture", nargs="?", type=Path, default=Path("dds-bench.png"))
    picture = parser.parse_args().picture.absolute()
    call("sandbox", "up", "--hosts", "4", "--roles", "pub,sub")
    try:
        code = run_with_a_restart()
        call("attempts", NAME, "--failed")
        call("export", NAME, "results.csv", "--force")
    finally:
        call("sandbox", "down")
    plot = [sys.executable, str(HERE / "plot.py"), str(HERE / "results.csv"), str(picture)]
    subprocess.run(plot, check=True)
    return code


def call(*words: str) -> None:
    """Run a command of fieldlab as it would be typed."""
    print("$ fieldlab", *words, flush=True)
    subprocess.run([sys.executable, "-m", "fieldlab", *words], cwd=HERE, check=True)


def run_with_a_restart() -> int:
    """Run the campaign; as its second trial begins, restart a host that takes part."""
    print("$ fieldlab run experiment.yaml", flush=True)
    command = [sys.executable, "-m", "fieldlab", "run", "experiment.yaml"]
    running = subprocess.Popen(command, cwd=HERE)
    try:
        sandbox = Sandbox.at(HERE / ".fieldlab" / "sandbox")
        for holds in (partial(takes_part, sandbox), has_succeeded, partial(takes_part, sandbox)):
            while running.poll() is None and not holds():
                time.sleep(LOOK_S)
        if running.poll() is None:
            print(f"{VICTIM} restarts now", flush=True)
            sandbox.fault(VICTIM, "reboot", AWAY)
        return running.wait()
    finally:
        running.terminate()
        running.wait()


def takes_part(sandbox: Sandbox) -> bool:
    """Whether a trial runs on the host."""
    return sandbox.run(VICTIM, ["pgrep", "ddsperf"]).returncode == 0


def has_succeeded() -> bool:
    """Whether a trial has succeeded."""
    return bool(fieldlab.open(HERE).campaigns()["succeeded"].sum())


if __name__ == "__main__":
    sys.exit(main())
