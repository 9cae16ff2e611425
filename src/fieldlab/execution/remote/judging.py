"""What came of an attempt over hosts: judged and read as a command on this machine is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fieldlab.domain.errors import BadResult
from fieldlab.execution.remote.errand import Errand
from fieldlab.execution.runners import Ended, bad_result, content_of, failed, tails_of
from fieldlab.ports.host import Ran
from fieldlab.ports.tool import STDERR, STDOUT, Outcome, Plan

#: characters of a command line that are shown
MOST_WORDS = 2_000


def judged(errand: Errand, plan: Plan, ran: Mapping[str, Ran], columns: Mapping[str, Any]) -> Ended:
    """Judge an attempt and read its results.

    Parameters
    ----------
    columns
        Added to each row of results.
    """
    unread: BadResult | None = None
    files: dict[str, bytes] = {}
    try:
        files = _read(errand, plan)
    except BadResult as error:
        unread = error
    outcome = Outcome(
        exits={name: one.exit for name, one in ran.items()}, files=files, processes=plan.processes
    )
    code = outcome.exit.code
    try:
        verdict = errand.tool.judge(outcome)
        if verdict.failure is not None:
            explanation = f"{verdict.explanation}\n{_tails(errand, plan, ran)}".rstrip()
            return Ended([], verdict.status, verdict.failure, code, explanation)
        if unread is not None:
            raise unread
        rows = [{**row, **columns} for row in errand.tool.parse(outcome)]
        return Ended(rows, verdict.status, exit_code=code)
    except BadResult as error:
        explanation = f"{error}\n{_tails(errand, plan, ran)}".rstrip()
        return bad_result(error)._replace(error=explanation, exit_code=code)
    except Exception as error:  # noqa: BLE001 - a fault of the tool, perhaps an installed one
        return failed(error)


def _read(errand: Errand, plan: Plan) -> dict[str, bytes]:
    """Read the files that the tool asks for."""
    files: dict[str, bytes] = {}
    for process in plan.processes:
        outputs = errand.outputs(process.host or errand.first)
        for name in process.reads:
            printed = name in (STDOUT, STDERR)
            path = errand.printed(process, name) if printed else outputs / name
            if path.is_file() and not path.is_symlink():
                files[f"{process.name}/{name}" if process.name else name] = content_of(path)
    return files


def _tails(errand: Errand, plan: Plan, ran: Mapping[str, Ran]) -> str:
    """Show the commands that didn't end well, or all that ran, with what they printed last."""
    bad = {name for name, one in ran.items() if not one.exit.ok} or set(ran)
    parts = []
    for process in plan.processes:
        if process.name not in bad and not process.serves:
            continue
        words = " ".join(json.dumps(word) for word in process.command.argv)[:MOST_WORDS]
        where = f" on {process.host or errand.first}"
        prefix = f"{process.name}." if process.name else ""
        how = "served" if process.serves else ran[process.name].exit
        parts.append(f"command{where}: {words} ({how})")
        parts.append(tails_of(errand.folder, prefix))
    return "\n".join(part for part in parts if part)
