"""Submitting points one by one: results as they come, and nothing lost or run twice."""

from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

import fieldlab
from fieldlab.domain.errors import BadInput, Conflict, Halted, IllegalTransition, TrialFailed
from tests.notebook.programs import fieldlab as command
from tests.notebook.programs import output, start, written


def square(x: float, scale: float = 1.0) -> dict[str, float]:
    """Give a result that depends on both; raise for a negative x."""
    if x < 0:
        raise ValueError(f"{x} is negative")
    return {"y": scale * x * x}


def status(folder: Path, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(command(folder, "status", name, "--json").stdout)
    return document


def test_points_are_submitted_and_their_results_come(here: Path) -> None:
    with fieldlab.session(square, name="tune") as session:
        future = session.submit(x=3)
        assert future.result() == {"y": 9.0}
        assert (future.point, future.repeat) == ({"x": 3, "scale": 1.0}, 1)
        futures = session.map([{"x": n} for n in range(20)])
        found = {each.point["x"]: each.result() for each in futures}
        assert set(fieldlab.as_completed(futures)) == set(futures)
        assert found == {n: {"y": float(n * n)} for n in range(20)}
        assert session.state == "running"
    assert (session.state, session.succeeded) == ("finished", 20)
    assert sorted(session.results()["x"]) == list(range(20))
    assert status(here, "tune")["total"] is None


def test_a_point_that_is_recorded_has_its_result_at_once(here: Path) -> None:
    fieldlab.run(square, name="tune", matrix={"x": [1, 2], "scale": [1.0]}, quiet=True)
    with fieldlab.session(square, name="tune") as session:
        assert session.submit(x=2.0, scale=1).result() == {"y": 4.0}
        assert session.submit(x=2).result() == {"y": 4.0}
    assert (session.name, session.campaign.attempts) == ("tune.2", 0)


def test_numbers_stay_what_they_are(here: Path) -> None:
    import numpy as np

    def kind(x: object) -> dict[str, str]:
        return {"kind": type(x).__name__}

    with fieldlab.session(kind) as session:
        given = (1.0, 2, np.float64(3.0), np.int64(4), None)
        kinds = [session.submit(x=x).result() for x in given]
    wanted = ("float", "int", "float", "int", "NoneType")
    assert kinds == [{"kind": each} for each in wanted]


def test_several_rows_are_a_list(here: Path) -> None:
    with fieldlab.session(lambda n: [{"i": i} for i in range(n)], name="rows") as session:
        assert session.submit(n=2).result() == [{"i": 0}, {"i": 1}]
        assert session.submit(n=0).result() == []
        assert session.submit(n=1).result() == {"i": 0}


def test_a_failed_trial_raises_at_its_waiter_with_the_traceback(here: Path) -> None:
    with fieldlab.session(square, name="tune", retry=2) as session:
        future = session.submit(x=-1)
        with pytest.raises(TrialFailed) as raised:
            future.result()
        error = raised.value
        assert (error.point, error.attempts) == ({"x": -1, "scale": 1.0}, 2)
        assert error.status == "ValueError: -1 is negative"
        assert "in square" in error.traceback
        assert "in square" in str(error)
        assert session.submit(x=1).result() == {"y": 1.0}
    assert session.state == "finished"
    assert session.failures()["x"].tolist() == [-1]


def test_a_failed_point_is_run_again_when_it_is_submitted_again(here: Path) -> None:
    def once(x: int) -> dict[str, int]:
        if not Path("mended").exists():
            raise ValueError
        return {"y": x}

    with fieldlab.session(once, name="once") as session:
        with pytest.raises(TrialFailed):
            session.submit(x=1).result()
        Path("mended").touch()
        assert session.submit(x=1).result() == {"y": 1}
    assert (session.succeeded, session.failed) == (1, 0)


def test_repeats_of_a_point_are_trials_of_their_own(here: Path) -> None:
    with fieldlab.session(lambda x, repeat: {"y": 10 * x + repeat}, name="noisy") as session:
        futures = [session.submit(x=1, repeat=n) for n in (1, 2)]
        assert [each.result() for each in futures] == [{"y": 11}, {"y": 12}]
        with pytest.raises(BadInput, match="no repeat 0"):
            session.submit(x=1, repeat=0)


def test_the_same_point_submitted_twice_runs_once(here: Path) -> None:
    with fieldlab.session(square, name="tune") as session:
        futures = [session.submit(x=5) for _ in range(10)]
        assert {each.result()["y"] for each in futures} == {25.0}  # type: ignore[call-overload]
    assert session.campaign.attempts == 1


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ({"z": 1, "x": 1}, "there is no parameter 'z'"),
        ({}, "the point lacks 'x'"),
        ({"x": [1]}, "a value can't be a list"),
        ({"x": object()}, "a value of type object can't be recorded. Use a number"),
        ({"x": float("nan")}, "not a finite number"),
        ({"x": 1, "repeat": "a"}, "there is no repeat 'a'"),
    ],
)
def test_bad_points_are_refused_before_anything_is_recorded(
    here: Path, point: dict[str, Any], said: str
) -> None:
    with fieldlab.session(square, name="tune") as session, pytest.raises(BadInput, match=said):
        session.submit(**point)
    assert session.campaign.cursor == 0


def test_what_is_wrong_with_a_session_is_named_by_its_keyword(here: Path) -> None:
    with pytest.raises(BadInput, match="matrx"):
        fieldlab.session(square, name="tune", matrx={})
    with pytest.raises(BadInput, match="parameters of any name"):
        fieldlab.session(lambda **point: point, name="open")
    with pytest.raises(BadInput, match="doesn't take the parameter 'q'"):
        fieldlab.session(square, name="tune", parameters=["x", "q"]).submit(x=1, q=1)
    with pytest.raises(BadInput, match=r"matrix: a session takes points by submit, not a space"):
        fieldlab.session(square, name="tune", matrix={"x": [1]})
    with pytest.raises(BadInput, match="'x' is positional-only"):
        fieldlab.session(abs)
    with fieldlab.open() as lab:
        assert lab.campaigns().empty


def test_what_is_no_point_and_no_future_is_refused(here: Path) -> None:
    session = fieldlab.session(square, name="tune")
    points: Any = [{"x": 1}, 1]
    with pytest.raises(BadInput, match=r"the point 1 is not a mapping. Give dicts"):
        session.map(points)
    with pytest.raises(BadInput, match="3 is not a future"):
        list(fieldlab.as_completed([points[0], 3][1:]))


def test_parameters_of_any_name_can_be_named(here: Path) -> None:
    def total(**point: int) -> dict[str, int]:
        return {"sum": sum(point.values())}

    with fieldlab.session(total, parameters=["a", "b"]) as session:
        assert session.submit(a=1, b=2).result() == {"sum": 3}


def test_the_guard_raises_at_the_waiters_and_the_session_can_be_opened_again(here: Path) -> None:
    with fieldlab.session(square, name="tune", guard=3, slots=1) as session:
        futures = session.map([{"x": -n} for n in range(1, 200)])
        errors = [each.exception() for each in fieldlab.as_completed(futures)]
        assert {type(each) for each in errors} == {TrialFailed, Halted}
        with pytest.raises(Halted, match=r"tune\.1 is tripped: 3 attempts failed in a row"):
            session.submit(x=1)
    assert session.state == "tripped"
    with fieldlab.session(square, name="tune", guard="off") as again:
        assert again.submit(x=4).result() == {"y": 16.0}
    assert (again.name, again.state, again.campaign.cursor) == ("tune.1", "finished", 200)
    assert (again.succeeded, again.failed) == (1, 199), "what was left has been run, too"


def test_a_time_limit_holds(here: Path) -> None:
    def forever(x: int) -> None:
        threading.Event().wait()

    with fieldlab.session(forever, timeout=0.3) as session:
        with pytest.raises(TrialFailed) as raised:
            session.submit(x=1).result()
        assert raised.value.status == "timeout"


def test_an_exception_leaves_what_waits_for_the_next_session(here: Path) -> None:
    def slow(x: int) -> dict[str, int]:
        import time

        time.sleep(0.1)
        return {"y": x}

    session = fieldlab.session(slow, slots=1)
    futures = session.map([{"x": n} for n in range(30)])

    def leave() -> None:
        with session:
            futures[0].result()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        leave()
    assert session.state == "paused"
    done = session.succeeded
    assert 0 < done < 30
    assert isinstance(futures[-1].exception(), Halted)
    with pytest.raises(Halted):
        session.submit(x=100)
    with fieldlab.session(slow) as again:
        pass
    assert (again.state, again.succeeded) == ("finished", 30)


def test_an_exception_before_the_engine_has_begun_comes_out_as_it_is(here: Path) -> None:
    session = fieldlab.session(square, name="tune")

    def leave() -> None:
        with session:
            session.submit(x=1)
            session.submit(wrong=1)

    with pytest.raises(BadInput, match="no parameter 'wrong'"):
        leave()
    assert session.state == "paused"
    with pytest.raises(Halted):
        session.submit(x=2)
    with fieldlab.session(square, name="tune") as again:
        pass
    assert again.succeeded == 1, "what was submitted before it had begun is kept"


def test_a_session_that_is_not_entered_writes_nothing(here: Path) -> None:
    made = fieldlab.session(square, name="tune")
    with pytest.raises(BadInput):
        made.submit(wrong=1)
    assert list(here.iterdir()) == []
    with pytest.raises(IllegalTransition, match="hasn't begun"):
        made.results()
    assert repr(made) == "<tune: not begun>"
    made.close()
    with pytest.raises(Halted, match="closed"):
        made.submit(x=1)
    assert list(here.iterdir()) == []


def test_a_changed_function_begins_a_version_when_it_is_used_and_says_so(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fieldlab.run(lambda x: {"y": x}, name="ctor", matrix={"x": [1, 2]}, quiet=True)
    changed = fieldlab.session(lambda x: {"y": 2 * x}, name="ctor")
    with fieldlab.open() as lab:
        assert len(lab.results("ctor")) == 2
    assert "ctor.v2" not in capsys.readouterr().err
    assert changed.submit(x=3).result() == {"y": 6}
    changed.close()
    said = "the function's source has changed; the results of ctor.v1 stay in results_ctor"
    assert f"ctor.v2 begins: {said}\n" in capsys.readouterr().err
    with fieldlab.session(lambda x: {"y": 2 * x}, name="ctor"):
        pass
    assert "begins" not in capsys.readouterr().err, "it is said once"
    with fieldlab.open() as lab:
        for name in ("ctor", "ctor.v2", "ctor.v2.1"):
            assert lab.results(name)["y"].tolist() == [6], name
        for name in ("ctor.v1", "ctor.1", "ctor.v1.1"):
            assert lab.results(name)["y"].tolist() == [1, 2], name
        assert len(lab.failures("ctor.v1")) == 0


def test_a_future_can_be_cancelled_before_the_engine_has_looked_at_it(here: Path) -> None:
    with fieldlab.session(square, name="tune") as session:
        futures = session.map([{"x": n} for n in range(500)])
        cancelled = [each for each in futures if each.cancel()]
        done, left = concurrent.futures.wait(futures)
        assert not left
    assert session.succeeded == 500 - len(cancelled)
    assert len(done) == 500


def test_cancelling_the_campaign_ends_the_session(here: Path) -> None:
    def forever(x: int) -> None:
        threading.Event().wait()

    with fieldlab.session(forever) as session:
        future = session.submit(x=1)
        assert command(here, "cancel", "forever").returncode == 0
        with pytest.raises(Halted, match="cancelled"):
            future.result()
    assert session.state == "cancelled"
    with pytest.raises(IllegalTransition, match="was cancelled"):
        fieldlab.session(forever).submit(x=1)


def test_a_trial_that_another_campaign_has_and_has_not_run_well(here: Path) -> None:
    fieldlab.run(square, name="tune", matrix={"x": [-1], "scale": [1.0]}, quiet=True)
    with fieldlab.session(square, name="tune") as session:
        with pytest.raises(Conflict, match=r"failed in tune\.1.*fieldlab retry tune\.1"):
            session.submit(x=-1).result()
        assert session.submit(x=2).result() == {"y": 4.0}


def test_points_can_be_submitted_from_several_threads(here: Path) -> None:
    with fieldlab.session(square, name="tune") as session:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda n: session.submit(x=n).result(), range(100)))
        assert found == [{"y": float(n * n)} for n in range(100)]


def test_a_definition_with_a_command_takes_points(here: Path) -> None:
    file = written(
        here,
        """
        name: shell
        tool: {command: [python3, -c, "print(2 * {x})"], read: {format: regex, values: {y: "(.*)"}}}
        space: {submitted: [x]}
        """,
        "experiment.yaml",
    )
    with fieldlab.session(file) as session:
        assert session.submit(x=4).result() == {"y": 8}
    written(here, "name: a\ntool: {command: ['true']}\nspace: {matrix: {x: [1]}}\n", "b.yaml")
    with pytest.raises(BadInput, match="has a space of its own"):
        fieldlab.session(here / "b.yaml")


SCRIPT = """
    import pathlib, sys, time
    import fieldlab

    def trial(x):
        with open(f"run-{x}", "a") as file:
            file.write(".")
        time.sleep(0.2)  # what it costs: a batch is one trial then
        while x > 3 and not pathlib.Path("go").exists():
            time.sleep(0.01)
        return {"y": x}

    with fieldlab.session(trial, name="killed", slots=2) as session:
        futures = [session.submit(x=x) for x in range(int(sys.argv[1]))]
        futures[0].result()
        print("one", flush=True)
        print(sum(future.result()["y"] for future in futures))
"""


def killed(here: Path) -> int:
    """Start a session with 20 points, kill it in the middle; how many trials are recorded."""
    process = start(written(here, SCRIPT), "20")
    assert process.stdout is not None
    assert process.stdout.readline() == "one\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    done: int = status(here, "killed")["succeeded"]
    assert 0 < done < 20
    assert status(here, "killed")["state"] == "interrupted"
    (here / "go").touch()
    return done


def test_after_a_kill_the_next_session_runs_what_was_submitted(here: Path) -> None:
    killed(here)
    assert output(here / "script.py", "3") == "one\n3\n"
    after = status(here, "killed")
    assert (after["state"], after["succeeded"]) == ("finished", 20)
    assert after["attempts"] <= 20 + 4, "only what was running at the kill ran again"


def test_after_a_kill_the_command_line_runs_what_was_submitted(here: Path) -> None:
    killed(here)
    explained = command(here, "explain", "killed", "x=19").stdout
    assert "submitted, and run as soon as there is a free slot; but no process works" in explained
    assert "Nobody has submitted it" in command(here, "explain", "killed", "x=99").stdout
    resumed = command(here, "resume", "killed")
    assert resumed.returncode == 0, resumed.stderr
    assert "killed.1 is finished: 20 trials succeeded" in resumed.stderr
    assert output(here / "script.py", "20") == "one\n190\n"


def test_a_helper_engine_runs_points_of_an_open_session_and_leaves_it_open(here: Path) -> None:
    with fieldlab.session(square, name="tune") as session:
        assert session.submit(x=1).result() == {"y": 1.0}
        helped = command(here, "resume", "tune")
        assert "goes on elsewhere" in helped.stderr
        assert session.submit(x=2).result() == {"y": 4.0}
    assert session.state == "finished"


def test_ctrl_c_pauses_the_session(here: Path) -> None:
    process = start(written(here, SCRIPT), "200")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "one\n"
    process.send_signal(signal.SIGINT)
    assert "Waiting for the running trials" in process.stderr.readline()
    (here / "go").touch()
    _, err = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT, err
    after = status(here, "killed")
    assert after["state"] == "paused"
    assert after["succeeded"] == len(list(here.glob("run-*"))), "none was cut off"


def test_a_program_that_forgets_to_close_its_session_ends(here: Path) -> None:
    script = """
        import fieldlab
        session = fieldlab.session(lambda x: {"y": x}, name="forgotten")
        print(session.submit(x=1).result())
    """
    assert output(written(here, script)) == "{'y': 1}\n"
    assert status(here, "forgotten")["state"] == "interrupted"
    assert command(here, "resume", "forgotten").returncode == 0
    assert status(here, "forgotten")["state"] == "finished"
