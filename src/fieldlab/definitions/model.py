"""The structure of an ``experiment.yaml``, as pydantic models: what is checked key by key.

Text comes in here and nowhere else; inside, :class:`fieldlab.domain.definition.Definition` is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from fieldlab.definitions.space_model import Space
from fieldlab.definitions.validators import (
    as_list,
    as_seconds,
    as_word,
    checked_argument,
    checked_beside,
    checked_call,
    checked_file,
    checked_name,
    checked_pattern,
    checked_result,
    checked_slots,
    checked_variable,
    checked_word,
    full_call,
    full_guard,
    full_retry,
    list_of_words,
    mapping_or_nothing,
)
from fieldlab.domain.definition import MOST_SLOTS, NAME_PATTERN
from fieldlab.domain.errors import BadInput

#: for editors; :func:`parse_duration` decides
_DURATION_PATTERN = r"^\s*[0-9.]+[0-9.A-Za-z\u00b5\u03bc\s]*$"


class Part(BaseModel):
    """Any mapping of a definition: exactly its keys, exactly their types."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


Name = Annotated[
    str,
    AfterValidator(checked_name),
    Field(json_schema_extra={"pattern": f"^{NAME_PATTERN}$"}),
]
Duration = Annotated[
    float,
    BeforeValidator(
        as_seconds,
        json_schema_input_type=Annotated[float, Field(ge=0)]
        | Annotated[str, Field(pattern=_DURATION_PATTERN)],
    ),
]
#: a number, or "{parameter}"
_Noise = float | str
_Code = Annotated[int, Field(ge=0, le=255)]
_Written = bool | int | float | str
Word = Annotated[
    str, BeforeValidator(as_word, json_schema_input_type=_Written), AfterValidator(checked_word)
]
Argument = Annotated[Word, AfterValidator(checked_argument)]


class Retry(Part):
    """How often, and after how long, a failed trial is tried again."""

    attempts: int = Field(
        default=1, ge=1, description="Tries that a trial has in all; 1 is one try, no retry."
    )
    delay: Duration = Field(default=0.0, description='Wait before the first retry: 5, "5s", "1m".')
    backoff: float = Field(
        default=2.0, ge=1, description="Each further wait is this many times the one before."
    )
    longest_delay: Duration = Field(default=300.0, description="No wait is longer than this.")
    infrastructure_attempts: int = Field(
        default=10,
        ge=0,
        description="Further tries after failures of hosts, links and disks, which don't count as "
        "tries of the trial.",
    )


class Guard(Part):
    """Stops a campaign in which nothing works any more."""

    consecutive_failures: int = Field(
        default=10,
        ge=0,
        description="So many failures in a row, across trials, pause the campaign; 0 never does.",
    )


class Read(Part):
    """How a command's results are read."""

    format: Literal["json", "jsonl", "csv", "regex"] = Field(
        description="json: an object or a list of them; jsonl: one object per line; csv: with a "
        "header; regex: a pattern per value.",
    )
    file: Annotated[str, AfterValidator(checked_file)] = Field(
        default="", description="File that the command writes, in {out}; absent: what it prints."
    )
    values: dict[
        Annotated[str, AfterValidator(checked_result)],
        Annotated[str, AfterValidator(checked_pattern)],
    ] = Field(
        default={},
        description="For regex: result → pattern with one group, or one called 'value' "
        "(Python's re, ^ and $ match at lines).",
    )

    @model_validator(mode="after")
    def _check_values(self) -> Read:
        if self.format == "regex" and not self.values:
            raise BadInput(
                "format: regex needs 'values'",
                remedy='Add one pattern per value: values: {latency_us: "avg ([0-9.]+)"}',
            )
        if self.format != "regex" and self.values:
            raise BadInput(
                f"'values' belongs to format: regex, not {self.format}",
                remedy="Remove it; results are named by the output itself",
            )
        return self


class FunctionCall(Part):
    """A Python function that takes the parameters as keywords and returns results."""

    call: Annotated[str, AfterValidator(checked_call)] = Field(
        description="package.module:function, study.py:function, or study.py for the one function "
        "in it that is decorated with @fieldlab.tool; files are looked up beside the definition."
    )


class FunctionTool(Part):
    """Each trial calls a Python function."""

    function: Annotated[
        FunctionCall, BeforeValidator(full_call, json_schema_input_type=str | FunctionCall)
    ] = Field(description="The function to call, such as study.py:solve.")


class CommandTool(Part):
    """Each trial runs a program."""

    command: Annotated[
        list[Argument],
        BeforeValidator(
            list_of_words,
            json_schema_input_type=Annotated[list[Argument], Field(min_length=1)],
        ),
    ] = Field(
        min_length=1,
        description="The program and its arguments as a list of words; no shell reads them. "
        "{parameter} stands for a parameter's value as plain text (0.1, true, abc), {out} for the "
        "attempt's own folder, {here} for the definition's, {attempt}, {repeat} and {fingerprint} "
        "for the trial's; {{ and }} are literal braces.",
    )
    environment: dict[Annotated[str, AfterValidator(checked_variable)], Word] = Field(
        default={}, description="Environment variables to add; placeholders are filled as above."
    )
    directory: Literal["experiment", "attempt"] = Field(
        default="experiment",
        description="Working folder: where the definition lies, or the attempt's own folder.",
    )
    read: Annotated[
        Read | None, BeforeValidator(mapping_or_nothing, json_schema_input_type=Read | None)
    ] = Field(default=None, description="How results are read; absent: only the exit code counts.")
    success: Annotated[
        list[_Code],
        BeforeValidator(
            as_list, json_schema_input_type=_Code | Annotated[list[_Code], Field(min_length=1)]
        ),
    ] = Field(default=[0], min_length=1, description="Exit codes that count as success.")


class InstalledTool(BaseModel):
    """A tool that another package brings, by its name, with its options."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "minProperties": 1,
            "maxProperties": 1,
            "propertyNames": {"not": {"enum": ["function", "command"]}},
        },
    )
    __pydantic_extra__: dict[str, dict[str, Any] | None]


class LocalExecutor(Part):
    """Processes on this machine."""

    slots: Annotated[int, AfterValidator(checked_slots)] = Field(
        default=0,
        ge=0,
        description="Attempts at a time; 0 is as many as there are processors.",
        json_schema_extra={"maximum": MOST_SLOTS},
    )


class SshExecutor(Part):
    """Processes on the hosts of a site, reached by ssh."""

    site: Name = Field(
        default="",
        description="The site of fieldlab.toml; absent: the only one that there is.",
    )
    slots: Annotated[int, AfterValidator(checked_slots)] = Field(
        default=0,
        ge=0,
        description="Attempts at a time; 0 is as many as the site has hosts for.",
        json_schema_extra={"maximum": MOST_SLOTS},
    )
    tags: list[str] = Field(default=[], description="Only hosts that have all of these tags.")
    send: list[Annotated[str, AfterValidator(checked_beside)]] = Field(
        default=[],
        description="Files and folders beside the definition that every attempt gets on its hosts.",
    )
    restart: Literal["never", "campaign", "test", "failures"] = Field(
        default="never",
        description="When hosts are restarted: as a campaign begins, before each attempt, or after "
        "restart_after failures in a row that weren't the trial's fault.",
    )
    restart_after: int = Field(
        default=3, ge=1, description="Failures in a row of one host, for restart: failures."
    )
    restart_limit: Duration = Field(
        default=300.0, description="A restart may take so long until the host is really back."
    )
    power_cycle_after: Duration = Field(
        default=120.0,
        description="A host that hasn't answered for so long has its power cycled, if its site "
        "says how.",
    )
    lost_after: Duration = Field(
        default=600.0,
        description="A host that hasn't answered for so long is lost: people are told.",
    )
    wait: Duration = Field(
        default=3600.0,
        description="Too few hosts for so long pause the campaign, which goes on when they answer.",
    )
    compress: bool = Field(
        default=True, description="Pack what attempts bring back, as outputs.tar.zst."
    )
    metrics: bool = Field(
        default=False,
        description="Watch processors, memory and network of the hosts once a second.",
    )


class Noise(Part):
    """Noise on the network of the hosts while a trial runs, in netem's terms."""

    loss_percent: _Noise = Field(default=0.0, description="Packets that are lost.")
    duplicate_percent: _Noise = Field(default=0.0, description="Packets that come twice.")
    corrupt_percent: _Noise = Field(default=0.0, description="Packets with an error in a bit.")
    rate: str = Field(default="", description='Bandwidth, such as "10mbit"; absent: no limit.')
    delay_ms: _Noise = Field(default=0.0, description="Delay of each packet.")
    jitter_ms: _Noise = Field(default=0.0, description="So much more or less.")
    correlation_percent: _Noise = Field(
        default=0.0, description="How much a delay depends on the one before."
    )
    distribution: str = Field(
        default="", description="Of the delays: uniform, normal, pareto or paretonormal."
    )


class Executors(BaseModel):
    """An executor by its name, with its options."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"minProperties": 1, "maxProperties": 1}
    )
    __pydantic_extra__: dict[str, dict[str, Any] | None]

    local: LocalExecutor | None = Field(default=None, description="Processes on this machine.")
    ssh: SshExecutor | None = Field(default=None, description="Processes on hosts of a site.")


def _any(value: Any) -> Any:
    return value


class ExperimentFile(Part):
    """An experiment definition of fieldlab."""

    name: Name = Field(description="Name of the experiment: letters, digits, '_' and '-'.")
    description: str = Field(default="", description="What it finds out, for people.")
    project: Name = Field(default="", description="Name of the project it belongs to.")
    experimenter: Name = Field(default="", description="Who runs it.")
    funding: Name = Field(default="", description="Who pays: the name of a grant.")
    # Which model a tool or executor follows depends on its name, so they are checked one step
    # later, and the space by the domain: here they only need to be described.
    tool: Annotated[
        Mapping[str, Any],
        BeforeValidator(_any, json_schema_input_type=FunctionTool | CommandTool | InstalledTool),
    ] = Field(description="What each trial runs: one of function, command or an installed tool.")
    executor: Annotated[Any, BeforeValidator(_any, json_schema_input_type=str | Executors)] = Field(
        default="local",
        description="Where attempts run: local, or {ssh: {site: bench}}.",
    )
    retry: Annotated[
        Retry,
        BeforeValidator(full_retry, json_schema_input_type=Annotated[int, Field(ge=1)] | Retry),
    ] = Field(default=Retry(), description="Trying again: a number of attempts, or a mapping.")
    guard: Annotated[
        Guard,
        BeforeValidator(
            full_guard,
            json_schema_input_type=Annotated[int, Field(ge=0)] | Literal["off", False] | Guard,
        ),
    ] = Field(default=Guard(), description="Failures in a row that pause the campaign, or off.")
    timeout: Duration = Field(
        default=0.0, description='Longest time one attempt may take: 30, "5m"; 0 has no limit.'
    )
    noise: Noise | None = Field(
        default=None,
        description='Noise on the network of the hosts during each trial; "{loss}" is a parameter.',
    )
    space: Annotated[Mapping[str, Any], BeforeValidator(_any, json_schema_input_type=Space)] = (
        Field(default={}, description="The parameter space; absent: one trial.")
    )
