"""The program ``true`` on eight hosts: what each system adds to every process over ssh."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks import racing, rivals
from benchmarks.lab import TRUE, LabFolder
from benchmarks.machines import HOSTS, machines, write_profile
from benchmarks.measuring import Run, run
from benchmarks.racing import Contender, Times, ratio
from benchmarks.reporting import Promise, Report
from fieldlab.sandbox import Sandbox

#: how many times the rate of a contender fieldlab promises, by its name
FABRIC, ANSIBLE, PARALLEL = "Fabric", "Ansible, module command", "parallel-ssh"
LEAST = {ANSIBLE: 5.0, FABRIC: 5.0, PARALLEL: 1.0}
TRIALS = 1_000
#: the slow ones do as much as says what one costs
FEWER = 160
EXECUTOR = {"ssh": {"site": "sandbox"}}
_PLAYBOOK = Path(__file__).parent / "contenders" / "playbook.yml"


def measure(folder: Path, rounds: int) -> Report:
    """Race fieldlab against what else runs programs over ssh, eight hosts at a time."""
    with machines() as sandbox:
        contenders = _contenders(sandbox)
        times = racing.race(contenders, rounds, folder)
    return racing.report(
        "hosts",
        "The program `true`, on 8 hosts by ssh",
        contenders,
        times,
        promises=_promises(times),
    )


def _contenders(sandbox: Sandbox) -> list[Contender]:
    entry = partial(_entry, few=HOSTS)
    nothing = "nothing; the program knows its exit code"
    return [
        entry(
            name="fieldlab",
            records="result, trial, attempt with its steps, event, stdout, stderr; rows safe",
            trials=TRIALS,
            race=partial(_fieldlab, sandbox),
            count=lambda place: LabFolder(place).succeeded(),
        ),
        entry(
            name=PARALLEL,
            records=nothing,
            trials=TRIALS,
            race=partial(_parallel_ssh, sandbox),
            needs=("parallel-ssh",),
        ),
        entry(
            name="ssh with ControlMaster, xargs -P8",
            records="nothing",
            trials=TRIALS,
            race=partial(_ssh, sandbox),
            count=lambda place: len((place / "list").read_text().split()),
            needs=("ssh", "xargs"),
        ),
        entry(
            name=FABRIC,
            records=nothing,
            trials=TRIALS,
            race=partial(_fabric, sandbox, "keep"),
            needs=("fabric",),
        ),
        entry(
            name="Fabric, connections made anew",
            records=nothing,
            trials=FEWER,
            race=partial(_fabric, sandbox, "anew"),
            needs=("fabric",),
        ),
        entry(
            name=ANSIBLE,
            records="a line of its output",
            trials=FEWER,
            race=partial(_ansible, sandbox, "command"),
            count=_items,
            needs=("ansible-core",),
        ),
        entry(
            name="Ansible, module raw",
            records="a line of its output",
            trials=TRIALS,
            race=partial(_ansible, sandbox, "raw"),
            count=_items,
            needs=("ansible-core",),
        ),
    ]


def _entry(
    *,
    name: str,
    records: str,
    trials: int,
    race: Callable[[int, Path], Run],
    few: int,
    needs: Sequence[str] = (),
    count: Callable[[Path], int] | None = None,
) -> Contender:
    return Contender(
        name=name,
        records=records,
        trials=trials,
        race=race,
        count=count or _said,
        needs=needs,
        few=few,
    )


def _said(place: Path) -> int:
    return int((place / "succeeded").read_text())


def _items(place: Path) -> int:
    lines = (place / "output.txt").read_text().splitlines()
    return sum(each.startswith("changed:") and "(item=" in each for each in lines)


def _fieldlab(sandbox: Sandbox, trials: int, place: Path) -> Run:
    lab = LabFolder(place)
    write_profile(sandbox, place)
    lab.define(TRUE, trials, executor=EXECUTOR)
    return lab.fieldlab("run", "experiment.json")


def _parallel_ssh(sandbox: Sandbox, trials: int, place: Path) -> Run:
    argv = [rivals.PYTHON, "-m", "benchmarks.contenders.parallel_ssh", str(trials)]
    addresses = [each.address for each in sandbox.site().hosts]
    return run([*argv, str(sandbox.key), *addresses], place)


def _fabric(sandbox: Sandbox, keep: str, trials: int, place: Path) -> Run:
    argv = [rivals.PYTHON, "-m", "benchmarks.contenders.fabric_group", str(trials), keep]
    return run([*argv, str(sandbox.ssh_config), *_names(sandbox)], place)


def _ansible(sandbox: Sandbox, module: str, trials: int, place: Path) -> Run:
    (place / "inventory").write_text("".join(f"{name}\n" for name in _names(sandbox)))
    argv = [rivals.script("ansible-playbook"), "--inventory", "inventory", "--forks", str(HOSTS)]
    environment = {
        "ANSIBLE_SSH_ARGS": f"-F {sandbox.ssh_config} -o ControlMaster=auto -o ControlPersist=2s",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sandbox.folder),
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_HOME": str(place),
        "ANSIBLE_PYTHON_INTERPRETER": "auto_silent",
        "LC_ALL": "C.UTF-8",
    }
    said = f"module={module} rounds={trials // HOSTS}"
    return run([*argv, "--extra-vars", said, str(_PLAYBOOK)], place, environment)


def _ssh(sandbox: Sandbox, trials: int, place: Path) -> Run:
    """Make the connections, run the program through them, and end them, as one shell script."""
    names = _names(sandbox)
    listed = [names[number % HOSTS] for number in range(trials)]
    (place / "list").write_text("".join(f"{name}\n" for name in listed))
    ssh = f"ssh -F {sandbox.ssh_config} -o ControlPath={sandbox.folder}/m-%n"
    lines = [
        *(f"{ssh} -o ControlMaster=yes -o ControlPersist=60 {name} true &" for name in names),
        "wait",
        f"xargs -P {HOSTS} -I HOST {ssh} HOST true",
        *(f"{ssh} -O exit {name} &" for name in names),
        "wait",
    ]
    (place / "script").write_text("set -e\n" + "\n".join(lines) + "\n")
    return run(["sh", "script"], place, stdin=place / "list")


def _names(sandbox: Sandbox) -> list[str]:
    return [each.name for each in sandbox.site().hosts]


def _promises(times: Sequence[Times]) -> list[Promise]:
    ours, others = times[0], {each.contender.name: each for each in times[1:]}
    return [
        Promise(
            what=f"`true` on 8 hosts: attempts a second, times those of {name}",
            limit=f"at least {least:g}",
            measured=ratio(measured),
            kept=measured >= least,
        )
        for name, least in LEAST.items()
        if name in others and (measured := _times_as_many(ours, others[name]))
    ]


def _times_as_many(ours: Times, theirs: Times) -> float:
    """Compare whole runs, where they are as long, and what follows the start: the lesser counts."""
    found = []
    if ours.steady_rate and theirs.steady_rate:
        found.append(ours.steady_rate / theirs.steady_rate)
    if ours.contender.trials == theirs.contender.trials:
        found.append(ours.rate / theirs.rate)
    return min(found, default=0.0)
