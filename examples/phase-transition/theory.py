"""Where theory puts the phase transition of sparse recovery."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq  # type: ignore[import-untyped]
from scipy.special import erfcx  # type: ignore[import-untyped]

#: thresholds z beyond this give a delta too small for a double
LARGEST_Z = 38.0


def weak_threshold(delta: ArrayLike) -> NDArray[np.float64]:
    """Compute Donoho and Tanner's weak threshold rho_W(delta) of the cross-polytope.

    For N to infinity, l1 minimisation recovers nearly every signal (of either sign) with
    k < rho_W n non-zeros from n = delta N Gaussian measurements, and nearly none with more. The
    threshold comes from counting the faces of random polytopes (Donoho and Tanner, J. Amer. Math.
    Soc. 22 (2009) 1-53); here it is computed from the closed form of the same curve by
    Donoho, Maleki and Montanari, PNAS 106 (2009) 18914-18919, see :func:`parametric`.

    Parameters
    ----------
    delta
        Measurements per unknown, in (0, 1]; any shape.

    Returns
    -------
    ndarray
        Non-zeros per measurement at the threshold, in the shape of ``delta``.

    Raises
    ------
    ValueError
        A ``delta`` is not in (0, 1].
    """
    wanted = np.asarray(delta, dtype=np.float64)
    if not np.all((wanted > 0) & (wanted <= 1)):
        raise ValueError(f"delta lies above 0 and up to 1, got {wanted.tolist()}")
    found = [_threshold_at(value) for value in wanted.ravel()]
    return np.array(found, dtype=np.float64).reshape(wanted.shape)


def parametric(z: float) -> tuple[float, float]:
    """Compute the point (delta, rho_W) of the curve that belongs to the threshold z.

    With phi and Phi the density and distribution of the standard normal,

        delta(z) = 2 phi(z) / (z + 2 (phi(z) - z Phi(-z))),    rho(z) = 1 - z Phi(-z) / phi(z).

    As z goes from 0 to infinity, both fall strictly from 1 to 0. The ratio Phi(-z) / phi(z) is
    computed as sqrt(pi/2) erfcx(z / sqrt 2), which stays accurate where both vanish.
    """
    density = float(np.exp(-z * z / 2) / np.sqrt(2 * np.pi))
    rho = 1 - z * float(np.sqrt(np.pi / 2) * erfcx(z / np.sqrt(2)))
    return 2 * density / (z + 2 * density * rho), rho


def _threshold_at(delta: float) -> float:
    z = brentq(lambda candidate: parametric(candidate)[0] - delta, 0.0, LARGEST_Z, xtol=1e-13)
    return parametric(float(z))[1]
