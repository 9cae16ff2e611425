"""Configurations and status spreadsheets as AutoPerf has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

QOS: dict[str, list[Any]] = {
    "duration_secs": [30],
    "datalen_bytes": [100],
    "pub_count": [1, 50],
    "sub_count": [1, 50],
    "use_reliable": [True, False],
    "use_multicast": [False],
    "durability_level": [0],
    "latency_count": [100],
}


def machine(name: str, role: str, ip: str, **more: Any) -> dict[str, Any]:
    """Write a machine as the first generations did."""
    return {
        "machine_name": name,
        "participant_allocation": role,
        "ip": ip,
        "ssh_key_path": "~/.ssh/id_rsa",
        "username": "pi",
        "perftest_exec_path": "~/rti/perftest_publisher",
        **more,
    }


MACHINES = [machine("p1", "pub", "10.0.0.1"), machine("p2", "sub", "10.0.0.2")]


def campaign(**changes: Any) -> dict[str, Any]:
    """Write a campaign of the middle generation; a value of None takes a key away."""
    whole = {
        "campaign_name": "PCG #1",
        "combination_generation_type": "pcg",
        "qos_settings": QOS,
        "slave_machines": MACHINES,
        **changes,
    }
    return {key: value for key, value in whole.items() if value is not None}


def write(folder: Path, *campaigns: dict[str, Any], name: str = "bench.json") -> Path:
    """Write a configuration."""
    path = folder / name
    path.write_text(json.dumps(list(campaigns), indent=2))
    return path


HEADING = (
    "start_timestamp,end_timestamp,test_name,pings_count,ssh_check_count,end_status,"
    "attempt_number,qos_settings"
)


def status_row(test: str, status: str = "success", **changes: str) -> str:
    """Write a row of a status spreadsheet."""
    cells = {
        "start": "2024-01-01 10:00:00",
        "end": "2024-01-01 10:01:00",
        "test": test,
        "pings": "1",
        "ssh": "1",
        "status": status,
        "attempt": "1",
        "qos": "",
        **changes,
    }
    return ",".join(cells.values())


def write_ess(folder: Path, *rows: str, heading: str = HEADING) -> Path:
    """Write a status spreadsheet."""
    path = folder / "ess.csv"
    path.write_text("\n".join([heading, *rows]) + "\n")
    return path
