"""R and GNU Octave read what fieldlab wrote: as the page shows, and while a campaign writes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.cli.program import end_all, finish, start
from tests.docs.pages import play

PAGE = "how-to/read-from-r-and-matlab.md"
#: rows of each trial, and trials
ROWS, TRIALS = 7, 2000
#: its trials wait until the file `limit` lets them go on
STUDY = f"""\
import pathlib
import time

def spread(x):
    while x > int(pathlib.Path("limit").read_text() or 0):
        time.sleep(0.005)
    return [{{"part": part, "text": f"trial {{x}}"}} for part in range({ROWS})]
"""
EXPERIMENT = f"""\
name: spread
tool: {{function: "study.py:spread"}}
space: {{matrix: {{x: {{range: [1, {TRIALS}]}}}}}}
executor: {{local: {{slots: 2}}}}
"""
READER = f"""\
library(DBI)
lab <- dbConnect(RSQLite::SQLite(), ".fieldlab/lab.db", flags = RSQLite::SQLITE_RO)
limit <- 200
seen <- 0
looks <- 0
repeat {{
  results <- dbGetQuery(lab, "SELECT * FROM results_spread")
  stopifnot(table(results$trial_id) == {ROWS}, nrow(results) >= seen)
  if (nrow(results) == {ROWS * TRIALS}) break
  if (nrow(results) > seen) {{
    looks <- looks + 1
    limit <- limit + 200
    writeLines(as.character(limit), "limit.part")
    file.rename("limit.part", "limit")
  }}
  seen <- nrow(results)
}}
dbDisconnect(lab)
cat(looks > 5, "\\n")
"""


@pytest.fixture(autouse=True)
def _nothing_left_running() -> Iterator[None]:
    yield
    end_all()


@cache
def lacking() -> tuple[str, ...]:
    """Name the Debian packages that are missing here."""
    if shutil.which("Rscript") is None:
        packages = ["r-base-core", "r-cran-dbi", "r-cran-rsqlite"]
    else:
        asked = ["Rscript", "-e", "q(status = !all(c('DBI', 'RSQLite') %in% .packages(TRUE)))"]
        done = subprocess.run(asked, check=False, timeout=60)
        packages = ["r-cran-dbi", "r-cran-rsqlite"] if done.returncode else []
    return (*packages, *([] if shutil.which("octave-cli") else ["octave"]))


def needed(*names: str) -> None:
    missing = [each for each in lacking() if each.startswith(names)]
    if missing:
        pytest.skip(f"needs R or Octave: `make system`, or install {' '.join(missing)}")


def test_the_page_does_what_it_shows(folder: Path) -> None:
    needed("r-", "octave")
    play(PAGE, folder)


def test_r_reads_whole_trials_while_a_campaign_writes(folder: Path) -> None:
    needed("r-")
    (folder / "study.py").write_text(STUDY)
    (folder / "spread.yaml").write_text(EXPERIMENT)
    (folder / "reader.R").write_text(READER)
    (folder / "limit").write_text("200")
    campaign = start("run", "spread.yaml", folder=folder)
    while not any(folder.glob(".fieldlab/attempts/spread.1")):
        assert campaign.poll() is None, finish(campaign)
    done = subprocess.run(
        ["Rscript", "reader.R"], capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.returncode, done.stdout.strip()) == (0, "TRUE"), done.stderr
    assert finish(campaign)[0] == 0
