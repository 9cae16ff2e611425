"""Checking a definition's plain data part by part, and filling in the defaults."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from fieldlab.definitions.documents import Places
from fieldlab.definitions.hints import suggestion
from fieldlab.definitions.model import (
    CommandTool,
    ExperimentFile,
    FunctionTool,
    Guard,
    LocalExecutor,
    Retry,
    SshExecutor,
)
from fieldlab.definitions.placeholders import unknown_placeholders
from fieldlab.definitions.problems import keys_of, shown, translated
from fieldlab.definitions.space_model import Space
from fieldlab.definitions.validators import as_word
from fieldlab.domain.definition import Definition, ExecutorSpec, ToolSpec
from fieldlab.domain.errors import BadInput, Problem, nearest
from fieldlab.domain.fields import Key
from fieldlab.domain.noise import noise_of
from fieldlab.domain.policies import FailureGuard, RetryPolicy

_EXECUTORS: dict[str, type[BaseModel]] = {"local": LocalExecutor, "ssh": SshExecutor}
_Model = TypeVar("_Model", bound=BaseModel)
_MAPPING = "a mapping (key: value)"


@dataclass(slots=True)
class Checked:
    """A definition as far as it could be read, and everything wrong with it so far."""

    problems: list[Problem] = field(default_factory=list)
    top: ExperimentFile | None = None
    tool: ToolSpec | None = None
    executor: ExecutorSpec | None = None
    #: the space as written; None when it isn't a mapping
    space: Mapping[str, Any] | None = None
    command: CommandTool | None = None
    #: the words of the command and its environment as the file has them, before they became text
    words: dict[Key, Any] = field(default_factory=dict)

    def definition(self, folder: str) -> Definition:
        """Put the definition together; there must be no problems."""
        top, tool, executor = self.top, self.tool, self.executor
        assert top is not None
        assert tool is not None
        assert executor is not None
        return Definition(
            name=top.name,
            tool=tool,
            space=self.space or {},
            executor=executor,
            retry=_retry(top.retry),
            guard=FailureGuard(consecutive_failures=top.guard.consecutive_failures),
            timeout_s=top.timeout,
            noise=self.noise,
            description=top.description,
            project=top.project,
            experimenter=top.experimenter,
            funding=top.funding,
            folder=folder,
        )

    @property
    def noise(self) -> dict[str, Any]:
        """The noise as stated, without what isn't."""
        stated = self.top.noise if self.top else None
        return stated.model_dump(exclude_defaults=True) if stated else {}

    def parameter_problems(self, names: Collection[str]) -> Iterator[Problem]:
        """Find what doesn't fit the parameters: placeholders, and results of the same name."""
        try:
            noise_of(self.noise, dict.fromkeys(names))
        except BadInput as error:
            yield from error.problems
        if self.command is None:
            return
        texts: list[tuple[Key, str]] = [
            *((("tool", "command", at), word) for at, word in enumerate(self.command.command)),
            *(
                (("tool", "environment", name), word)
                for name, word in self.command.environment.items()
            ),
        ]
        yield from unknown_placeholders(texts, names)
        parameters = {name.lower(): name for name in names}
        for name in self.command.read.values if self.command.read else ():
            if name.lower() in parameters:
                yield Problem(
                    what=f"the result '{name}' has the name of a parameter",
                    remedy="Rename one of them: both are columns of the results",
                    key=("tool", "read", "values", name),
                )

    def word_problems(self, places: Places) -> Iterator[Problem]:
        """Find numbers in a command that would reach the program other than they are written.

        3.10 is the number 3.1, and 010 is 10: fine for a value, wrong for a version or a mode.
        """
        for key, value in self.words.items():
            if isinstance(value, str):
                continue
            written = places.written(key)
            passed = as_word(value)
            if written and written != passed:
                yield Problem(
                    what=f"{written} is read as {passed}, and that is what the program would get",
                    remedy=f'Put it in quotes to pass it as it stands: "{written}"',
                    key=key,
                )


def check(data: Mapping[str, Any], tools: Set[str], executors: Set[str]) -> Checked:
    """Check everything but the space, which is the domain's."""
    checked = Checked()
    checked.top = _validated(ExperimentFile, data, (), checked.problems, _homes())
    space = data.get("space", {})
    checked.space = space if isinstance(space, Mapping) else None
    if "tool" in data and isinstance(data["tool"], Mapping):
        checked.tool = _read_tool(data["tool"], tools, checked)
    if "executor" in data:
        checked.executor = _read_executor(data["executor"], executors, checked.problems)
    else:
        checked.executor = ExecutorSpec()
    return checked


def _homes() -> dict[str, str]:
    """Say where keys belong that are often written at the top."""
    homes = dict.fromkeys(keys_of(Space), "space")
    homes |= dict.fromkeys((*keys_of(CommandTool), *keys_of(FunctionTool)), "tool")
    homes |= dict.fromkeys(keys_of(Retry), "retry")
    homes |= dict.fromkeys(keys_of(Guard), "guard")
    return homes


def _validated(
    model: type[_Model],
    data: object,
    prefix: Key,
    problems: list[Problem],
    homes: dict[str, str] | None = None,
) -> _Model | None:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems.extend(translated(error, model, data, prefix, homes))
        return None


def _retry(retry: Retry) -> RetryPolicy:
    return RetryPolicy(
        attempts=retry.attempts,
        infrastructure_attempts=retry.infrastructure_attempts,
        delay_s=retry.delay,
        backoff=retry.backoff,
        longest_delay_s=retry.longest_delay,
    )


def _read_tool(data: Mapping[str, Any], tools: Set[str], checked: Checked) -> ToolSpec | None:
    problems = checked.problems
    kinds = [name for name in data if name in tools]
    if len(kinds) > 1:
        what = f"there are {len(kinds)} tools: {', '.join(kinds)}"
        problems.append(Problem(what=what, remedy="Keep one of them", key=("tool",)))
        return None
    if not kinds:
        problems.append(_no_kind("tool", data, tools))
        return None
    kind = kinds[0]
    if kind == "function":
        function = _validated(FunctionTool, data, ("tool",), problems)
        if function is None:
            return None
        return ToolSpec(kind=kind, options={"call": function.function.call})
    if kind == "command":
        return _read_command(data, checked)
    return _read_installed(kind, data, problems)


def _read_command(data: Mapping[str, Any], checked: Checked) -> ToolSpec | None:
    command = _validated(CommandTool, data, ("tool",), checked.problems)
    if command is None:
        return None
    checked.command = command
    checked.words = {("tool", "command", at): word for at, word in enumerate(data["command"])}
    for name, word in (data.get("environment") or {}).items():
        checked.words["tool", "environment", name] = word
    options = command.model_dump(include={"environment", "directory", "success"})
    read = command.read.model_dump() if command.read else None
    return ToolSpec(kind="command", options={"argv": command.command, **options, "read": read})


def _read_installed(kind: str, data: Mapping[str, Any], problems: list[Problem]) -> ToolSpec | None:
    options = data[kind] if data[kind] is not None else {}
    for name in data:
        if name != kind:
            remedy = f"Options of '{kind}' go under it: {kind}: {{{name}: …}}"
            what = f"there is no key '{name}' here"
            problems.append(Problem(what=what, remedy=remedy, key=("tool", name)))
    if not isinstance(options, Mapping):
        what = f"the options must be {_MAPPING}, not {shown(options)}"
        problems.append(Problem(what=what, remedy=f"Write {kind}: {{}}", key=("tool", kind)))
        return None
    return ToolSpec(kind=kind, options=dict(options))


def _read_executor(
    data: object, executors: Set[str], problems: list[Problem]
) -> ExecutorSpec | None:
    named = {data: None} if isinstance(data, str) else data
    if not isinstance(named, Mapping) or len(named) != 1:
        remedy = "Write executor: local, or executor: {local: {slots: 4}}"
        what = f"this must be one executor's name, with its options or not, not {shown(data)}"
        problems.append(Problem(what=what, remedy=remedy, key=("executor",)))
        return None
    ((kind, options),) = named.items()
    key: Key = ("executor",) if isinstance(data, str) else ("executor", kind)
    if kind not in executors:
        problems.append(replace(_no_kind("executor", named, executors), key=key))
        return None
    options = {} if options is None else options
    if not isinstance(options, Mapping):
        what = f"the options must be {_MAPPING}, not {shown(options)}"
        problems.append(Problem(what=what, remedy=f"Write {kind}: {{slots: 4}}", key=key))
        return None
    known = _EXECUTORS.get(kind)
    counted = options if known else {k: v for k, v in options.items() if k == "slots"}
    model = _validated(known or LocalExecutor, dict(counted), key, problems)
    if model is None:
        return None
    given = model.model_dump() if known else dict(options)
    slots = given.pop("slots", 0)
    return ExecutorSpec(kind=kind, slots=slots, options=given)


def _no_kind(what: str, data: Mapping[str, Any], known: Set[str]) -> Problem:
    """Make the problem of a tool or executor that isn't there."""
    there = sorted(known)
    named = [name for name in data if what != "tool" or name not in keys_of(CommandTool)]
    if not named:
        remedy = f"Add one of: {', '.join(there)}"
        return Problem(what=f"no {what} is named", remedy=remedy, key=(what,))
    # Of several keys the one that looks most like a tool is the slip.
    name = next((name for name in named if nearest(name, there)), named[0])
    remedy = suggestion(name, there, f"There are: {', '.join(there)}")
    return Problem(what=f"there is no {what} '{name}'", remedy=remedy, key=(what, name))
