"""Point distribution model: shape parameters to landmarks, their Jacobian, update and clamp.

Parameters are one float64 vector ``[scale, rx, ry, rz, tx, ty, q_0 … q_{m-1}]``: scale in image px per
model unit, Euler angles in radians with ``R = Rx·Ry·Rz``, translation in image px, then the non-rigid
modes. Saragih, Lucey, Cohn, "Deformable model fitting by regularized landmark mean-shift", IJCV 2011, §2;
Baltrušaitis, PhD thesis 2014, §4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import DTypeLike

from clnf_engine.arrays import Array, Floats, read_only
from clnf_engine.caches import cached_with_owner

RIGID = 6
"""Number of global (rigid) parameters at the head of every parameter vector."""


@dataclass(frozen=True, eq=False)
class PDM:
    """A linear 3D shape model ``X = mean + Φ·q``.

    Attributes
    ----------
    mean : (3n,) float64
        Mean shape in model units (about mm): all x, then all y, then all z.
    modes : (3n, m) float64
        Orthonormal principal components Φ.
    variances : (m,) float64
        Variance λ of each mode.
    """

    mean: Floats
    modes: Floats
    variances: Floats

    @property
    def n_landmarks(self) -> int:
        """Number of landmarks n."""
        return int(self.mean.shape[0]) // 3

    @property
    def n_modes(self) -> int:
        """Number of non-rigid modes m."""
        return int(self.modes.shape[1])


def rotation_matrix(euler: Floats) -> Floats:
    """Rotation matrix ``R = Rx·Ry·Rz``.

    Parameters
    ----------
    euler : (3,) float64
        Angles rx, ry, rz in radians.

    Returns
    -------
    (3, 3) float64
    """
    return _rotation(*euler.tolist()).copy()


@lru_cache(maxsize=16)
def _rotation(rx: float, ry: float, rz: float) -> Floats:
    s1, s2, s3 = math.sin(rx), math.sin(ry), math.sin(rz)
    c1, c2, c3 = math.cos(rx), math.cos(ry), math.cos(rz)
    return read_only(
        np.array(
            [
                [c2 * c3, -c2 * s3, s2],
                [c1 * s3 + c3 * s1 * s2, c1 * c3 - s1 * s2 * s3, -c2 * s1],
                [s1 * s3 - c1 * c3 * s2, c3 * s1 + c1 * s2 * s3, c1 * c2],
            ]
        )
    )


def euler_angles(rotation: Floats) -> Floats:
    """Euler angles of a rotation matrix; the inverse of `rotation_matrix` for ``|ry| < π/2``.

    Parameters
    ----------
    rotation : (3, 3) float64

    Returns
    -------
    (3,) float64
        rx, ry, rz in radians.
    """
    r = rotation.tolist()
    return np.array(
        [
            math.atan2(-r[1][2], r[2][2]),
            math.asin(min(1.0, max(-1.0, r[0][2]))),
            math.atan2(-r[0][1], r[0][0]),
        ]
    )


def _bytes(params: Floats) -> bytes:
    return params.astype(np.float64, copy=False).tobytes()


@cached_with_owner(maxsize=16)
def _pose(pdm: PDM, params: bytes) -> tuple[Floats, Floats]:
    """Rotation matrix (3, 3) and unrotated shape ``X = mean + Φ·q`` (3, n) of a parameter vector's bytes.

    Landmarks, Jacobian and update all need them at the same parameters; the cache makes them once.
    """
    values = np.frombuffer(params)
    return _rotation(*values[1:4].tolist()), read_only(unposed_shape(pdm, values))


def unposed_shape(pdm: PDM, params: Floats) -> Floats:
    """The 3D shape ``X = mean + Φ·q``, neither turned nor moved.

    Parameters
    ----------
    pdm : PDM
    params : (6 + m,) float64
        Only the shape coefficients count.

    Returns
    -------
    (3, n) float64
        Model units.
    """
    return (pdm.mean + pdm.modes @ params[RIGID:]).reshape(3, -1)


def landmarks(pdm: PDM, params: Floats) -> Floats:
    """Weak-perspective projection ``x_i = s·R[0:2]·X_i + t``.

    Parameters
    ----------
    pdm : PDM
    params : (6 + m,) float64

    Returns
    -------
    (n, 2) float64
        Landmarks, x first, in image px.
    """
    rotation, shape = _pose(pdm, _bytes(params))
    projected: Floats = shape.T @ (params[0] * rotation[:2].T) + params[4:6]
    return projected


def upright_shape(pdm: PDM, params: Floats, patch_scaling: float) -> Floats:
    """The reference shape: the landmarks with the same shape coefficients, neither turned nor moved.

    Parameters
    ----------
    pdm : PDM
    params : (6 + m,) float64
        Only the shape coefficients count.
    patch_scaling : float
        Reference px per model unit.

    Returns
    -------
    (n, 2) float64
        Reference px.
    """
    return landmarks(pdm, np.concatenate([[patch_scaling, 0, 0, 0, 0, 0], params[6:]]))


def centre(pdm: PDM, params: Floats) -> Floats:
    """Centre of the bounding box of the 3D shape, neither turned nor moved.

    Parameters
    ----------
    pdm : PDM
    params : (6 + m,) float64
        Only the shape coefficients count.

    Returns
    -------
    (3,) float64
        Model units.
    """
    _, shape = _pose(pdm, _bytes(params))
    middle: Floats = (shape.min(axis=1) + shape.max(axis=1)) / 2
    return middle


def jacobian(pdm: PDM, params: Floats, *, rigid: bool, dtype: DTypeLike = np.float64) -> Array:
    """Derivative of the landmarks through `update` at a zero update.

    Columns are ``[Δs, wx, wy, wz, Δtx, Δty, Δq…]`` where w is the small rotation that `update` multiplies
    from the right, so the rotation columns are *not* derivatives by the Euler angles.

    Parameters
    ----------
    pdm : PDM
    params : (6 + m,) float64
    rigid : bool
        Only the six global columns.
    dtype : float64 or float32
        Of the result.

    Returns
    -------
    (2n, 6) or (2n, 6 + m)
        Rows: x of all landmarks, then y of all landmarks, in image px per unit of the column's parameter.
    """
    n = pdm.n_landmarks
    full_rotation, shape = _pose(pdm, _bytes(params))
    rotation = full_rotation[:2]
    scaled = params[0] * rotation
    jac: Array = np.zeros((2, n, RIGID + (0 if rigid else pdm.n_modes)), dtype=dtype)
    jac[:, :, 0] = rotation @ shape
    # For a row r of the scaled rotation, w gives r·(w × X) = w·(X × r); both rows in one product.
    (a, b, c), (d, e, f) = scaled.tolist()
    cross = np.array([[0.0, -c, b, 0.0, -f, e], [c, 0.0, -a, f, 0.0, -d], [-b, a, 0.0, -e, d, 0.0]])
    turned = shape.T @ cross
    jac[0, :, 1:4] = turned[:, :3]
    jac[1, :, 1:4] = turned[:, 3:]
    jac[0, :, 4] = 1.0
    jac[1, :, 5] = 1.0
    if not rigid:
        jac[:, :, RIGID:] = (scaled @ pdm.modes.reshape(3, -1)).reshape(2, n, -1)
    return jac.reshape(2 * n, -1)


def update(params: Floats, delta: Floats, angles: Callable[[Floats], Floats] = euler_angles) -> Floats:
    """Add an update: scale, translation and modes by sum, rotation by ``R ← R·orth(I + [w]×)``.

    Parameters
    ----------
    params : (6 + m,) float64
    delta : (6,) or (6 + m,) float64
        ``[Δs, wx, wy, wz, Δtx, Δty, Δq…]``; missing modes stay as they are.
    angles : callable
        Reads the Euler angles from the new rotation matrix.

    Returns
    -------
    (6 + m,) float64
        A new vector.
    """
    wx, wy, wz = delta[1:4].tolist()
    # The orthogonal factor of I + [w]× is the rotation about w by atan|w|; c = cos of that angle.
    c = 1.0 / math.sqrt(1.0 + wx * wx + wy * wy + wz * wz)
    d = c * c / (1.0 + c)
    small = np.array(
        [
            [c + d * wx * wx, d * wx * wy - c * wz, d * wx * wz + c * wy],
            [d * wx * wy + c * wz, c + d * wy * wy, d * wy * wz - c * wx],
            [d * wx * wz - c * wy, d * wy * wz + c * wx, c + d * wz * wz],
        ]
    )
    result: Floats = params.copy()
    result[: delta.shape[0]] += delta
    result[1:4] = angles(_rotation(*params[1:4].tolist()) @ small)
    return result


def clamp(pdm: PDM, params: Floats, sigmas: float = 3.0) -> Floats:
    """Keep every mode within ``±sigmas·√λ`` and every Euler angle within ±π/2.

    Parameters
    ----------
    pdm : PDM
    params : (6 + m,) float64
    sigmas : float
        Bound on a mode in standard deviations.

    Returns
    -------
    (6 + m,) float64
        A new vector.
    """
    result = params.copy()
    lowest, highest = _bounds(pdm, sigmas)
    for values, low, high in ((result[RIGID:], lowest, highest), (result[1:4], -math.pi / 2, math.pi / 2)):
        np.minimum(values, high, out=values)
        np.maximum(values, low, out=values)
    return result


@cached_with_owner(maxsize=8)
def _bounds(pdm: PDM, sigmas: float) -> tuple[Floats, Floats]:
    """``±sigmas·√λ`` of the modes, (m,)."""
    bound = sigmas * np.sqrt(pdm.variances)
    return read_only(-bound), read_only(bound)


def params_from_box(
    pdm: PDM, box: tuple[float, float, float, float], rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> Floats:
    """Parameters of the mean shape placed in a box around eyebrows to chin and cheek to cheek.

    Parameters
    ----------
    pdm : PDM
    box : (x, y, width, height)
        In image px.
    rotation : (rx, ry, rz)
        Radians.

    Returns
    -------
    (6 + m,) float64
    """
    x, y, width, height = box
    params = np.zeros(RIGID + pdm.n_modes)
    params[0] = 1.0
    params[1:4] = rotation
    shape = landmarks(pdm, params)
    low, high = shape.min(axis=0), shape.max(axis=0)
    extent = high - low
    params[0] = (width / extent[0] + height / extent[1]) / 2
    params[4:6] = np.array([x + width / 2, y + height / 2]) - params[0] * (low + high) / 2
    return params


def params_from_landmarks(
    pdm: PDM, points: Floats, *, clamp_sigmas: float = 3.0, reg_factor: float = 1.0, max_iterations: int = 1000
) -> Floats:
    """Parameters whose projection is nearest to known landmarks.

    Regularised Gauss-Newton with the residuals in place of the mean-shifts, half steps, until the residual
    no longer falls by more than a millionth of itself.

    Parameters
    ----------
    pdm : PDM
    points : (n, 2) float64
        Landmarks in image px.
    clamp_sigmas : float
        As in `clamp`.
    reg_factor : float
        Weight of ``Λ⁻¹``.
    max_iterations : int

    Returns
    -------
    (6 + m,) float64
    """
    low, high = points.min(axis=0), points.max(axis=0)
    width, height = (high - low).tolist()
    params = params_from_box(pdm, (low[0], low[1], width, height))
    prior = np.zeros(params.shape[0])
    prior[RIGID:] = reg_factor / pdm.variances
    error = np.inf
    for _ in range(max_iterations):
        residual = points - landmarks(pdm, params)
        now = float(np.linalg.norm(residual))
        if not now < error * (1 - 1e-6):
            break
        best, error = params, now
        jac = jacobian(pdm, params, rigid=False)
        rhs = jac.T @ residual.T.ravel() - prior * params
        delta = np.linalg.solve(jac.T @ jac + np.diag(prior), rhs)
        params = clamp(pdm, update(params, 0.5 * delta), clamp_sigmas)
    return best
