"""Reading AutoPerf's configurations: JSON and TOML, in the three generations of their keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fieldlab.definitions.reader import read_plain
from fieldlab.domain.errors import BadInput, Problem, nearest
from fieldlab.domain.fields import Key
from fieldlab.workflows.options import Options
from fieldlab.workflows.perftest.machines import Machine, read_machines
from fieldlab.workflows.perftest.noise import read_noise, read_rate
from fieldlab.workflows.perftest.parameters import PARAMETERS, TestName, fault_of
from fieldlab.workflows.perftest.spellings import naming

#: what a key is called in the three generations, the oldest first
_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "name": ("experiment_name", "campaign_name", "name"),
    "generation": ("combination_generation_type", "gen_type"),
    "count": ("rcg_target_test_count", "total_experiments"),
    "failures": ("quit_after_n_failed_tests", "quit_after_n_tests", "max_failures"),
    "retries": ("retry_failed_tests_n_times", "max_retries"),
    "restarts": ("restart_after_retries",),
    "tests": ("custom_test_list", "experiment_names"),
    "resume": ("resuming_test_name",),
    "noise": ("noise_generation",),
    "rate": ("bw_rate",),
    "qos": ("qos_settings",),
    "machines": ("slave_machines", "machines"),
}
#: failures in a row after which AutoPerf gives up where nothing is said
_FAILURES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignConfig:
    """One campaign of a configuration, checked."""

    name: str
    #: "pcg": all combinations; "rcg": random ones; "list": those of ``tests``
    generation: str
    #: combinations to draw; None: without end
    count: int | None
    #: failures in a row after which to stop; 0: never
    failures: int
    #: further tries of a failed test
    retries: int
    tests: tuple[TestName, ...]
    #: parameter → values
    qos: Mapping[str, list[Any]]
    noise: Mapping[str, Any]
    machines: tuple[Machine, ...]
    #: what has no counterpart or was changed, for people
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Reading:
    """One campaign while it is read."""

    part: Options
    known: dict[str, str]
    notes: list[str] = field(default_factory=list)

    def key(self, meaning: str) -> str:
        """Give the key as it is written, or as it was first called."""
        return self.known.get(meaning, _SPELLINGS[meaning][0])

    def missing(self, meaning: str, remedy: str) -> None:
        """Note that a key isn't there."""
        name = _SPELLINGS[meaning][0]
        self.part.note(f"the key '{name}' is missing", remedy, name)


def read_config(path: Path) -> list[CampaignConfig]:
    """Read a configuration of AutoPerf.

    Raises
    ------
    BadInput
        It can't be used. ``problems`` has everything that is wrong, each with file, line (in JSON
        and YAML), key and what to do.
    """
    data, document = read_plain(path)
    problems = list(document.problems)
    found = [_campaign(part) for part in _campaigns(data, problems)]
    if problems:
        located = [each if each.file else document.located(each) for each in problems]
        raise BadInput.of(sorted(located, key=lambda each: each.line))
    return found


def locate(path: Path, problems: list[Problem]) -> BadInput:
    """Make the error of problems that were found after a configuration had been read."""
    document = read_plain(path)[1]
    return BadInput.of([document.located(each) for each in problems])


def _campaigns(data: Any, problems: list[Problem]) -> list[Options]:
    """List the campaigns of a file: its list, or that under ``campaigns``; one may stand alone."""
    root: Key = ()
    if isinstance(data, Mapping) and ("campaigns" in data or "experiments" in data):
        name = "campaigns" if "campaigns" in data else "experiments"
        data, root = data[name], (name,)
    elif isinstance(data, Mapping) and "qos_settings" in data:
        return [Options(data, (), problems)]
    if not isinstance(data, list) or not data:
        what = "this is no configuration of AutoPerf: a list of campaigns, at least one"
        remedy = "Name a JSON file with [{…}], or a TOML file with [[campaigns]]"
        problems.append(Problem(what=what, remedy=remedy, key=root))
        return []
    whole = Options({"campaigns": data}, root, problems)
    found = []
    for place, entry in enumerate(data):
        if isinstance(entry, Mapping):
            found.append(Options(entry, (*root, place), problems))
        else:
            whole.note(f"{entry!r} is no campaign", "Write a mapping: {…}", place)
    return found


def _campaign(part: Options) -> CampaignConfig:
    read = _Reading(part, naming(part, _SPELLINGS))
    if "name" not in read.known:
        read.missing("name", "Give the campaign a name")
    if "machines" not in read.known:
        read.missing("machines", "List the machines, at least one for pub and one for sub")
    tests = _tests(read)
    generation = "list" if tests or _has_list(read) else _generation(read)
    noise = read_noise(part.part(read.key("noise"))) if "noise" in read.known else {}
    if "rate" in read.known and (rate := read_rate(part, read.key("rate"))):
        noise["rate"] = rate
    _note_what_is_not_needed(read)
    _note_how_it_gives_up(read)
    count = part.whole(read.key("count"), 0)
    return CampaignConfig(
        name=part.text(read.key("name"), "campaign"),
        generation=generation,
        count=count or None,
        failures=part.whole(read.key("failures"), _FAILURES),
        retries=part.whole(read.key("retries"), 0),
        tests=tests,
        qos={} if generation == "list" else _qos(read, generation),
        noise=noise,
        machines=read_machines(part, read.key("machines")),
        notes=tuple(read.notes),
    )


def _has_list(read: _Reading) -> bool:
    return bool(read.part.get(read.key("tests")))


def _generation(read: _Reading) -> str:
    key = read.key("generation")
    value = read.part.get(key)
    remedy = 'Write "pcg" for all combinations, "rcg" for random ones'
    if "generation" not in read.known:
        read.missing("generation", remedy)
    elif value == "" and "tests" in read.known:
        read.part.note("the list of tests is empty, so there is no test", remedy, key)
    elif not isinstance(value, str) or value.lower() not in ("pcg", "rcg"):
        hint = nearest(str(value).lower(), ("pcg", "rcg"))
        read.part.note(f"{value!r} is no way to generate combinations", hint or remedy, key)
    else:
        return value.lower()
    return "pcg"


def _tests(read: _Reading) -> tuple[TestName, ...]:
    """Read the list of tests; one that is there twice is taken once."""
    if not _has_list(read):
        return ()
    key, value = read.key("tests"), read.part.get(read.key("tests"))
    if not isinstance(value, list):
        read.part.note("this must be a list of test names", 'Write ["300SEC_…"]', key)
        return ()
    found: dict[TestName, None] = {}
    twice = 0
    for place, entry in enumerate(value):
        try:
            name = TestName.parse(entry if isinstance(entry, str) else repr(entry))
        except BadInput as error:
            read.part.note(error.what, error.remedy, key, place)
        else:
            twice += name in found
            found[name] = None
    if twice:
        read.notes.append(f"{twice} tests of '{key}' are there twice, and are run once")
    if "qos" in read.known and read.part.get(read.key("generation")):
        read.notes.append(f"'{key}' lists the tests, so 'qos_settings' is not used")
    return tuple(found)


def _qos(read: _Reading, generation: str) -> dict[str, list[Any]]:
    if "qos" not in read.known:
        read.missing("qos", f"Write a list of values for each of: {', '.join(PARAMETERS)}")
        return {}
    qos = read.part.part(read.key("qos"))
    qos.only(*PARAMETERS)
    missing = [name for name in PARAMETERS if name not in qos]
    for name in missing:
        qos.note(f"the key '{name}' is missing", "Write a list of its values", name)
    return {name: _values(qos, name, generation) for name in qos.names() if name in PARAMETERS}


def _values(qos: Options, name: str, generation: str) -> list[Any]:
    values = qos.get(name)
    if not isinstance(values, list):
        qos.note(f"{name} needs a list of values, not {values!r}", f"Write [{values}]", name)
        return []
    if not values:
        what = f"{name} has no value, so the product of all values is no test at all"
        qos.note(what, "Write at least one", name)
    seen: set[Any] = set()
    for place, value in enumerate(values):
        if fault := fault_of(name, value):
            qos.note(fault, "Change it, or take it out", name, place)
        elif value in seen and generation == "pcg":
            qos.note(f"{name} has the value {value} twice", "Keep one", name, place)
        else:
            seen.add(value)
    if generation == "rcg" and is_range(values) and values[0] > values[1]:
        qos.note(f"the range begins above its end: {values}", f"Write {values[::-1]}", name)
    return values


def is_range(values: list[Any]) -> bool:
    """Say whether values mean a range to RCG: exactly two integers, which belong to it."""
    return len(values) == 2 and all(type(value) is int for value in values)


def _note_how_it_gives_up(read: _Reading) -> None:
    """Say what the number of failures means: AutoPerf never read the first name of its key."""
    key = read.key("failures")
    value = read.part.get(key)
    if key == "quit_after_n_tests":
        read.notes.append(f"'{key}' is taken for 'quit_after_n_failed_tests': failures in a row")
    if value == 0 and not isinstance(value, bool):
        read.notes.append(
            f"'{key}' is 0, so it never stops however many tests fail in a row; "
            f"AutoPerf's own number was {_FAILURES}: `guard: {{consecutive_failures: {_FAILURES}}}`"
        )


def _note_what_is_not_needed(read: _Reading) -> None:
    if read.part.get(read.key("resume")):
        read.notes.append(
            "'resuming_test_name' is not used: fieldlab knows what is recorded; "
            "`--ess FILE` takes over what AutoPerf has done"
        )
    if read.part.get(read.key("restarts")):
        read.notes.append(
            "'restart_after_retries' is not used: hosts that fail are restarted as their site says"
        )
