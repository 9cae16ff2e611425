"""bus and actors: messages as people see them, and what they do to them by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fieldlab.cli.errors import ExitCode
from tests.cli.program import document, finish, invoke, start
from tests.waiting import wait_until

ACTORS = """\
import os
import pathlib
import time

from fieldlab import Actor, DeliveryPolicy

QUICK = DeliveryPolicy(attempts=2, delay_s=0.01, lease_s=0.5)


class Doubler(Actor):
    topics = ["double.*"]
    policy = QUICK

    async def handle(self, envelope, context):
        if not isinstance(envelope.body, int) and not pathlib.Path("lenient").exists():
            raise ValueError(f"{envelope.body!r} is no number")
        context.publish("doubled", envelope.body * 2)
        context.reply(envelope.body * 2)


class Crasher(Actor):
    topics = ["crash"]
    policy = QUICK

    async def handle(self, envelope, context):
        os._exit(3)


class Stuck(Actor):
    topics = ["stuck"]

    async def handle(self, envelope, context):
        pathlib.Path("stuck").touch()
        time.sleep(3600)
"""


@pytest.fixture
def cast(folder: Path) -> Path:
    """Stand in a lab with actors to run."""
    (folder / "cast.py").write_text(ACTORS)
    invoke("init", "--bare")
    return folder


def run_actors(folder: Path, *words: str) -> subprocess.Popen[str]:
    process = start("actors", "run", *words, folder=folder)
    wait_until(lambda: document(invoke("actors", "--json")), "actors run", process)
    return process


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    process.send_signal(signal.SIGTERM)
    return finish(process)


def groups() -> dict[str, dict[str, int]]:
    return {
        each["name"]: each["counts"]
        for each in document(invoke("bus", "status", "--json"))["groups"]
    }


def settled(state: str, group: str = "doubler", number: int = 1) -> Callable[[], bool]:
    return lambda: groups().get(group, {}).get(state, 0) >= number


def test_a_message_is_sent_handled_and_seen(cast: Path) -> None:
    process = run_actors(cast, "cast.py:Doubler")
    sent = document(invoke("bus", "publish", "double.it", "21", "--json"))
    wait_until(settled("acknowledged"), "it is handled", process)
    lines = document(invoke("bus", "tail", "--json"))
    assert [(each["topic"], each["body"]) for each in lines] == [("double.it", 21), ("doubled", 42)]
    [delivery] = lines[0]["deliveries"]
    assert (delivery["group"], delivery["state"]) == ("doubler", "acknowledged")
    assert lines[1]["deliveries"] == []
    shown = invoke("bus", "show", sent["id"]).stdout
    assert "double.it" in shown
    assert "acknowledged, taken 1 time" in shown
    assert "1 message that nobody listened for" in invoke("bus", "status").stderr
    assert end(process)[0] == ExitCode.DONE


def test_an_answer_is_shown(cast: Path) -> None:
    process = run_actors(cast, "cast.py:Doubler")
    assert document(invoke("bus", "publish", "double.it", "4", "--wait", "20s")) == 8
    failed = invoke("bus", "publish", "double.it", '"x"', "--wait", "20s")
    assert failed.exit_code == ExitCode.INFRASTRUCTURE
    assert "failed: ValueError: 'x' is no number" in failed.stderr
    end(process)
    alone = invoke("bus", "publish", "double.it", "4", "--wait", "0.1s")
    assert alone.exit_code == ExitCode.INFRASTRUCTURE
    assert "Nobody answered the request to 'double.it' within 0.1 s" in alone.stderr


def test_a_dead_letter_is_seen_and_tried_again(cast: Path) -> None:
    process = run_actors(cast, "cast.py:Doubler")
    invoke("bus", "publish", "double.it", '"ab"')
    wait_until(settled("dead"), "it is given up", process)
    shown = invoke("bus", "dead").stdout
    assert "'ab' is no number" in shown
    [letter] = document(invoke("bus", "dead", "--json"))
    assert letter["claims"] == 2
    (cast / "lenient").touch()
    assert "To be tried again: 1 delivery" in invoke("bus", "retry", str(letter["number"])).stderr
    wait_until(settled("acknowledged"), "it is handled", process)
    assert document(invoke("bus", "dead", "--json")) == []
    end(process)


def test_a_waiting_message_is_put_away_and_taken_back_by_hand(cast: Path) -> None:
    end(run_actors(cast, "cast.py:Doubler"))
    sent = document(invoke("bus", "publish", "double.it", "1", "--json"))
    number = document(invoke("bus", "show", sent["id"], "--json"))["deliveries"][0]["number"]
    assert invoke("bus", "dead", str(number), "--why", "a mistake").exit_code == 0
    assert "a mistake" in invoke("bus", "show", str(number)).stdout
    refused = invoke("bus", "dead", str(number))
    assert refused.exit_code == ExitCode.BAD_INPUT
    assert "cannot go from 'dead' to 'dead'; allowed: 'waiting'" in refused.stderr
    assert invoke("bus", "retry", "--all").exit_code == 0
    assert groups()["doubler"]["waiting"] == 1


def test_messages_are_followed_as_they_come(cast: Path) -> None:
    invoke("bus", "publish", "old", "0")
    process = start("bus", "tail", "new.*", "-f", "-n", "0", "--json", folder=cast)
    assert process.stdout is not None
    with ThreadPoolExecutor(1) as reader:
        line = reader.submit(process.stdout.readline)
        while not line.done():  # what is sent before it follows isn't shown
            invoke("bus", "publish", "new.x", "1")
            invoke("bus", "publish", "other", "1")
    assert json.loads(line.result())["topic"] == "new.x"
    os.kill(process.pid, signal.SIGINT)
    assert finish(process)[0] == ExitCode.INTERRUPTED


def test_old_messages_are_deleted_but_not_those_that_somebody_may_want(cast: Path) -> None:
    process = run_actors(cast, "cast.py:Doubler")
    for body in ("1", "2", '"ab"'):
        invoke("bus", "publish", "double.it", body)
    wait_until(settled("acknowledged", number=2), "they are settled", process)
    wait_until(settled("dead"), "one is given up", process)
    end(process)
    assert document(invoke("bus", "prune", "--older-than", "1h", "--json")) == {"deleted": 0}
    assert document(invoke("bus", "prune", "--older-than", "0s", "--json")) == {"deleted": 2}
    topics = [each["topic"] for each in document(invoke("bus", "tail", "--json"))]
    assert sorted(topics) == ["double.it", "doubled", "doubled"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["publish", "a..b"], "'a..b' is not a topic"),
        (["publish", "a", "{bad"], "The body is not JSON"),
        (["publish", "a", "NaN"], "NaN is not JSON"),
        (["tail", "a.#.b"], "is not a pattern of topics"),
        (["show", "nothing"], "There is no message 'nothing'"),
        (["retry", "77"], "There is no delivery 77"),
        (["retry"], "Nothing is named"),
        (["prune", "--older-than", "soon"], "soon"),
    ],
)
def test_bad_input_is_explained(cast: Path, words: list[str], said: str) -> None:
    result = invoke("bus", *words)
    assert result.exit_code == ExitCode.BAD_INPUT
    assert said in result.stderr


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("cast.py:Dobler", "Did you mean 'Doubler'?"),
        ("cats.py", "Did you mean 'cast.py'?"),
        ("empty.py", "'empty.py' defines no actor"),
        ("deaf.py", "listens to nothing"),
        ("text.py", "listens to nothing"),
        ("broken.py", "can't be made: ValueError: no"),
        ("policy.py", "The policy of the actor policy.py:A is {'attempts': 2}"),
        ("tries.py", "attempts is 0"),
        ("lease.py", "lease_s is -1"),
        ("many.py", "The concurrency of the actor many.py:A is 'many'"),
        ("short.py", "handle of the actor short.py:A can't be called"),
    ],
)
def test_an_actor_that_cannot_run_is_explained(cast: Path, target: str, said: str) -> None:
    head = "from fieldlab import Actor\nclass A(Actor):\n"
    handle = "    async def handle(self, envelope, context): pass\n"
    (cast / "empty.py").write_text("x = 1\n")
    (cast / "deaf.py").write_text(head + handle)
    (cast / "text.py").write_text(f"{head}    topics = 'a.b'\n{handle}")
    (cast / "broken.py").write_text(
        f"{head}    topics = ['a']\n    def __init__(self): raise ValueError('no')\n{handle}"
    )
    topic = f"{head}    topics = ['a']\n"
    (cast / "policy.py").write_text(f"{topic}    policy = {{'attempts': 2}}\n{handle}")
    for name, word in (("tries", "attempts=0"), ("lease", "lease_s=-1")):
        text = f"import fieldlab\n{topic}    policy = fieldlab.DeliveryPolicy({word})\n{handle}"
        (cast / f"{name}.py").write_text(text)
    (cast / "many.py").write_text(f"{topic}    concurrency = 'many'\n{handle}")
    (cast / "short.py").write_text(f"{topic}    async def handle(self, envelope): pass\n")
    result = invoke("actors", "run", target)
    assert result.exit_code == ExitCode.BAD_INPUT
    assert said in result.stderr


def test_an_actor_named_twice_is_refused(cast: Path) -> None:
    result = invoke("actors", "run", "cast.py", "cast.py:Doubler")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "Several actors are called doubler" in result.stderr


def actor(name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [
        each
        for each in document(invoke("actors", "--json"))
        if each["name"] == name and each["state"] == "runs"
    ]
    return found[0] if found else {}


def test_an_actor_that_dies_with_its_process_is_started_again(cast: Path) -> None:
    process = run_actors(cast, "cast.py:Doubler", "cast.py:Crasher", "--processes")
    wait_until(lambda: actor("doubler") and actor("crasher"), "both run", process)
    assert actor("doubler")["pid"] != actor("crasher")["pid"] != process.pid
    invoke("bus", "publish", "crash")
    wait_until(settled("dead", "crasher"), "its message is given up", process)
    wait_until(lambda: actor("crasher").get("restarts", 0) >= 1, "it was started again", process)
    assert document(invoke("bus", "publish", "double.it", "3", "--wait", "20s")) == 6
    os.kill(actor("doubler")["pid"], signal.SIGKILL)
    wait_until(lambda: actor("doubler").get("restarts", 0) >= 1, "that one, too", process)
    assert document(invoke("bus", "publish", "double.it", "4", "--wait", "20s")) == 8
    code, _, err = end(process)
    assert code == ExitCode.DONE
    assert "crasher ended (exit code 3) and is started again" in err


def test_actors_end_with_the_process_that_runs_them(cast: Path) -> None:
    process = run_actors(cast, "cast.py:Doubler", "--processes")
    wait_until(lambda: actor("doubler"), "it runs", process)
    os.kill(process.pid, signal.SIGKILL)
    finish(process)
    wait_until(lambda: document(invoke("actors", "--json")) == [], "its actors have ended")


def test_one_that_died_is_seen_as_dead(cast: Path) -> None:
    process = run_actors(cast, "cast.py:Doubler")
    os.kill(process.pid, signal.SIGKILL)
    finish(process)
    [found] = document(invoke("actors", "--json"))
    assert found["state"] == "died"
    assert "died" in invoke("actors").stdout
