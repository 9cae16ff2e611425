"""What attempts wrote, and why things are as they are: logs, explain."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fieldlab.cli.explaining import ERROR_LINES, attempt_lines
from fieldlab.cli.trial_words import read_parameters
from fieldlab.cli.whereabouts import Place, whereabouts
from fieldlab.domain.definition import Definition, ToolSpec
from fieldlab.domain.errors import BadInput
from fieldlab.domain.parameters import sequence_from
from fieldlab.store.database import Database
from fieldlab.store.queries import AttemptView
from fieldlab.store.sql_store import SqlStore
from tests.cli.program import document, finish, invoke, start, write_experiment
from tests.waiting import wait_until

COMMAND = """\
name: steps
tool:
  command: [sh, -c, 'echo "out of $0"; echo "err of $0" >&2; test "$0" -ne 3', '{n}']
space:
  matrix: {n: [1, 2, 3, 4], mode: [fast, "very slow"]}
  exclude: ["n == 4 and mode == 'fast'", {n: 2, mode: fast}]
executor: {local: {slots: 1}}
retry: {attempts: 2}
"""

#: writes one line, waits for a file, writes another
SLOW = """\
name: slow
tool:
  command:
    [sh, -c, 'echo first; while [ ! -e "$0"/go ]; do sleep 0.02; done; echo second', '{here}']
space: {matrix: {n: [1, 2]}}
executor: {local: {slots: 1}}
"""


@pytest.fixture(scope="module")
def module_lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Have a lab in which a command has run, and failed for n = 3."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "steps.yaml").write_text(COMMAND)
    code, _, err = finish(start("run", "steps.yaml", folder=folder))
    assert code == 1, err
    return folder


@pytest.fixture
def lab(module_lab: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(module_lab)
    return module_lab


def explained(*words: str) -> Any:
    return document(invoke("explain", *words, "--json"))


# --- logs --------------------------------------------------------------------------------------


def test_without_a_trial_the_newest_attempt_is_shown(lab: Path) -> None:
    n = document(invoke("attempts", "steps", "--limit", "1", "--json"))[0]["parameters"]["n"]
    shown = invoke("logs", "steps").stdout
    assert shown == f"==> stdout <==\nout of {n}\n==> stderr <==\nerr of {n}\n"


def test_a_trial_is_named_as_the_spreadsheet_does(lab: Path) -> None:
    one = invoke("logs", "steps", "mode=very slow n=1", "--stream", "stdout")
    several = invoke("logs", "steps", "n=1", "mode=very slow", "--stream", "stdout")
    assert one.stdout == several.stdout == "out of 1\n"


def test_a_trial_is_named_by_the_first_digits_of_its_fingerprint(lab: Path) -> None:
    print_ = explained("steps", "n=3 mode=fast")["fingerprint"]
    shown = invoke("logs", "steps", print_[:6], "--stream", "stderr", "--attempt", "1")
    assert shown.stdout == "err of 3\n"
    found = document(invoke("logs", "steps", print_[:6], "--json"))
    assert (found["number"], found["stdout"], found["stderr"]) == (2, "out of 3\n", "err of 3\n")
    assert Path(found["folder"]).is_dir()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["n=3", "mode=fast", "--attempt", "9"], "no attempt 9"),
        (["n=3"], "mode is missing"),
        (["m=3"], "no parameter 'm'"),
        (["xyz"], "names no trial"),
        (["ab"], "too short"),
        (["0000000"], "begins with '0000000'"),
        (["n=4", "mode=fast"], "is recorded"),
        (["--attempt", "1"], "needs a trial"),
        (["-f", "--json"], "can't write one JSON document"),
    ],
)
def test_what_names_no_attempt_is_refused(lab: Path, words: list[str], says: str) -> None:
    result = invoke("logs", "steps", *words)
    assert result.exit_code == 2
    assert says in result.stderr


def test_following_waits_for_the_first_attempt(folder: Path) -> None:
    (folder / "slow.yaml").write_text(SLOW)
    run = start("run", "slow.yaml", folder=folder)
    wait_until(_has_engine, "it runs", run)
    follow = start("logs", "slow", "-f", "--stream", "stdout", folder=folder)
    assert follow.stdout is not None
    assert follow.stdout.readline() == "first\n"
    (folder / "go").touch()
    code, _, err = finish(follow)
    assert code == 0
    assert err in ("", "Waiting for the first attempt of slow.1 to be recorded\n")
    assert finish(run)[0] == 0


def _has_engine() -> bool:
    shown = invoke("status", "slow", "--json")
    return shown.exit_code == 0 and bool(document(shown)["live_engines"])


def test_a_followed_attempt_is_shown_until_it_ends(folder: Path) -> None:
    (folder / "slow.yaml").write_text(SLOW)
    run = start("run", "slow.yaml", folder=folder)

    def runs() -> bool:
        listed = invoke("attempts", "slow", "--json")
        return listed.exit_code == 0 and bool(document(listed))

    wait_until(runs, "the first attempt is recorded as running", run)
    follow = start("logs", "slow", "-f", "--stream", "stdout", folder=folder)
    assert follow.stdout is not None
    assert follow.stdout.readline() == "first\n"
    assert follow.poll() is None
    (folder / "go").touch()
    assert finish(follow) == (0, "second\n", "")
    assert finish(run)[0] == 0


def test_what_functions_print_is_in_one_log(folder: Path) -> None:
    (folder / "talk.py").write_text("def talk(n):\n    print(f'this is {n}')\n")
    (folder / "talk.yaml").write_text(
        "name: talk\ntool: {function: 'talk.py:talk'}\nspace: {matrix: {n: [1, 2]}}\n"
    )
    assert finish(start("run", "talk.yaml", folder=folder))[0] == 0
    result = invoke("logs", "talk", "n=1")
    assert {"this is 1", "this is 2"} <= set(result.stdout.splitlines())
    assert "workers.log" in result.stderr
    assert invoke("logs", "talk", "-f").exit_code == 0  # nobody works on it: it ends at once
    assert "this is 1" in document(invoke("logs", "talk", "--json"))["text"]


def test_every_process_of_an_attempt_is_shown_with_its_name(folder: Path) -> None:
    (folder / "pair.yaml").write_text("name: pair\ntool: {command: ['true']}\n")
    assert invoke("run", "pair.yaml").exit_code == 0
    found = document(invoke("logs", "pair", "--json"))
    place = Path(found["folder"])
    for plain in ("stdout", "stderr"):
        (place / plain).unlink(missing_ok=True)
    written = {
        "pub_0.stdout": "sent 7\n",
        "pub_0.stderr": "",
        "sub_0.stdout": "got 6\nno newline",
        "sub_0.stderr": "lost 1\n",
    }
    for name, text in written.items():
        (place / name).write_text(text)
    (place / "sub_0.trace").write_text("not for people")
    shown = invoke("logs", "pair").stdout
    assert shown == (
        "==> pub_0.stdout <==\nsent 7\n"
        "==> sub_0.stderr <==\nlost 1\n"
        "==> sub_0.stdout <==\ngot 6\nno newline"
    )
    only = invoke("logs", "pair", "--stream", "stderr").stdout
    assert only == "==> sub_0.stderr <==\nlost 1\n"
    found = document(invoke("logs", "pair", "--json"))
    assert {name: found[name] for name in written} == written
    assert not {"stdout", "stderr", "sub_0.trace"} & set(found)


# --- explain -----------------------------------------------------------------------------------


def test_a_campaign_is_explained_with_its_failures_and_what_to_do(lab: Path) -> None:
    text = invoke("explain", "steps").stdout
    assert "finished: nothing is left to run" in text
    assert "2 trials failed with: exit code 1" in text
    assert "err of 3" in text
    assert "fieldlab retry steps.1" in text
    found = explained("steps")
    assert found["failures"][0]["example"]["parameters"]["n"] == 3
    assert [each["target"] for each in found["events"]] == ["created", "running", "finished"]
    assert "fieldlab results steps.1" in found["next"]


def test_failures_of_one_kind_are_explained_by_one_example(folder: Path) -> None:
    assert invoke("run", write_experiment(folder, "fail")).exit_code == 1
    text = invoke("explain", "sums").stdout
    assert "4 trials failed with: ValueError\n" in text
    assert text.count("Traceback") == 1
    [kind] = explained("sums")["failures"]
    assert (kind["status"], kind["count"]) == ("ValueError", 4)


def test_a_long_reason_shows_what_is_wrong_and_what_was_said_last(folder: Path) -> None:
    script = "i=0; while [ $i -lt 40 ]; do echo line $i; i=$((i+1)); done; exit 3"
    command = ["sh", "-c", script, "x" * 5000]
    (folder / "loud.json").write_text(
        json.dumps({"name": "loud", "tool": {"command": command}, "space": {}})
    )
    assert invoke("run", "loud.json").exit_code == 1
    lines = invoke("explain", "loud").stdout.splitlines()
    began = next(n for n, line in enumerate(lines) if line.strip().startswith("such as")) + 1
    shown = lines[began : began + ERROR_LINES]
    assert shown[0].strip() == "The command ended with exit code 3."
    assert shown[1].strip().startswith('command: "sh"')
    assert len(shown[1]) < 500
    assert "…" in [each.strip() for each in shown]
    assert shown[-1].strip() == "line 39"


def test_a_failed_trial_is_explained_with_every_attempt(lab: Path) -> None:
    text = invoke("explain", "steps", "n=3 mode=fast").stdout
    assert "exit code 1 after 2 attempts; no tries are left (2 allowed)" in text
    assert "Attempt 1: exit code 1" in text
    assert "Attempt 2: exit code 1" in text
    assert "the retry policy tries it again" in text
    found = explained("steps", "n=3 mode=fast")
    assert [each["exit_code"] for each in found["attempts"]] == [1, 1]
    assert all(Path(each["folder"]).is_dir() for each in found["attempts"])
    assert found["next"][-1] == "fieldlab retry steps.1"


def test_a_trial_that_is_no_part_of_the_campaign_is_explained(lab: Path) -> None:
    excluded = explained("steps", "n=4 mode=fast")
    assert excluded["place"] == "excluded"
    assert "n == 4 and mode == 'fast'" in excluded["why"]
    assert "space.exclude[0]" in excluded["why"]
    assert "listed under exclude" in explained("steps", "n=2 mode=fast")["why"]
    outside = explained("steps", "n=7 mode=fast")
    assert (outside["place"], outside["state"]) == ("outside the space", None)
    assert "the nearest is 4" in outside["why"]
    assert "no repeat 2" in explained("steps", "n=1 mode=fast #2")["why"]
    assert "outside the space" in invoke("explain", "steps", "n=7", "mode=fast").stdout


def test_what_runs_and_what_is_ahead_is_explained(folder: Path) -> None:
    (folder / "slow.yaml").write_text(SLOW.replace("[1, 2]", "{range: [1, 5000]}"))
    run = start("run", "slow.yaml", folder=folder)
    wait_until(_running, "the first runs", run)
    found = explained("slow")
    assert found["state"] == "running"
    assert [each["parameters"] for each in found["running_trials"]] == [{"n": 1}]
    text = invoke("explain", "slow", "n=1").stdout
    assert "running: attempt 1 is at work" in text
    ahead = explained("slow", "n=5000")
    assert (ahead["place"], ahead["position"]) == ("not reached yet", 4999)
    assert "Position 5,000 of 5,000" in ahead["why"]
    run.kill()
    run.communicate()
    text = invoke("explain", "slow", "n=5000").stdout
    assert "no process works on it" in text
    assert "fieldlab resume slow.1" in text
    assert "its process died" in invoke("explain", "slow", "n=1").stdout


def test_what_people_stopped_is_no_fault_of_the_infrastructure(folder: Path) -> None:
    (folder / "slow.yaml").write_text(SLOW)
    run = start("run", "slow.yaml", folder=folder)
    wait_until(_running, "the first runs", run)
    run.send_signal(signal.SIGINT)
    assert run.stderr is not None
    assert any("once more stops them" in line for line in iter(run.stderr.readline, ""))
    run.send_signal(signal.SIGINT)
    finish(run)
    text = invoke("explain", "slow", "n=1").stdout
    assert "Attempt 1: stopped with its process: somebody ended that" in text
    assert "fault of" not in text
    assert "to be tried again after 1 attempt" in text
    assert document(invoke("attempts", "slow", "--failed", "--json")) == []
    [one] = document(invoke("attempts", "slow", "--json"))
    assert (one["state"], one["status"], one["failure"]) == ("lost", "stopped", None)


def _running() -> bool:
    listed = invoke("attempts", "slow", "--json")
    return listed.exit_code == 0 and any(each["state"] == "running" for each in document(listed))


def test_a_trial_of_an_earlier_campaign_says_which(folder: Path) -> None:
    for points in ("[1, 2]", "[1, 2, 3]"):
        run = start("run", write_experiment(folder, a=points), folder=folder)
        assert finish(run)[0] == 0
    assert "sums.1 ran it, so sums.2 need not" in explained("sums", "a=1")["why"]
    assert "sums.1" not in explained("sums", "a=3")["why"]


def test_a_trial_that_waits_says_until_when(folder: Path) -> None:
    more = "retry: {attempts: 2, delay: 1h}"
    run = start("run", write_experiment(folder, "fail", a="[1]", more=more), folder=folder)
    wait_until(lambda: _queued("sums"), "it waits", run)
    assert "not before" in explained("sums", "a=1")["why"]
    waiting = explained("sums")["waiting"]
    assert (waiting["count"], waiting["later"]) == (1, 1)
    assert "1 trial to be tried again, not before" in invoke("explain", "sums").stdout
    run.terminate()
    run.communicate()
    assert "no process works on sums.1" in explained("sums", "a=1")["why"]


def _queued(name: str) -> bool:
    found = invoke("explain", name, "--json")
    return found.exit_code == 0 and json.loads(found.stdout)["queued"] == 1


# --- which trial is meant ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "points", "repeat"),
    [
        ("n=1", [{"n": 1}, {"n": "1"}], 1),
        ("n=0.50 #3", [{"n": 0.5}, {"n": "0.50"}], 3),
        ("n=.5", [{"n": 0.5}, {"n": ".5"}], 1),
        ("n=true", [{"n": True}, {"n": "true"}], 1),
        ("n=None", [{"n": None}, {"n": "None"}], 1),
        ("n=two words", [{"n": "two words"}], 1),
        ('n="1"', [{"n": "1"}], 1),
        ("n=a=b", [{"n": "a=b"}], 1),
        ("n=NaN", [{"n": "NaN"}], 1),
        ("n=[1]", [{"n": "[1]"}], 1),
        ("n=", [{"n": ""}], 1),
    ],
)
def test_a_word_may_be_a_number_or_text(
    text: str, points: list[Mapping[str, object]], repeat: int
) -> None:
    assert read_parameters(text, ["n"]) == (points, repeat)


def test_names_that_begin_alike_are_told_apart() -> None:
    points, _ = read_parameters("rate_max=2 rate=1", ["rate", "rate_max"])
    assert points[0] == {"rate": 1, "rate_max": 2}
    assert read_parameters("#1", []) == ([{}], 1)


@pytest.mark.parametrize("text", ["n=1 m=1 n=2", "x n=1 m=2", "n=1", "", "#2"])
def test_what_can_not_be_read_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        read_parameters(text, ["n", "m"])


@pytest.mark.parametrize(
    ("space", "point", "place"),
    [
        ({"matrix": {"a": {"range": [1, 10**12]}}}, {"a": 5}, Place.AHEAD),
        ({"matrix": {"a": {"range": [1, 10**12]}}}, {"a": 10**12}, Place.UNKNOWN),
        ({"matrix": {"a": [1, 2]}, "include": [{"a": 7}]}, {"a": 7}, Place.AHEAD),
        ({"matrix": {"a": [1, 2]}, "include": [{"a": 7}]}, {"a": 8}, Place.OUTSIDE),
        ({"zip": [{"a": [1, 2], "b": [3, 4]}]}, {"a": 1, "b": 4}, Place.OUTSIDE),
        ({"zip": [{"a": [1, 2], "b": [3, 4]}]}, {"a": 2, "b": 4}, Place.AHEAD),
        (
            {"matrix": {"a": {"range": [1, 1000]}}, "sample": {"count": 1, "seed": 3}},
            {"a": 17},
            Place.NOT_DRAWN,
        ),
        (
            {"blocks": [{"matrix": {"a": [1, 2]}}, {"matrix": {"a": [3]}}], "exclude": ["a == 3"]},
            {"a": 3},
            Place.EXCLUDED,
        ),
        ({"blocks": [{"matrix": {"a": [1]}}, {"matrix": {"a": [3]}}]}, {"a": 2}, Place.OUTSIDE),
        ({"matrix": {"a": [True]}}, {"a": 1}, Place.OUTSIDE),
        ({"matrix": {"a": [1, 2]}, "order": "shuffled", "seed": 1}, {"a": 2}, Place.AHEAD),
    ],
)
def test_where_an_untouched_point_stands(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    space: dict[str, Any],
    point: dict[str, Any],
    place: Place,
) -> None:
    monkeypatch.setattr("fieldlab.cli.whereabouts.SEARCH_S", 0.05)
    tool = ToolSpec(kind="function", options={"call": "a:b"})
    sequence = sequence_from(space)
    database = Database(f"sqlite:///{tmp_path / 'lab.db'}")
    database.upgrade()
    try:
        campaign = SqlStore(database).ensure_campaign(
            Definition(name="probe", tool=tool, space=space),
            positions=sequence.positions,
            wanted=sequence.limit,
            actor="tester",
        )
        assert whereabouts(campaign, sequence, [point], 1).place is place
    finally:
        database.close()


def test_the_steps_on_hosts_stand_below_each_other() -> None:
    steps = [{"name": "ready", "s": 0.25}, {"name": "run", "s": 12, "note": "exit code 1"}]
    attempt = AttemptView(
        fingerprint="0" * 16, repeat=1, parameters="{}", number=1, state="failed",
        status="exit code 1", failure=None, started_at=datetime.now(UTC), ended_at=None,
        exit_code=1, error=None, engine_id=None, host="box", user=None, commit=None, dirty=None,
        hosts="h1,h2", steps=json.dumps(steps),
    )  # fmt: skip
    lines = attempt_lines(attempt, {}, None)
    place = lines.index("  on h1, h2")
    assert lines[place + 1 : place + 3] == ["    ready  250 ms", "    run      12 s  exit code 1"]
