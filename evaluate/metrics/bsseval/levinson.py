"""Least-squares filters from correlations: block-Toeplitz systems in O(n_taps^2).

The system of n channels and L taps is ``sum_k T[l - k] x[k] = b[l]`` for ``l = 0 .. L - 1``, with
n x n blocks and ``T[-l] = T[l]'``, so that it is symmetric. The multichannel Levinson recursion
(Whittle 1963; Wiggins and Robinson 1965) lengthens the filters tap by tap. With m taps it holds

* ``A``, where ``A[0] = I``: the forward predictor; the system times A is ``[E_f, 0, .., 0]``;
* ``B``, where ``B[m-1] = I``: the backward predictor; the system times B is ``[0, .., 0, E_b]``;
* ``x``, the solution of the first m block equations.

``[A, 0]`` misses the new last equation by ``d = sum_k T[m-k] A[k]``, and ``[0, B]`` misses the new
first one by ``d'`` (both are the form ``[0, B]' T [A, 0]``). Each clears the other's residual::

    A <- [A, 0] - [0, B] E_b^-1 d            E_f <- E_f - d' E_b^-1 d
    B <- [0, B] - [A, 0] E_f^-1 d'           E_b <- E_b - d E_f^-1 d'

The new B then clears what ``[x, 0]`` misses of the last equation, and changes no other.

The recursion loses its digits where the system is singular or nearly so (two channels that are
the same, a stem made from a narrower band). Its result is therefore put into the system, by FFT,
and a system whose equations are missed is solved by LU instead.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import scipy.fft
import scipy.linalg
from stemsmith.manifests.arrays import Float64s

__all__ = ["solve_block_toeplitz"]


# Largest residual relative to the largest right-hand side; the recursion's is around 1e-13.
_MISSED: Final = 1e-9
# museval adds it to the diagonal: it keeps the system of a silent channel regular.
_EPSILON: Final = float(np.finfo(np.float64).eps)
_N_TURNS: Final = 3  # of the recursion: the first is enough for most music
_N_REFINED: Final = 6


def solve_block_toeplitz(blocks: Float64s, right: Float64s) -> Float64s:
    """Solve symmetric block-Toeplitz systems of one size.

    Parameters
    ----------
    blocks : numpy.ndarray
        (n_systems, n_taps, n, n): T[0] to T[n_taps - 1] of each system. As in museval,
        2.2e-16 is added to the diagonal.
    right : numpy.ndarray
        (n_systems, n_taps, n, n_right): the right-hand sides b.

    Returns
    -------
    numpy.ndarray
        (n_systems, n_taps, n, n_right): the solutions x. Where a system has many, an arbitrary
        one.
    """
    blocks = blocks.copy()
    blocks[:, 0] += _EPSILON * np.eye(blocks.shape[-1])
    solution, missed = np.zeros_like(right), right
    with np.errstate(all="ignore"):  # what overflows is caught by the residual
        for _ in range(_N_TURNS):
            solution += _levinson(blocks, missed)
            missed = right - _product(blocks, solution)
            largest = np.abs(missed).max(axis=(1, 2, 3))
            is_solved = largest <= _MISSED * np.abs(right).max(axis=(1, 2, 3))  # not if NaN
            if is_solved.all():
                break
    for system in np.flatnonzero(~is_solved):
        solution[system] = _solve_in_full(blocks[system], right[system])
    return solution


def _levinson(blocks: Float64s, right: Float64s) -> Float64s:
    n_systems, n_taps, n, n_right = right.shape
    # T[n_taps - 1] .. T[0] side by side: what follows are products of few, long matrices.
    descending = blocks[:, ::-1].transpose(0, 2, 1, 3).reshape(n_systems, n, n_taps * n)
    forward = np.zeros((n_systems, n_taps * n, n))
    backward = np.zeros((n_systems, n_taps * n, n))  # grows from its end towards its front
    solution = np.zeros((n_systems, n_taps * n, n_right))
    forward[:, :n] = backward[:, -n:] = np.eye(n)
    errors = np.stack((blocks[:, 0], blocks[:, 0]))  # E_f and E_b
    try:
        inverse_f, inverse_b = np.linalg.inv(errors)
        solution[:, :n] = inverse_b @ right[:, 0]
        for done in range(n, n_taps * n, n):
            row = descending[:, :, -(done + n) : -n]
            d = row @ forward[:, :done]
            d_transposed = d.transpose(0, 2, 1)
            missed = right[:, done // n] - row @ solution[:, :done]
            reflected_f, reflected_b = inverse_b @ d, inverse_f @ d_transposed
            forward_step = backward[:, -done:] @ reflected_f
            backward[:, -(done + n) : -n] -= forward[:, :done] @ reflected_b
            forward[:, n : done + n] -= forward_step
            errors[0] -= d_transposed @ reflected_f
            errors[1] -= d @ reflected_b
            inverse_f, inverse_b = np.linalg.inv(errors)
            solution[:, : done + n] += backward[:, -(done + n) :] @ (inverse_b @ missed)
    except np.linalg.LinAlgError:  # of one system; those beside it are solved again by LU, too
        solution[:] = np.nan
    return solution.reshape(right.shape)


def _product(blocks: Float64s, solution: Float64s) -> Any:
    """Return the systems times the solutions, as a circular convolution of twice the length."""
    n_taps = blocks.shape[1]
    circulant = np.zeros((len(blocks), 2 * n_taps, *blocks.shape[2:]))
    circulant[:, :n_taps] = blocks
    circulant[:, n_taps + 1 :] = blocks[:, :0:-1].transpose(0, 1, 3, 2)
    spectrum = scipy.fft.rfft(circulant, axis=1) @ scipy.fft.rfft(solution, 2 * n_taps, axis=1)
    return scipy.fft.irfft(spectrum, 2 * n_taps, axis=1)[:, :n_taps]


def _solve_in_full(blocks: Float64s, right: Float64s) -> Float64s:
    """Solve one system by Cholesky, with a ridge that refinement takes back out."""
    n_taps, n, n_right = right.shape
    matrix = _in_full(blocks)
    ridge = _EPSILON * np.trace(matrix)
    matrix.ravel()[:: len(matrix) + 1] += ridge
    # Symmetric, so that the transposed view is the same matrix in LAPACK's order: no copy of it.
    factor = scipy.linalg.cho_factor(matrix.T, overwrite_a=True, check_finite=False)
    solution = np.zeros_like(right)
    for _ in range(_N_REFINED):
        missed = right - _product(blocks[None], solution[None])[0]
        flat = missed.transpose(1, 0, 2).reshape(-1, n_right)
        step = scipy.linalg.cho_solve(factor, flat, check_finite=False)
        solution += step.reshape(n, n_taps, n_right).transpose(1, 0, 2)
    return solution


def _in_full(blocks: Float64s) -> Float64s:
    n_taps, n, _ = blocks.shape
    matrix = np.empty((n, n_taps, n, n_taps))
    for i in range(n):
        for j in range(n):
            matrix[i, :, j] = scipy.linalg.toeplitz(blocks[:, i, j], blocks[:, j, i])
    return matrix.reshape(n * n_taps, n * n_taps)
