"""A worker process: warm, it runs batches of trials one trial after the other.

Run as ``python -m fieldlab.execution.worker PARENT SOCKET CELL``. The first message is the setup,
answered with ``ready`` or ``problems``; then batches, answered with ``outcomes`` while they run and
``ended`` at their end.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from time import sleep
from time import time as now  # bound here: a function under test may replace time.time
from typing import Any

from fieldlab.domain.errors import BadInput, BadResult
from fieldlab.domain.ids import canonical, fingerprint_of
from fieldlab.domain.parameters import TrialPoint, TrialSequence, sequence_from
from fieldlab.execution.cell import Cell
from fieldlab.execution.channel import Channel, Message
from fieldlab.execution.outbox import Outbox
from fieldlab.execution.processes import adopt_orphans, die_with_parent, reap_strays
from fieldlab.execution.rows import Shaper
from fieldlab.execution.runners import (
    CommandRunner,
    Ended,
    Runner,
    Stopped,
    bad_result,
    make_runner,
    one_line,
)
from fieldlab.execution.sequences import quasi_sequence

#: JSON characters of one trial's results that are recorded; more fail the trial
LARGEST_RESULT = 16 << 20

_encode = json.JSONEncoder(separators=(",", ":")).encode


class Worker:
    """Runs batches for one campaign."""

    def __init__(
        self, engine: Channel, cell: Cell, sequence: TrialSequence, runner: Runner, patience: int
    ) -> None:
        self._engine = engine
        self._outbox = Outbox(engine, sequence.names)
        self._cell = cell
        self._sequence = sequence
        self._runner = runner
        #: failures in a row after which a batch is handed back: the guard is asked first
        self._patience = patience
        self._pid = os.getpid()

    def serve(self) -> None:
        """Run batches until the engine is gone."""
        while (message := self._engine.receive()) is not None:
            points = [TrialPoint(*each) for each in message.get("points", ())]
            self._run_batch(message["batch"], _positions(message), message.get("numbers"), points)

    def _run_batch(
        self,
        batch: int,
        positions: Sequence[int],
        numbers: Sequence[int] | None,
        points: Sequence[TrialPoint],
    ) -> None:
        shaper = Shaper()
        self._outbox.open(batch, shaper.shapes)
        failures = 0
        done = len(positions)
        for ordinal, position in enumerate(positions):
            try:
                trial = points[ordinal] if points else self._sequence[position]
            except BadInput as error:  # an exclusion that can't decide
                self._cell.leave()
                self._outbox.close(_problems(error))
                return
            if trial is None:
                self._outbox.exclude()
                continue
            started = now()
            self._cell.enter(ordinal, started)
            number = numbers[ordinal] if numbers else 1
            record, ok = self._run_trial(position, trial, number, started, shaper)
            self._cell.leave()  # from here on it isn't this trial's fault
            self._outbox.add(record)
            failures = 0 if ok else failures + 1
            if self._cell.draining or 0 < self._patience <= failures:
                done = ordinal + 1
                break
        self._cell.leave()
        self._outbox.close({"ended": batch, "unrun": done})

    def _run_trial(
        self, position: int, trial: TrialPoint, number: int, started: float, shaper: Shaper
    ) -> tuple[str, bool]:
        parameters = canonical(trial.parameters)
        fingerprint = fingerprint_of(parameters, trial.repeat)
        begun = (position, trial.repeat, fingerprint, parameters, number, started)
        ended = self._runner.run(trial.parameters, trial.repeat, fingerprint, number)
        if os.getpid() != self._pid:
            os._exit(0)  # the function forked, and this is the copy: the trial is the other's
        shapes = len(shaper.shapes)
        try:
            rows = [shaper.shaped(trial.parameters, row) for row in ended.rows]
            return _record(begun, ended, rows)
        except BadResult as error:
            refused = error
        except Exception as error:  # noqa: BLE001 - values may be of any class, and broken
            refused = BadResult(
                f"What it returned can't be read: {one_line(error)}",
                remedy="Return numbers, text, true/false, lists or mappings of them",
            )
        shaper.forget_after(shapes)
        return _record(begun, bad_result(refused), [])


def _record(
    begun: tuple[int, int, str, str, int, float], ended: Ended, rows: list[tuple[int, list[Any]]]
) -> tuple[str, bool]:
    """Write an AttemptRecord as JSON; say whether the attempt succeeded."""
    text = _encode(
        (
            *begun,
            now(),
            "failed" if ended.failure else "succeeded",
            _sound(ended.status),
            ended.failure or "",
            ended.exit_code,
            _sound(ended.error),
            rows,
        )
    )
    if rows and len(text) > LARGEST_RESULT:
        raise BadResult(
            f"The results of this trial are {len(text) / 1e6:.0f} MB, more than the"
            f" {LARGEST_RESULT / 1e6:.0f} MB that a trial may record",
            remedy="Write large data to a file and return its path",
        )
    return text, ended.failure is None


def _positions(message: Message) -> Sequence[int]:
    positions: Sequence[int] = message.get("positions") or range(message["start"], message["stop"])
    return positions


def _sound(text: str) -> str:
    """Replace what no database takes as text: NUL characters and lone surrogates."""
    return text.replace("\0", "?").encode(errors="replace").decode()


def _problems(error: BadInput) -> Message:
    return {"problems": [(each.what, list(each.key), each.remedy) for each in error.problems]}


def prepare(engine: Channel, cell: Cell) -> Worker | None:
    """Take the setup; answer ``ready``, or ``problems`` and give None."""
    setup = engine.receive()
    if setup is None:
        return None
    try:
        sequence = sequence_from(setup["space"], quasi=quasi_sequence)
        runner = make_runner(setup, sequence.names, cell)
    except BadInput as error:
        engine.send(_problems(error))
        return None
    if isinstance(runner, CommandRunner):
        # it only ever waits, so that it can end its command before itself; a function may not let
        # it come to that
        die_with_parent(os.getppid(), signal.SIGTERM)
    engine.send({"ready": os.getpid(), "parameters": sequence.names})
    return Worker(engine, cell, sequence, runner, setup["patience"])


def _watch(parent: int) -> None:
    """Where the kernel doesn't end orphans: end when the keeper is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)

    if sys.platform != "linux":
        threading.Thread(target=watch, daemon=True).start()


def _stop(*_: object) -> None:
    raise Stopped(143)


def _print_whole_lines() -> None:
    """Write line by line, so that the lines of several workers don't run together in their log."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = open(descriptor, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)


def main() -> None:
    """Run a worker with the descriptors that the keeper passes."""
    parent, socket_fd, cell_fd = map(int, sys.argv[1:4])
    _print_whole_lines()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    die_with_parent(parent)
    adopt_orphans()
    _watch(parent)
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            worker = prepare(Channel(socket.socket(fileno=socket_fd)), Cell(cell_fd))
            if worker is not None:
                worker.serve()
    finally:
        reap_strays()


if __name__ == "__main__":
    main()
