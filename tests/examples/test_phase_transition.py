"""The phase-transition example: its trial, its theory and its picture."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.stats import norm

EXAMPLE = Path(__file__).parents[2] / "examples" / "phase-transition"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def example() -> Iterator[dict[str, ModuleType]]:
    """Import the example the way a user in its folder does, and forget it afterwards."""
    names = ("theory", "sparse_recovery", "plot")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLE))
        for name in names:
            patch.delitem(sys.modules, name, raising=False)
        # Importing the example sets these; they must not leak into other tests.
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            patch.setenv(variable, "1")
        yield {name: importlib.import_module(name) for name in names}
        for name in names:
            sys.modules.pop(name, None)


@pytest.fixture
def theory(example: dict[str, ModuleType]) -> ModuleType:
    return example["theory"]


@pytest.fixture
def trial(example: dict[str, ModuleType]) -> ModuleType:
    return example["sparse_recovery"]


@pytest.fixture
def plot(example: dict[str, ModuleType]) -> ModuleType:
    return example["plot"]


def maximin_threshold(delta: float) -> float:
    """Compute the threshold as a maximum over z, as Donoho, Maleki and Montanari define it.

    PNAS 106 (2009) 18914-18919; the closed form under test is derived from this.
    """

    def negative(z: float) -> float:
        tail = (1 + z * z) * norm.cdf(-z) - z * norm.pdf(z)
        return -float((1 - 2 / delta * tail) / (1 + z * z - 2 * tail))

    return -float(minimize_scalar(negative, bounds=(1e-6, 8), method="bounded").fun)


def needed_measurements(sparsity: float) -> float:
    """Compute the n/N that a signal with k/N = ``sparsity`` needs, from its statistical dimension.

    Amelunxen, Lotz, McCoy and Tropp, Information and Inference 3 (2014) 224-294, proposition 4.5:
    a derivation that shares nothing with polytopes or message passing.
    """

    def dimension(tau: float) -> float:
        tail = quad(lambda u: (u - tau) ** 2 * np.exp(-u * u / 2), tau, np.inf)[0]
        return float(sparsity * (1 + tau**2) + (1 - sparsity) * np.sqrt(2 / np.pi) * tail)

    return float(minimize_scalar(dimension, bounds=(0, 6), method="bounded").fun)


class TestTheory:
    @pytest.mark.parametrize(
        ("delta", "rho"), [(0.1, 0.1894), (0.25, 0.2674), (0.5, 0.3857), (1.0, 1.0)]
    )
    def test_it_has_the_known_values(self, theory: ModuleType, delta: float, rho: float) -> None:
        assert theory.weak_threshold(delta) == pytest.approx(rho, abs=1e-4)

    @pytest.mark.parametrize("delta", [0.01, 0.1, 0.25, 0.5, 0.75, 0.9])
    def test_it_is_the_maximin_threshold(self, theory: ModuleType, delta: float) -> None:
        assert theory.weak_threshold(delta) == pytest.approx(maximin_threshold(delta), abs=1e-6)

    @pytest.mark.parametrize("delta", [0.1, 0.3288, 0.5, 0.9])
    def test_it_is_where_the_statistical_dimension_puts_it(
        self, theory: ModuleType, delta: float
    ) -> None:
        sparsity = float(theory.weak_threshold(delta)) * delta
        assert needed_measurements(sparsity) == pytest.approx(delta, abs=1e-6)

    def test_it_follows_its_asymptote_where_measurements_are_few(self, theory: ModuleType) -> None:
        # rho_W(delta) ~ 1 / (2 log(1/delta)), Donoho and Tanner, J. Amer. Math. Soc. 22 (2009)
        ratios = [
            float(theory.weak_threshold(delta)) * 2 * np.log(1 / delta)
            for delta in (1e-30, 1e-100, 1e-300)
        ]
        distances = [abs(ratio - 1) for ratio in ratios]
        assert distances == sorted(distances, reverse=True)
        assert distances[-1] < 0.01

    def test_it_rises_with_delta_from_0_to_1(self, theory: ModuleType) -> None:
        rho = theory.weak_threshold(np.linspace(0.001, 1, 300))
        assert np.all(np.diff(rho) > 0)
        assert rho[0] > 0
        assert rho[-1] == 1

    def test_it_keeps_the_shape(self, theory: ModuleType) -> None:
        assert theory.weak_threshold(np.full((2, 3), 0.5)).shape == (2, 3)

    @pytest.mark.parametrize("delta", [0.0, -0.1, 1.01, float("nan")])
    def test_it_rejects_a_delta_out_of_range(self, theory: ModuleType, delta: float) -> None:
        with pytest.raises(ValueError, match="above 0 and up to 1"):
            theory.weak_threshold([0.5, delta])


class TestTrial:
    @pytest.mark.parametrize("delta", [0.2, 0.5, 0.8])
    def test_signals_well_below_the_threshold_are_recovered(
        self, trial: ModuleType, theory: ModuleType, delta: float
    ) -> None:
        rho = 0.5 * float(theory.weak_threshold(delta))
        results = [trial.recover(delta=delta, rho=rho, repeat=i, size=120) for i in range(1, 6)]
        assert [result["recovered"] for result in results] == [1] * 5
        assert max(result["relative_error"] for result in results) < 1e-6

    @pytest.mark.parametrize("delta", [0.2, 0.5, 0.8])
    def test_signals_well_above_the_threshold_are_not(
        self, trial: ModuleType, theory: ModuleType, delta: float
    ) -> None:
        rho = min(1.0, 1.6 * float(theory.weak_threshold(delta)))
        results = [trial.recover(delta=delta, rho=rho, repeat=i, size=120) for i in range(1, 6)]
        assert [result["recovered"] for result in results] == [0] * 5

    def test_the_columns_are_plain_numbers(self, trial: ModuleType) -> None:
        result = trial.recover(delta=0.5, rho=0.25, size=80)
        assert {name: type(value) for name, value in result.items()} == {
            "unknowns": int,
            "measurements": int,
            "nonzeros": int,
            "relative_error": float,
            "recovered": int,
            "seconds": float,
        }
        assert (result["unknowns"], result["measurements"], result["nonzeros"]) == (80, 40, 10)

    def test_the_same_trial_gives_the_same_result(self, trial: ModuleType) -> None:
        first, again = (trial.recover(delta=0.4, rho=0.3, repeat=2, size=80) for _ in range(2))
        assert {**first, "seconds": 0} == {**again, "seconds": 0}

    def test_a_trial_is_the_same_in_another_process(self, trial: ModuleType) -> None:
        call = "import sparse_recovery as s; r = s.recover(delta=0.4, rho=0.6, repeat=3, size=60)"
        fresh = subprocess.run(
            [sys.executable, "-B", "-c", f"{call}; print(r['relative_error'])"],
            cwd=EXAMPLE,
            capture_output=True,
            text=True,
            check=True,
        )
        here = trial.recover(delta=0.4, rho=0.6, repeat=3, size=60)["relative_error"]
        assert float(fresh.stdout) == pytest.approx(here, rel=1e-9)

    def test_the_draw_is_the_same_on_every_machine(self, trial: ModuleType) -> None:
        drawn = trial.generator(0.5, 0.25, 240, 1).integers(0, 1000, 4).tolist()
        assert drawn == [920, 934, 409, 524]

    def test_another_repeat_or_parameter_draws_another_problem(self, trial: ModuleType) -> None:
        trials = [(0.5, 0.25, 240, 1), (0.5, 0.25, 240, 2), (0.25, 0.5, 240, 1), (0.5, 0.25, 24, 1)]
        drawn = {float(trial.generator(*identity).standard_normal()) for identity in trials}
        assert len(drawn) == len(trials)

    def test_a_whole_number_may_be_written_as_an_integer(self, trial: ModuleType) -> None:
        one, real = (trial.recover(delta=delta, rho=0.5, size=30) for delta in (1, 1.0))
        assert one["relative_error"] == real["relative_error"]

    def test_a_grid_point_of_few_measurements_still_has_a_nonzero(self, trial: ModuleType) -> None:
        result = trial.recover(delta=0.001, rho=0.001, size=60)
        assert (result["measurements"], result["nonzeros"]) == (1, 1)

    @pytest.mark.parametrize(("delta", "rho"), [(0.0, 0.5), (1.5, 0.5), (0.5, 0.0), (0.5, 1.5)])
    def test_a_point_out_of_range_is_an_error(
        self, trial: ModuleType, delta: float, rho: float
    ) -> None:
        with pytest.raises(ValueError, match="delta and rho lie above 0 and up to 1"):
            trial.recover(delta=delta, rho=rho)


def step_results(theory: ModuleType, repeats: int = 1) -> pd.DataFrame:
    """Make the results of an ideal experiment: recovered below the threshold, and only there."""
    grid = np.linspace(0.025, 0.975, 20)
    delta, rho, _ = (axis.ravel() for axis in np.meshgrid(grid, grid, np.arange(repeats)))
    recovered = (rho < theory.weak_threshold(delta)).astype(int)
    return pd.DataFrame({"delta": delta, "rho": rho, "recovered": recovered})


class TestPicture:
    def test_measured_and_theoretical_threshold_agree(
        self, trial: ModuleType, plot: ModuleType
    ) -> None:
        rows = [
            {"delta": delta, "rho": rho, **trial.recover(delta=delta, rho=rho, repeat=i, size=120)}
            for delta in (0.3, 0.5, 0.7)
            for rho in np.linspace(0.1, 0.7, 13).tolist()
            for i in range(1, 9)
        ]
        fraction = plot.fraction_recovered(pd.DataFrame(rows))
        assert len(plot.measured_threshold(fraction)) == 3
        # N = 120 alone shifts the threshold by up to 0.02, and 8 repeats leave as much to chance.
        assert plot.deviation(fraction) < 0.04

    def test_an_ideal_experiment_is_measured_within_half_a_cell(
        self, theory: ModuleType, plot: ModuleType
    ) -> None:
        measured = plot.measured_threshold(plot.fraction_recovered(step_results(theory)))
        assert len(measured) == 20
        assert np.abs(measured - theory.weak_threshold(measured.index)).max() <= 0.025 + 1e-9

    def test_rhos_that_do_not_enclose_the_threshold_measure_nothing(
        self, theory: ModuleType, plot: ModuleType
    ) -> None:
        results = step_results(theory)
        below = plot.fraction_recovered(results[results["rho"] < 0.1])
        assert plot.measured_threshold(below.loc[:, 0.2:]).empty
        assert np.isnan(plot.deviation(below.loc[:, 0.2:]))

    def test_it_is_written_as_a_png(
        self, theory: ModuleType, plot: ModuleType, tmp_path: Path
    ) -> None:
        path = tmp_path / "picture.png"
        plot.draw(step_results(theory, repeats=2), path)
        assert path.read_bytes().startswith(PNG_SIGNATURE)
        assert 10_000 < path.stat().st_size < 150_000

    @pytest.mark.parametrize("share", [1, 20, 200])
    def test_it_can_be_drawn_while_trials_are_missing(
        self, theory: ModuleType, plot: ModuleType, tmp_path: Path, share: int
    ) -> None:
        path = tmp_path / "picture.png"
        results = step_results(theory).sample(share, random_state=1)
        without_result = pd.DataFrame({"delta": [0.5], "rho": [0.5], "recovered": [np.nan]})
        plot.draw(pd.concat([results, without_result]), path)
        assert path.read_bytes().startswith(PNG_SIGNATURE)

    def test_the_command_line_reads_csv_and_writes_png(
        self, theory: ModuleType, tmp_path: Path
    ) -> None:
        step_results(theory).to_csv(tmp_path / "results.csv", index=False)
        done = run_plot(tmp_path / "results.csv", tmp_path / "out.png")
        assert (done.returncode, done.stderr) == (0, "")
        assert "drawn from 400 trials" in done.stdout
        assert "threshold differ by 0.0" in done.stdout
        assert (tmp_path / "out.png").read_bytes().startswith(PNG_SIGNATURE)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (None, "No such file"),
            ("delta,rho\n0.5,0.5\n", "no column recovered"),
            ("delta,rho,recovered\n", "no trial has a result yet"),
        ],
    )
    def test_bad_results_are_explained_and_nothing_is_written(
        self, tmp_path: Path, text: str | None, message: str
    ) -> None:
        if text is not None:
            (tmp_path / "results.csv").write_text(text)
        done = run_plot(tmp_path / "results.csv", tmp_path / "out.png")
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "out.png").exists()


def run_plot(results: Path, picture: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", str(EXAMPLE / "plot.py"), str(results), str(picture)],
        capture_output=True,
        text=True,
        check=False,
    )
