"""A program that an ordinary user runs: it has a sandbox, harms it, and says what came of it."""

from __future__ import annotations

import json
import subprocess
import sys

from fieldlab.sandbox import Sandbox


def main() -> None:
    """Print one JSON document."""
    with Sandbox.up(hosts=2, disk="16M", reboot_s=0.1) as sandbox:

        def ssh(host: str, *words: str) -> str:
            argv = ["ssh", "-F", str(sandbox.ssh_config), host, *words]
            return subprocess.run(
                argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
            ).stdout.strip()

        def fastest_ms() -> float:
            address = sandbox.host("h2").address
            said = sandbox.run("h1", ["ping", "-c", "2", "-i", "0.01", "-W", "1", address]).stdout
            return min((float(part.split()[0]) for part in said.split("time=")[1:]), default=0.0)

        boot = "cat /proc/sys/kernel/random/boot_id"
        found = {
            "rootless": sandbox.status().rootless,
            "id": ssh("h1", "id -u; hostname"),
            "boot": ssh("h1", boot),
            "usr": ssh("h1", "touch /usr/x && echo written || echo read-only"),
            "config": sandbox.site().ssh_config == str(sandbox.ssh_config),
        }
        sandbox.fault("h1", "delay", "10ms")
        found["late_ms"] = fastest_ms()
        sandbox.clear()
        found["prompt_ms"] = fastest_ms()
        sandbox.fault("h1", "loss", "100%")
        found["lost_ms"] = fastest_ms()
        sandbox.fault("h1", "full-disk")
        found["full"] = sandbox.run("h1", ["bash", "-c", "echo x > /experiments/x"]).stderr
        sandbox.fault("h1", "reboot", "0s")
        sandbox.clear()
        found["boot again"] = ssh("h1", boot)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
