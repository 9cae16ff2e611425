"""Hydra: a job per value of ``x``, each of which runs ``true``; the rest of argv is Hydra's."""

from __future__ import annotations

import subprocess
from typing import Any

import hydra  # type: ignore[import-not-found,unused-ignore]
from hydra.core.config_store import (  # type: ignore[import-not-found,unused-ignore]
    ConfigStore,
)


def job(config: Any) -> None:
    """Run one trial."""
    subprocess.run(["true", str(config.x)], check=True)


def main() -> None:
    """Run the jobs that the command line asks for."""
    ConfigStore.instance().store(name="config", node={"x": 0})
    hydra.main(version_base=None, config_path=None, config_name="config")(job)()


if __name__ == "__main__":
    main()
