"""The program ``true``: what each system adds to every process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks import racing, rivals
from benchmarks.lab import TRUE, LabFolder
from benchmarks.measuring import Run, run
from benchmarks.racing import Contender, Times, ratio
from benchmarks.reporting import Promise, Report

#: part of the rate of xargs that fieldlab promises
LEAST_PART = 0.5
XARGS = "xargs"
_SNAKEFILE = Path(__file__).parent / "contenders" / "Snakefile"
_HYDRA = [rivals.PYTHON, "-m", "benchmarks.contenders.hydra_jobs", "--multirun"]


def measure(folder: Path, rounds: int) -> Report:
    """Race fieldlab against xargs, GNU parallel, Snakemake and Hydra, two processes at a time."""
    contenders = _contenders()
    times = racing.race(contenders, rounds, folder)
    return racing.report(
        "commands",
        "The program `true`, two at a time",
        contenders,
        times,
        promises=_promises(times),
    )


def _contenders() -> list[Contender]:
    return [
        Contender(
            name="fieldlab",
            records="the rows as above, stdout, stderr; rows safe",
            trials=4_000,
            race=_fieldlab,
            count=lambda place: LabFolder(place).succeeded(),
        ),
        Contender(
            name=XARGS,
            records="nothing",
            trials=4_000,
            race=_listed("xargs", "-P", "2", "-n", "1", "true"),
            count=lambda place: len((place / "list").read_text().split()),
            needs=("xargs",),
        ),
        Contender(
            name="GNU parallel",
            records="a line of the job log",
            trials=2_000,
            race=_listed("parallel", "--will-cite", "-j", "2", "--joblog", "log", "true"),
            count=lambda place: len((place / "log").read_text().splitlines()) - 1,
            needs=("parallel",),
        ),
        Contender(
            name="Snakemake",
            records="an output file, its metadata, a log",
            trials=200,
            race=_snakemake,
            count=lambda place: len(list((place / "done").iterdir())),
            needs=("snakemake",),
        ),
        Contender(
            name="Hydra (joblib)",
            records="a folder with its configuration and a log",
            trials=100,
            race=_hydra("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
            count=_hydra_folders,
            needs=("hydra-core", "hydra-joblib-launcher"),
        ),
        Contender(
            name="Hydra (basic, one at a time)",
            records="a folder with its configuration and a log",
            trials=100,
            race=_hydra(),
            count=_hydra_folders,
            needs=("hydra-core",),
        ),
    ]


def _fieldlab(trials: int, place: Path) -> Run:
    lab = LabFolder(place)
    lab.define(TRUE, trials)
    return lab.fieldlab("run", "experiment.json")


def _listed(*argv: str) -> Callable[[int, Path], Run]:
    """Run a program that reads the arguments of its commands from its standard input."""

    def race(trials: int, place: Path) -> Run:
        path = place / "list"
        path.write_text("".join(f"{x}\n" for x in range(trials)))
        return run(argv, place, stdin=path)

    return race


def _snakemake(trials: int, place: Path) -> Run:
    argv = [rivals.script("snakemake"), "--cores", "2", "--snakefile", str(_SNAKEFILE)]
    return run([*argv, "--quiet", "all", "--config", f"trials={trials}"], place)


def _hydra(*words: str) -> Callable[[int, Path], Run]:
    def race(trials: int, place: Path) -> Run:
        return run([*_HYDRA, f"x=range(0,{trials})", "hydra.sweep.dir=out", *words], place)

    return race


def _hydra_folders(place: Path) -> int:
    return len(list((place / "out").glob("*/.hydra/config.yaml")))


def _promises(times: list[Times]) -> list[Promise]:
    ours = times[0]
    theirs = next((each for each in times if each.contender.name == XARGS), None)
    if theirs is None:
        return []
    part = ours.rate / theirs.rate
    return [
        Promise(
            what="commands a second, as part of what `xargs -P2` reaches",
            limit=f"at least {LEAST_PART}",
            measured=ratio(part),
            kept=part >= LEAST_PART,
        )
    ]
