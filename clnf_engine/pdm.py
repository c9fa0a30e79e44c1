"""Point distribution model: shape parameters to landmarks, their Jacobian, update and clamp.

Parameters are one float64 vector ``[scale, rx, ry, rz, tx, ty, q_0 … q_{m-1}]``: scale in image px per
model unit, Euler angles in radians with ``R = Rx·Ry·Rz``, translation in image px, then the non-rigid
modes. Saragih, Lucey, Cohn, "Deformable model fitting by regularized landmark mean-shift", IJCV 2011, §2;
Baltrušaitis, PhD thesis 2014, §4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from clnf_engine.arrays import Array, Floats, brief, read_only
from clnf_engine.caches import cached_with_owner, remembered
from clnf_engine.kernels import shape as kernels

RIGID = kernels.RIGID
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

    __repr__ = brief

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
    rotation = np.empty((3, 3))
    kernels.rotation_matrix(euler, rotation)
    return rotation


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
    euler = np.empty(3)
    kernels.euler_angles(rotation, euler)
    return euler


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
    shape = np.empty((3, pdm.n_landmarks))
    kernels.unposed_shape(params, pdm.mean, transposed_modes(pdm), shape)
    return shape


@remembered
def transposed_modes(pdm: PDM) -> Floats:
    """Φᵀ, (m, 3n)."""
    return read_only(np.ascontiguousarray(pdm.modes.T))


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
    n = pdm.n_landmarks
    result = np.empty((n, 2))
    kernels.landmarks(params, pdm.mean, transposed_modes(pdm), np.empty((3, 3)), np.empty((3, n)), result)
    return result


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
    shape = unposed_shape(pdm, params)
    middle: Floats = (shape.min(axis=1) + shape.max(axis=1)) / 2
    return middle


def jacobian(
    pdm: PDM,
    params: Floats,
    *,
    rigid: bool,
    visible: NDArray[np.bool_] | None = None,
    dtype: DTypeLike = np.float64,
) -> Array:
    """Derivative of the landmarks through `update` at a zero update.

    Columns are ``[Δs, wx, wy, wz, Δtx, Δty, Δq…]`` where w is the small rotation that `update` multiplies
    from the right, so the rotation columns are *not* derivatives by the Euler angles.

    Parameters
    ----------
    pdm : PDM
    params : (6 + m,) float64
    rigid : bool
        Only the six global columns.
    visible : (n,) bool, optional
        Landmarks whose rows are not zero; all by default.
    dtype : float64 or float32
        Of the result.

    Returns
    -------
    (2n, 6) or (2n, 6 + m)
        Rows: x of all landmarks, then y of all landmarks, in image px per unit of the column's parameter.
    """
    n = pdm.n_landmarks
    jac = np.empty((2 * n, RIGID + (0 if rigid else pdm.n_modes)), dtype)
    visible = np.ones(n, bool) if visible is None else visible
    kernels.jacobian(params, rotation_matrix(params[1:4]), unposed_shape(pdm, params), pdm.modes, visible, jac)
    return jac


def update(params: Floats, delta: Floats, angles: Callable[[Floats], Floats] | None = None) -> Floats:
    """Add an update: scale, translation and modes by sum, rotation by ``R ← R·orth(I + [w]×)``.

    Parameters
    ----------
    params : (6 + m,) float64
    delta : (6,) or (6 + m,) float64
        ``[Δs, wx, wy, wz, Δtx, Δty, Δq…]``; missing modes stay as they are.
    angles : callable, optional
        Reads the Euler angles from the new rotation matrix in the place of `euler_angles`.

    Returns
    -------
    (6 + m,) float64
        A new vector.
    """
    moved, rotation = np.empty(params.shape), np.empty((3, 3))
    kernels.update(params, delta, rotation, np.empty((3, 3)), moved)
    if angles is not None:
        moved[1:4] = angles(rotation)
    return moved


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
    result = np.empty(params.shape)
    kernels.clamp(params, mode_bounds(pdm, sigmas), result)
    return result


@cached_with_owner(maxsize=8)
def mode_bounds(pdm: PDM, sigmas: float) -> Floats:
    """``sigmas·√λ`` of the modes, (m,)."""
    bounds: Floats = read_only(sigmas * np.sqrt(pdm.variances))
    return bounds


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
