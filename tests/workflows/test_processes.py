"""The tool processes: roles and commands of a definition, over several hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fieldlab.domain.commands import ExitStatus
from fieldlab.domain.errors import BadInput, BadResult
from fieldlab.domain.ids import Point
from fieldlab.domain.sites import ALL
from fieldlab.domain.trials import FailureClass
from fieldlab.ports.tool import CheckedTool, SpreadTool
from fieldlab.workflows.processes import ProcessesTool
from tests.workflows.staging import LOOPBACK, host, outcome, place, really_run

SERVER = {"name": "server", "role": "server", "command": ["serve", "{address}"], "serves": True}
CLIENT = {
    "name": "client",
    "role": "client",
    "command": ["load", "{server.address}", "-n", "{size}"],
    "read": {"format": "json"},
    "after": "0.5s",
}
OPTIONS: dict[str, Any] = {"roles": {"server": 1, "client": "all"}, "run": [SERVER, CLIENT]}
HOSTS = place(
    host("h1", "server", interface="eth1"),
    host("h2", "client"),
    host("h3", "client", "server"),
)
POINT: Point = {"size": 3, "flag": True}


def made(**options: Any) -> ProcessesTool:
    return ProcessesTool({**OPTIONS, **options})


def with_client(**changes: Any) -> ProcessesTool:
    return made(run=[SERVER, {**CLIENT, **changes}])


def test_it_is_a_tool_over_hosts_that_checks_its_space() -> None:
    assert isinstance(made(), SpreadTool)
    assert isinstance(made(), CheckedTool)
    assert made().roles() == {"server": 1, "client": ALL}


def test_a_role_has_so_many_hosts_and_all_get_a_process() -> None:
    planned = made().plan(POINT, HOSTS)
    shown = [(each.name, each.host, each.command.argv) for each in planned.processes]
    assert shown == [
        ("server", "h1", ("serve", "10.0.0.1")),
        ("client-h2", "h2", ("load", "10.0.0.1", "-n", "3")),
        ("client-h3", "h3", ("load", "10.0.0.1", "-n", "3")),
    ]
    server, client, _ = planned.processes
    assert (server.serves, server.delay_s) == (True, 0.0)
    assert (client.serves, client.delay_s, client.command.directory) == (False, 0.5, "/out/h2")


def test_all_placeholders_are_filled() -> None:
    words = (
        "{host} {address} {interface} {out} {index} {server.host} {server.address} {attempt}"
        " {repeat} {fingerprint} {here} {size} {flag} {{x}}"
    )
    tool = made(run=[{"name": "a", "role": "server", "command": words.split()}])
    tool.check(
        dict.fromkeys(
            (
                "size",
                "flag",
            )
        )
    )
    (process,) = tool.plan(POINT, HOSTS).processes
    assert " ".join(process.command.argv) == (
        "h1 10.0.0.1 eth1 /out/h1 0 h1 10.0.0.1 3 2 0f1e /lab 3 true {x}"
    )


def test_the_place_among_its_roles_hosts_and_the_environment() -> None:
    tool = with_client(command=["load", "{index}"], environment={"TARGET": "{server.host}"})
    processes = tool.plan(POINT, HOSTS).processes
    assert [each.command.argv[1] for each in processes[1:]] == ["0", "1"]
    assert processes[1].command.environment == {"TARGET": "h1"}


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({}, 0.0),
        ({"duration": "size"}, 63.0),
        ({"duration": "size", "margin": "2s"}, 5.0),
        ({"duration": "1m"}, 120.0),
        ({"duration": 10, "margin": 1}, 11.0),
    ],
)
def test_the_limit(options: dict[str, Any], limit: float) -> None:
    tool = made(**options)
    assert tool.limit_s(POINT) == limit
    assert {each.command.timeout_s for each in tool.plan(POINT, HOSTS).processes} == {limit}


@pytest.mark.parametrize(
    ("change", "key", "said"),
    [
        ({"command": ["load", "{sise}"]}, "run[1].command[1]", "Did you mean 'size'?"),
        ({"command": ["{sever.address}"]}, "run[1].command[0]", "Did you mean 'server.address'?"),
        ({"environment": {"A": "{x}"}}, "run[1].environment.A", "fills the placeholder {x}"),
    ],
)
def test_placeholders_that_nothing_fills_are_found_before_anything_runs(
    change: dict[str, Any], key: str, said: str
) -> None:
    with pytest.raises(BadInput) as caught:
        with_client(**change).check(dict.fromkeys(("size",)))
    assert f"tool.processes.{key}: " in str(caught.value)
    assert said in str(caught.value)


def test_a_duration_that_is_no_parameter_is_found() -> None:
    with pytest.raises(BadInput, match="the duration 'secs' is no parameter"):
        made(duration="secs").check(dict.fromkeys(("size",)))


@pytest.mark.parametrize(
    ("options", "key", "said"),
    [
        ({"roles": {}}, "roles", "no roles are named"),
        ({"roles": {"server": 0, "client": 1}}, "roles.server", "no number of hosts"),
        ({"run": []}, "run", "nothing is run"),
        ({"run": {}}, "run", "must be a list"),
        ({"run": [SERVER]}, "run", "every process serves"),
        ({"rum": []}, "rum", "Did you mean 'run'?"),
        ({"merge": "yes"}, "merge", "true or false"),
        ({"run": [{**CLIENT, "role": "clint"}]}, "run[0].role", "Did you mean 'client'?"),
        ({"run": [{**CLIENT, "name": "a b"}]}, "run[0].name", "can't name a process"),
        ({"run": [{**CLIENT, "command": "load it"}]}, "run[0].command", "Write [load, it]"),
        ({"run": [{**CLIENT, "command": []}]}, "run[0].command", "the command is empty"),
        ({"run": [{**CLIENT, "comand": []}]}, "run[0].comand", "Did you mean 'command'?"),
        ({"run": [{"name": "a", "role": "client"}]}, "run[0].command", "is missing"),
        ({"run": [CLIENT, CLIENT]}, "run[1].name", "two processes are called 'client'"),
        ({"run": [CLIENT, {**CLIENT, "name": "client-2"}]}, "run[1].name", "can't be told apart"),
        ({"run": [{**CLIENT, "command": ["{a"]}]}, "run[0].command[0]", "has no partner"),
        ({"run": [{**CLIENT, "command": ["{a:3}"]}]}, "run[0].command[0]", "not just a name"),
        ({"run": [{**CLIENT, "read": {"format": "xml"}}]}, "run[0].read.format", "no format 'xml'"),
        (
            {"run": [{**CLIENT, "read": {"format": "regex"}}]},
            "run[0].read.values",
            "needs 'values'",
        ),
        (
            {"run": [{**CLIENT, "read": {"format": "regex", "values": {"a": "x"}}}]},
            "run[0].read.values.a",
            "has 0 groups",
        ),
        (
            {"run": [{**CLIENT, "read": {"format": "csv", "file": "../a"}}]},
            "run[0].read.file",
            "not a file in the attempt's own folder",
        ),
        ({"run": [{**CLIENT, "success": ["0"]}]}, "run[0].success", "no exit codes"),
    ],
)
def test_wrong_options_say_where_and_what_to_do(
    options: dict[str, Any], key: str, said: str
) -> None:
    with pytest.raises(BadInput) as caught:
        made(**options)
    assert f"tool.processes.{key}: " in str(caught.value)
    assert said in str(caught.value)


def test_too_few_hosts_of_a_role() -> None:
    tool = made(roles={"server": 1, "client": 3})
    with pytest.raises(BadInput, match="2 of 3 hosts have the role 'client'"):
        tool.plan(POINT, HOSTS)


EXITS: dict[str, int | ExitStatus] = {"server": -15, "client-h2": 0, "client-h3": 0}


def test_how_servers_end_does_not_matter_and_how_others_do_does() -> None:
    assert made().judge(outcome(EXITS)).status == "success"
    judged = made().judge(outcome({**EXITS, "client-h3": 2}, {"client-h3/stderr": "no route\n"}))
    assert (judged.status, judged.failure) == ("client-h3: exit code 2", FailureClass.EXPERIMENT)
    assert "no route" in judged.explanation
    assert with_client(success=[0, 2]).judge(outcome({**EXITS, "client-h3": 2})).failure is None


def test_a_process_beyond_its_limit() -> None:
    late = ExitStatus(code=-9, duration_s=9, timed_out=True)
    judged = made().judge(outcome({**EXITS, "client-h2": late}))
    assert (judged.status, judged.failure) == ("timeout", FailureClass.EXPERIMENT)


def test_a_row_for_each_process_that_is_read() -> None:
    files = {"client-h2/stdout": '{"rate": 1}', "client-h3/stdout": '{"rate": 2}'}
    assert made().parse(outcome(EXITS, files)) == [
        {"rate": 1, "process": "client", "host": "h2"},
        {"rate": 2, "process": "client", "host": "h3"},
    ]


def test_one_row_of_all() -> None:
    server = {**SERVER, "read": {"format": "regex", "values": {"seen": "saw ([0-9]+)"}}}
    tool = made(roles={"server": 1, "client": 1}, run=[server, CLIENT], merge=True)
    files = {"server/stdout": "saw 7\n", "client/stdout": '{"rate": 1}'}
    for exits in ({"server": 0, "client": 0}, {"client": 0}):  # a server may have none
        (row,) = tool.parse(outcome(exits, files))
        assert row == {"seen": 7, "rate": 1}


def test_rows_that_cannot_be_merged_and_files_that_are_missing() -> None:
    files = {"client-h2/stdout": '{"rate": 1}', "client-h3/stdout": '{"rate": 2}'}
    with pytest.raises(BadResult, match="Two rows have the result 'rate'"):
        made(merge=True).parse(outcome(EXITS, files))
    with pytest.raises(BadResult, match="client-h2 wrote no file 'stdout'"):
        made().parse(outcome(EXITS))
    with pytest.raises(BadResult, match="client-h2: stdout is not JSON"):
        made().parse(outcome(EXITS, {"client-h2/stdout": "hello"}))


def test_really_run(tmp_path: Path) -> None:
    tool = ProcessesTool(
        {
            "roles": {"server": 1, "client": "all"},
            "run": [
                {"name": "server", "role": "server", "command": ["sleep", "60"], "serves": True},
                {
                    "name": "client",
                    "role": "client",
                    "command": ["printf", '{{"host": "{server.address}", "n": {n}}}'],
                    "read": {"format": "json"},
                },
            ],
            "merge": True,
        }
    )
    here = place(host("here", "server", "client", address=LOOPBACK))
    ended = really_run(tool.plan({"n": 4}, here), tmp_path)
    assert tool.judge(ended).status == "success"
    assert tool.parse(ended) == [{"host": LOOPBACK, "n": 4}]
