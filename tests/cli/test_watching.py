"""What `watch` shows: of what runs, on any terminal and on none."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fieldlab.cli.errors import ExitCode
from fieldlab.cli.frames import STRIP, Frame, Watched, draw, last_lines, sign_of, watched
from fieldlab.cli.labs import opened
from fieldlab.cli.machines import health_text, machine_lines
from fieldlab.domain.sites import Health, HostState
from fieldlab.ports.ledger import HostStanding
from fieldlab.store.queries import AttemptView
from tests.cli.program import document, finish, invoke, start, write_experiment
from tests.waiting import wait_until

LONG = (
    'tool: {command: [bash, -c, \'printf "\\033[31mred\\033[0m {a}\\n\\nlast {a}\\n";'
    " until test -e go; do sleep 0.02; done; test {a} != 3']}"
)


def long_commands(folder: Path, name: str = "sums") -> Path:
    """Define trials that write something, wait for the file `go`, and of which one fails."""
    file = folder / f"{name}.yaml"
    file.write_text(
        f"name: {name}\n{LONG}\nspace: {{matrix: {{a: [1, 2, 3, 4]}}}}\n"
        "executor: {local: {slots: 2}}\n"
    )
    return file


def once(*words: str) -> Any:
    return document(invoke("watch", *words, "--once", "--json"))


def is_running(name: str, number: int) -> Callable[[], bool]:
    """Say whether so many attempts are recorded as running."""

    def holds() -> bool:
        found = once()["campaigns"] if invoke("status", name).exit_code == 0 else []
        return any(
            each["name"].startswith(name) and len(each["attempts_running"]) == number
            for each in found
        )

    return holds


def finished(folder: Path, function: str = "fail_on_three") -> None:
    assert invoke("run", write_experiment(folder, function)).exit_code in (0, 1)


def plain(frame: Frame, width: int, height: int | None = None) -> list[str]:
    return [line.plain for line in draw(frame, width, height)]


def test_all_that_runs_is_shown_with_what_it_writes(folder: Path) -> None:
    ran = []
    for name in ("sums", "tides"):  # in turn: the last one begun is the newest
        ran.append(start("run", long_commands(folder, name), folder=folder))
        wait_until(is_running(name, 2), f"{name} runs", ran[-1])
    shown = invoke("watch", "--once").stdout.splitlines()
    assert max(map(len, shown)) <= 80
    text = "\n".join(shown)
    for name in ("sums", "tides"):
        assert re.search(rf"^{name}\.1  running  ─+   0%  0/4$", text, re.MULTILINE)
        assert re.search(rf"{name}\.1 a=\d for .* s on ", text)
    assert re.search(r"^ +red [12]\n +last [12]$", text, re.MULTILINE)
    assert "\x1b" not in text
    (only,) = once("tides")["campaigns"]
    assert only["name"] == "tides.1"
    assert only["attempts_running"][0]["output"] in (["red 1", "last 1"], ["red 2", "last 2"])
    (folder / "go").touch()
    assert {finish(process)[0] for process in ran} == {ExitCode.SOME_FAILED}
    assert [each["name"] for each in once()["campaigns"]] == ["tides.1"]


def test_how_the_latest_ended_is_a_strip_that_needs_no_colour(folder: Path) -> None:
    finished(folder)
    (campaign,) = once()["campaigns"]
    assert sorted(campaign["latest"]) == ["x", "·", "·", "·"]
    shown = invoke("watch", "sums", "--once").stdout
    assert f"latest   {campaign['latest']}\n         · success  x failed\n" in shown


def standing(**known: Any) -> HostStanding:
    usual: dict[str, Any] = {"site": "lab", "name": "h1", "state": HostState.READY}
    return HostStanding(id=1, identity="10.0.0.1:22", **{**usual, **known})


def attempt(state: str, failure: str | None = None, number: int = 0) -> AttemptView:
    now = datetime.now(UTC)
    return AttemptView(
        fingerprint=f"{number:016x}", repeat=1, parameters='{"a":1}', number=1, state=state,
        status=None, failure=failure, started_at=now, ended_at=now, exit_code=None, error=None,
        engine_id=None, host="box", user=None, commit=None, dirty=None, hosts=None, steps=None,
    )  # fmt: skip


def test_each_ending_has_a_sign_of_its_own() -> None:
    failures = ("experiment", "verdict", "infrastructure")
    ended = [attempt("failed", each) for each in failures]
    ended += [attempt(each) for each in ("succeeded", "lost", "cancelled")]
    ended.append(replace(attempt("lost"), status="stopped"))
    assert "".join(sign_of(each)[0] for each in ended) == "xvi·?cs"


@pytest.fixture
def frame(folder: Path) -> Frame:
    """Have a frame with as much in it as may be."""
    finished(folder)
    with opened() as lab:
        each = watched(lab, lab.find("sums"))
    running = [attempt("running", number=number) for number in range(12)]
    latest = [attempt("succeeded")] * STRIP
    output = {number: ["long " * 40, "short"] for number in range(12)}
    each = replace(each, running=running, latest=latest, output=output, printed=["from a function"])
    hosts = [
        standing(name=f"h{number}", state=state, note="x" * 60)
        for number, state in enumerate(HostState)
    ]
    return Frame(campaigns=[each, each], hosts=hosts)


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("height", [3, 10, 24, 50, None])
def test_a_frame_fits_any_screen(frame: Frame, width: int, height: int | None) -> None:
    lines = plain(frame, width, height)
    assert max(map(len, lines)) <= width
    assert height is None or len(lines) <= height
    assert ("more" in lines[-1]) == (height is not None)
    assert lines[0].startswith("sums.1  finished")


def test_on_80_columns_the_strip_is_whole(frame: Frame) -> None:
    assert "".join(plain(frame, 80)).count("·") == 2 * (STRIP + 1)


def test_without_a_limit_everything_is_shown(frame: Frame) -> None:
    text = "\n".join(plain(frame, 80))
    assert text.count("short") == 24
    assert "printed  from a function" in text
    assert "machines h0  ready" in text


def test_few_attempts_side_by_side_make_no_high_rate(frame: Frame) -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    ended = began + timedelta(seconds=10)
    latest = [replace(attempt("succeeded"), started_at=began, ended_at=ended)] * 5
    each: Watched = frame.campaigns[0]
    at_work = replace(each, view=replace(each.view, engines=1), latest=latest, running=())
    assert at_work.rate == pytest.approx(0.5)
    assert replace(at_work, latest=()).rate == 0
    assert each.rate == 0, "nobody works on it"


def test_machines_show_their_health_and_who_holds_them() -> None:
    health = Health(
        ping_ms=0.4321, load=0.3, processors=8, free_bytes=12 * 10**9, clock_offset_s=0.01
    )
    host = standing(held_for="waves.1 3fa9c1d2/1", health=health)
    assert health_text(host) == "ping 0.432 ms, load 0.3/8, 12 GB free"
    off = replace(host, health=replace(health, clock_offset_s=-75.0))
    assert health_text(off).endswith("clock -75 s")
    full = replace(host, health=replace(health, free_bytes=93_400_000))
    assert health_text(full).endswith(", 93 MB free")
    away = replace(host, state=HostState.QUARANTINED)
    assert health_text(away) == "12 GB free", "the rest was so before"
    other = standing(site="far", name="h2", state=HostState.LOST, note="no route")
    lines = [line.plain.rstrip() for line in machine_lines([host, other])]
    assert lines == [
        "lab/h1  ready  waves.1 3fa9c1d2/1  ping 0.432 ms, load 0.3/8, 12 GB free",
        "far/h2  lost   free                no route",
    ]


def test_the_end_of_an_output_can_not_harm_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    assert last_lines(path) == []
    path.write_bytes(b"\x1b]0;title\x07\x1b[2J50 %\r100 %\n\n\x00\xff\x9b bell\x07\r\nlast")
    assert last_lines(path) == ["100 %", " �� bell", "last"]
    path.write_bytes(b"x" * 100_000 + b"\n" + b"\n".join(b"%d" % n for n in range(100_000)))
    assert last_lines(path) == ["99997", "99998", "99999"]
    path.write_bytes(b"x" * 100_000)
    assert last_lines(path) == []


class Terminal:
    """A terminal in which `watch` runs."""

    def __init__(self, folder: Path, *words: str, term: str = "xterm") -> None:
        self.ours, theirs = pty.openpty()
        self.resize(24, 80)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fieldlab", "watch", *words],
            cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs,
            env={**os.environ, "TERM": term, "LANG": "C.UTF-8"},
            start_new_session=True, text=True,
        )  # fmt: skip
        os.close(theirs)
        self.shown = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self.ours, 1 << 16)
            except OSError:
                return
            if not part:
                return
            self.shown += part.decode(errors="replace")

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def end(self) -> int:
        code = self.process.wait(60)
        self._reader.join()
        os.close(self.ours)
        return code


def test_on_a_terminal_it_follows_its_size_and_leaves_cleanly(folder: Path) -> None:
    process = start("run", long_commands(folder), folder=folder)
    wait_until(is_running("sums", 2), "it runs", process)
    terminal = Terminal(folder, "--every", "50ms")
    wait_until(lambda: "last 1" in terminal.shown, "it is drawn", terminal.process)
    terminal.resize(5, 50)
    before = len(terminal.shown)
    wait_until(lambda: "more" in terminal.shown[before:], "it is cut", terminal.process)
    terminal.process.send_signal(2)
    assert terminal.end() == ExitCode.INTERRUPTED
    screen, _, after = terminal.shown.partition("\x1b[?1049l")
    assert "\x1b[?1049h" in screen
    assert "\x1b[2J" not in screen, "clearing it flickers"
    assert "sums.1" in after, "how it stood stays on the screen"
    assert "Traceback" not in terminal.shown
    terminal = Terminal(folder, "--every", "50ms")
    wait_until(lambda: "last 1" in terminal.shown, "it is drawn", terminal.process)
    (folder / "go").touch()
    assert finish(process)[0] == ExitCode.SOME_FAILED
    assert terminal.end() == ExitCode.DONE
    assert "4/4" in terminal.shown.partition("\x1b[?1049l")[2]


def test_a_terminal_that_can_do_nothing_gets_lines(folder: Path) -> None:
    finished(folder, "add")
    terminal = Terminal(folder, term="dumb")
    assert terminal.end() == ExitCode.DONE
    assert terminal.shown == "sums.1 is finished: 4/4\r\n"
