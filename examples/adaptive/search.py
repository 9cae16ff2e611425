"""Tune a controller: Optuna says where to look next, fieldlab runs each try and records it.

    python search.py [TRIALS]

Kill it and start it again: it goes on with what is recorded.
"""

from __future__ import annotations

import sys
from concurrent.futures import FIRST_COMPLETED, wait

import optuna

import fieldlab

GAINS = {
    "kp": optuna.distributions.FloatDistribution(0.1, 50.0, log=True),
    "ki": optuna.distributions.FloatDistribution(0.01, 20.0, log=True),
    "kd": optuna.distributions.FloatDistribution(0.01, 20.0, log=True),
}
AT_A_TIME = 4


def track(kp: float, ki: float, kd: float) -> dict[str, float]:
    """Let a PID controller take an oscillator from 0 to 1; how far off it is, weighted by time."""
    position = speed = integral = error_area = overshoot = 0.0
    step_s, end_s = 0.01, 10.0
    for n in range(round(end_s / step_s)):
        error = 1.0 - position
        integral += error * step_s
        force = max(-10.0, min(10.0, kp * error + ki * integral - kd * speed))
        speed += step_s * (force - 0.6 * speed - 4.0 * position)
        position += step_s * speed
        error_area += n * step_s * abs(error) * step_s
        overshoot = max(overshoot, position - 1.0)
    return {"error": error_area, "overshoot": overshoot}


def search(trials: int) -> optuna.Study:
    """Look for the gains of the smallest error, a few at a time."""
    sampler = optuna.samplers.TPESampler(seed=1)
    study = optuna.create_study(sampler=sampler, direction="minimize")
    with fieldlab.session(track, name="controller") as session:
        for row in session.results().to_dict("records"):  # of an earlier start
            gains = {name: row[name] for name in GAINS}
            study.add_trial(
                optuna.trial.create_trial(params=gains, distributions=GAINS, value=row["error"])
            )
        running: dict[fieldlab.TrialFuture, optuna.Trial] = {}
        while running or len(study.trials) < trials:
            while len(running) < AT_A_TIME and len(study.trials) < trials:
                asked = study.ask(GAINS)
                running[session.submit(**asked.params)] = asked
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                study.tell(running.pop(future), future.result()["error"])
    return study


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found = search(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
    gains = ", ".join(f"{name} = {value:.3g}" for name, value in found.best_params.items())
    print(f"after {len(found.trials)} trials: error {found.best_value:.4f} with {gains}")
