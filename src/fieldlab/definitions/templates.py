"""What ``fieldlab init`` writes: a small experiment that runs as it is."""

from __future__ import annotations

from fieldlab.definitions.hints import suggestion
from fieldlab.domain.definition import is_name
from fieldlab.domain.errors import BadInput


def template(name: str, kind: str) -> dict[str, str]:
    """Write a new experiment.

    Parameters
    ----------
    name
        Name of the experiment.
    kind
        The tool: "function" or "command".

    Returns
    -------
    dict of str to str
        File name → text; ``experiment.yaml`` is among them.

    Raises
    ------
    BadInput
        The name or the kind can't be used.
    """
    if not is_name(name):
        raise BadInput(
            f"{name!r} can't be a name",
            remedy="Use letters, digits, '_' and '-', first a letter or digit, at most 63",
            key=("name",),
        )
    if kind not in _KINDS:
        remedy = suggestion(kind, _KINDS, f"One of: {', '.join(_KINDS)}")
        raise BadInput(f"there is no template '{kind}'", remedy=remedy)
    files = {"experiment.yaml": _KINDS[kind], **_PROGRAMS[kind]}
    return {file: text.replace("<name>", name) for file, text in files.items()}


_FUNCTION = """\
# How far does a damped oscillator overshoot, and how long does it swing?
name: "<name>"                        # letters, digits, - and _
description: Step response of a damped oscillator

tool:
  function: study.py:respond          # the file beside this one, and the function in it

space:
  matrix:                             # every combination: 4 x 5 = 20 trials
    frequency: [0.5, 1, 2, 5]         # Hz; a list of values
    damping: {linspace: [0.1, 0.9, 5]}  # 5 values from 0.1 to 0.9, both included
  # exclude: ["frequency > 2 and damping < 0.2"]    # combinations to leave out
  # sample: {count: 10, seed: 7}      # only so many of them, drawn at random
  repeat: 1                           # how often every combination is run
  order: sequential                   # or shuffled

executor: local                       # processes on this machine; {local: {slots: 4}} limits them
retry: 1                              # tries per trial: 1 is one try, no retry
guard: 10                             # failures in a row that pause the campaign; off never does
timeout: 1m                           # longest time of one trial: 30, 90s, 5m, 1h30m
"""

_STUDY = '''\
"""The step response of a damped oscillator."""

import math


def respond(frequency: float, damping: float) -> dict[str, float]:
    """Give the results of one trial: each becomes a column beside the parameters.

    ``frequency`` is the undamped one in Hz, ``damping`` the damping ratio, between 0 and 1.
    """
    angular = 2 * math.pi * frequency
    damped = angular * math.sqrt(1 - damping**2)
    return {
        "overshoot": math.exp(-math.pi * damping * angular / damped),
        "peak_time_s": math.pi / damped,
        "settling_time_s": 4 / (damping * angular),
    }
'''

_COMMAND = """\
# How fast does a Monte Carlo estimate of pi get better?
name: "<name>"                        # letters, digits, - and _
description: Estimating pi with random points

tool:
  # The program and its arguments, one by one; {points} becomes the value of that parameter.
  # Also {out}, the folder for a trial's files, {here}, {attempt}, {repeat} and {fingerprint}.
  command: [python3, simulate.py, --points, "{points}", --seed, "{repeat}"]
  directory: experiment               # runs where this file lies; or attempt: in the folder {out}
  read: {format: json}                # results are what it prints; also jsonl, csv, regex
  success: [0]                        # exit codes that count as success
  # environment: {THREADS: 1}         # environment variables to add

space:
  matrix:                             # every combination of these values
    points: [100, 1000, 10000, 100000]
  repeat: 5                           # every one 5 times: 20 trials
  order: sequential                   # or shuffled

executor: local                       # processes on this machine; {local: {slots: 4}} limits them
retry: {attempts: 2, delay: 1s}       # tries per trial, and the wait between them
guard: 10                             # failures in a row that pause the campaign; off never does
timeout: 1m                           # longest time of one trial: 30, 90s, 5m, 1h30m
"""

_SIMULATE = '''\
"""Estimate pi from the share of random points that fall into a quarter of a circle."""

import argparse
import json
import math
import random

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--points", type=int, required=True)
parser.add_argument("--seed", type=int, required=True)
arguments = parser.parse_args()

draw = random.Random(arguments.seed).random
inside = sum(draw() ** 2 + draw() ** 2 < 1 for _ in range(arguments.points))
estimate = 4 * inside / arguments.points
# Each name becomes a column of the results, beside the parameters.
print(json.dumps({"estimate": estimate, "error": abs(estimate - math.pi)}))
'''

_KINDS = {"function": _FUNCTION, "command": _COMMAND}
_PROGRAMS = {"function": {"study.py": _STUDY}, "command": {"simulate.py": _SIMULATE}}
