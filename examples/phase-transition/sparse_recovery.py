"""Recover a sparse signal from few measurements by linear programming.

One trial draws a signal of N unknowns with k non-zeros, measures it n times with random weights,
b = Ax, and looks for the signal of smallest l1 norm that explains the measurements (basis pursuit;
Chen, Donoho and Saunders, SIAM J. Sci. Comput. 20(1), 1998). Whether that is the signal drawn
depends almost only on delta = n/N and rho = k/n: Donoho and Tanner, "Observed universality of phase
transitions in high-dimensional geometry", Phil. Trans. R. Soc. A 367 (2009) 4273-4293.
"""

from __future__ import annotations

import hashlib
import os
import time

# Trials run side by side, one on each processor: a BLAS that started threads of its own in every
# one of them would make them wait for each other. BLAS reads these once, when numpy is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog  # type: ignore[import-untyped]

#: largest relative error of a recovered signal; the solver leaves 1e-8 or less of one, and an error
#: below 1e-3 is rare where l1 minimisation fails
TOLERANCE = 1e-5


def recover(
    *, delta: float, rho: float, repeat: int = 1, size: int = 240
) -> dict[str, int | float]:
    """Draw one sparse signal, measure it, and try to recover it.

    Parameters
    ----------
    delta
        Measurements per unknown, n/N, in (0, 1].
    rho
        Non-zeros per measurement, k/n, in (0, 1].
    repeat
        Which of the random problems of that (delta, rho) to draw.
    size
        Unknowns N of the signal.

    Returns
    -------
    dict
        ``unknowns``, ``measurements``, ``nonzeros``: N, n and k, the latter two rounded.
        ``relative_error``: the error's l2 norm over the signal's.
        ``recovered``: 1 if that is at most :data:`TOLERANCE`, else 0.
        ``seconds``: time that the linear programme took.

    Raises
    ------
    ValueError
        A parameter is out of its range; correct the definition.
    RuntimeError
        The solver gave up, which says nothing about the signal; its own message is included.
    """
    if not (0 < delta <= 1 and 0 < rho <= 1 and size >= 1):
        raise ValueError(
            f"no problem has delta={delta}, rho={rho}, size={size}: "
            "delta and rho lie above 0 and up to 1, size is at least 1"
        )
    measurements = max(1, round(delta * size))
    nonzeros = max(1, round(rho * measurements))

    random = generator(delta, rho, size, repeat)
    signal = np.zeros(size)
    support = random.choice(size, nonzeros, replace=False)
    signal[support] = random.standard_normal(nonzeros)
    weights = random.standard_normal((measurements, size)) / np.sqrt(measurements)

    started = time.perf_counter()
    found = basis_pursuit(weights, weights @ signal)
    seconds = time.perf_counter() - started

    error = float(np.linalg.norm(found - signal) / np.linalg.norm(signal))
    return {
        "unknowns": size,
        "measurements": measurements,
        "nonzeros": nonzeros,
        "relative_error": error,
        "recovered": int(error <= TOLERANCE),
        "seconds": seconds,
    }


def generator(delta: float, rho: float, size: int, repeat: int) -> np.random.Generator:
    """Make the random generator of one trial: its parameters are its seed.

    So a trial draws the same problem on every machine, in whatever order the trials run.
    """
    identity = f"{float(delta)!r} {float(rho)!r} {int(size)} {int(repeat)}".encode()
    entropy = int.from_bytes(hashlib.blake2b(identity, digest_size=16).digest(), "big")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


def basis_pursuit(weights: NDArray[np.float64], data: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the x of smallest l1 norm with ``weights @ x == data``.

    As a linear programme: x = u - v with u, v >= 0, minimising the sum of both.

    Parameters
    ----------
    weights
        The matrix A, n rows by N columns.
    data
        The measurements b, n values.

    Returns
    -------
    ndarray
        N values.
    """
    unknowns = weights.shape[1]
    solution = linprog(
        np.ones(2 * unknowns),
        A_eq=np.hstack([weights, -weights]),
        b_eq=data,
        bounds=(0, None),
        method="highs",
        # A dense random matrix has nothing that could be simplified; looking for it costs 40 %.
        options={"presolve": False},
    )
    if not solution.success:
        raise RuntimeError(
            f"HiGHS found no solution of {weights.shape[0]} equations in {unknowns} unknowns "
            f"(status {solution.status}): {solution.message}"
        )
    split: NDArray[np.float64] = solution.x
    return split[:unknowns] - split[unknowns:]
