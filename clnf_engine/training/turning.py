"""Turned copies of a photographed face: the photograph laid over a surface in depth, and seen from another side.

The surface is a thin-plate spline of depth over the image (Bookstein, "Principal warps", PAMI 1989) through the
landmarks and through points that stand for the rest of the head. Every pixel of a copy looks along its ray for the
first point of that surface (sphere tracing: Hart, The Visual Computer 1996), which tells what is hidden, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from scipy.spatial.transform import Rotation

from clnf_engine.arrays import Floats, read_only
from clnf_engine.pdm import PDM

PIVOT = (0.0, 0.0, 35.0)
"""What a head turns about, from the centre of the PDM's mean, model units: a place inside the head."""

HIDDEN_DEPTH = 10.0
"""A landmark farther than this behind what is seen in its place is hidden, model units."""

_MIDLINE = np.array(
    [
        *((0, -75, -28), (0, -100, -22), (0, -140, 10)),  # forehead and hair
        *((0, 95, 25), (0, 112, 40), (0, 150, 40), (0, -190, 100)),  # neck, chest, behind the head
    ],
    dtype=np.float64,
)
_SIDE = np.array(
    [
        *((48, 2, -2), (61, -2, 16), (44, 20, 4), (57, 23, 22), (52, -18, 3)),  # cheek
        *((25, -75, -22), (50, -75, 0), (66, -70, 30), (30, -100, -12), (55, -98, 15), (70, -90, 45)),  # forehead
        *((40, -135, 25), (70, -120, 60)),  # hair
        *((66, -52, 20), (73, -52, 42)),  # temple
        *((80, -34, 80), (80, -5, 82), (78, 15, 80), (90, -20, 105), (88, -70, 95)),  # ear and side of the head
        *((25, 90, 30), (45, 77, 45), (60, 58, 65), (72, 40, 82)),  # under the jaw
        *((40, 107, 50), (60, 110, 65), (60, 150, 60), (120, 150, 75)),  # neck and shoulder
        *((120, -140, 110), (120, -60, 110), (120, 0, 110), (120, 60, 105), (60, -190, 100)),  # background
    ],
    dtype=np.float64,
)
REST_OF_HEAD = read_only(np.concatenate([_MIDLINE, _SIDE, _SIDE * (-1, 1, 1)]))
"""The surface where there are no landmarks, in the frame of the PDM's mean, model units; by hand, for a usual head."""

_SMOOTHING = 2.0
"""Of the spline, in model units; landmarks lie near its surface, not on it."""

_GRID = 4
"""Px between the places at which the spline is evaluated."""

_MARGIN = 100
"""How far beyond the image the surface goes on, px."""

_CLOSE_ENOUGH = 0.05
_MOST_STEPS = 200
"""A ray is at the surface when it is nearer than this, px; the few that only graze it are left after so many steps."""

_ROW = 1024


@dataclass(frozen=True, eq=False)
class Pose:
    """How a face stands before the camera: ``x = scale·R·X + t`` for X in the frame of the PDM's mean.

    Attributes
    ----------
    scale : float
        Image px per model unit.
    rotation : (3, 3) float64
        R.
    translation : (3,) float64
        t, image px; z in the same px.
    """

    scale: float
    rotation: Floats
    translation: Floats


@dataclass(frozen=True, eq=False)
class Turned:
    """A turned copy of a face.

    Attributes
    ----------
    image : (H, W) uint8
    points : (68, 3) float64
        Its landmarks, image px, z in the same px; turned exactly, also where they are hidden.
    seen : (68,) bool
        Landmarks that nothing hides.
    """

    image: NDArray[np.uint8]
    points: Floats
    seen: NDArray[np.bool_]


def pose_of(points: Floats, pdm: PDM) -> Pose:
    """Pose of a face by 3D Procrustes against the PDM's mean (Umeyama, PAMI 1991).

    Parameters
    ----------
    points : (n, 3) float64
        Landmarks with depth, image px.
    pdm : PDM

    Returns
    -------
    Pose
    """
    mean = pdm.mean.reshape(3, -1).T
    middle, centred = points.mean(axis=0), points - points.mean(axis=0)
    shape = mean - mean.mean(axis=0)
    rotation = Rotation.align_vectors(centred, shape)[0].as_matrix()
    scale = float(np.vdot(centred, shape @ rotation.T) / np.vdot(shape, shape))
    return Pose(scale, rotation, middle - scale * rotation @ mean.mean(axis=0))


def turned(image: NDArray[np.uint8], points: Floats, pdm: PDM, rotation: Floats) -> Turned:
    """A copy of a face turned to another head rotation.

    Parameters
    ----------
    image : (H, W) uint8
    points : (68, 3) float64
        Landmarks with depth, image px, smaller z nearer.
    pdm : PDM
    rotation : (3, 3) float64
        Of the head in the copy, not from here to there.

    Returns
    -------
    Turned
        Of the size of `image`; at its own rotation it is the image again.
    """
    pose = pose_of(points, pdm)
    turn = rotation @ pose.rotation.T
    pivot = pose.scale * pose.rotation @ np.array(PIVOT) + pose.translation
    there = (points - pivot) @ turn.T + pivot
    x, y, depth = cast(surface(points, pdm, pose.scale, image.shape), turn, pivot, image.shape)
    picture = cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    column, row = (np.clip(np.rint(there[:, k]).astype(int), 0, image.shape[1 - k] - 1) for k in (0, 1))
    seen = there[:, 2] - depth[row, column] <= HIDDEN_DEPTH * pose.scale
    return Turned(np.asarray(picture, np.uint8), read_only(there), read_only(seen))


def surface(points: Floats, pdm: PDM, scale: float, size: tuple[int, ...]) -> NDArray[np.float32]:
    """Depth of the surface behind every pixel.

    Parameters
    ----------
    points : (68, 3) float64
        Landmarks with depth, image px.
    pdm : PDM
        The rest of the head is carried over by the affine map that best takes its mean to `points`.
    scale : float
        Image px per model unit.
    size : (H, W)

    Returns
    -------
    (H + 2·100, W + 2·100) float32
        Px, with a margin of 100 px around the image.
    """
    mean = pdm.mean.reshape(3, -1).T
    affine = np.linalg.lstsq(np.column_stack([mean, np.ones(len(mean))]), points, rcond=None)[0]
    rest = np.column_stack([REST_OF_HEAD, np.ones(len(REST_OF_HEAD))]) @ affine
    known = np.concatenate([points, rest]) / scale
    spline = RBFInterpolator(known[:, :2], known[:, 2], smoothing=_SMOOTHING)  # thin-plate is its default
    height, width = (length + 2 * _MARGIN for length in size)
    rows, cols = (_GRID * np.arange(-(-length // _GRID) + 1) - _MARGIN for length in (height, width))
    places = np.stack(np.meshgrid(cols, rows), axis=-1).reshape(-1, 2) / scale
    coarse = scale * np.minimum(spline(places), rest[:, 2].max() / scale).reshape(len(rows), len(cols))
    step = np.array([[1 / _GRID, 0, 0], [0, 1 / _GRID, 0]])
    fine = cv2.warpAffine(
        coarse.astype(np.float32),
        step,
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(fine, np.float32)


def cast(
    depths: NDArray[np.float32], turn: Floats, pivot: Floats, size: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """What every pixel sees of a surface that turns about a point.

    A ray starts before all of the surface and goes as far as it safely can: to where it would meet a surface that rises
    towards it as steeply as this one does anywhere.

    Parameters
    ----------
    depths : (H + 2·100, W + 2·100) float32
        From `surface`.
    turn : (3, 3) float64
        The rotation; less than a right angle from the viewing axis.
    pivot : (3,) float64
        Px.
    size : (H, W)

    Returns
    -------
    x, y : (H, W) float32
        Where in the image before the turn the point that is seen lies, px.
    depth : (H, W) float32
        Its z after the turn, px.
    """
    rows, cols = (np.arange(length, dtype=np.float32) for length in size)
    before = [turn[0, k] * (cols - pivot[0]) + turn[1, k] * (rows - pivot[1])[:, None] + pivot[k] for k in range(3)]
    along = turn[2].astype(np.float32)  # the ray in the frame before the turn, per px of depth
    x0, y0, z0 = (part.astype(np.float32).ravel() for part in before)
    dy, dx = np.gradient(depths)
    stride = 1 / (along[2] + float(np.hypot(dx, dy).max()) * math.hypot(along[0], along[1]))
    t = (depths.min() - z0) / along[2]
    under_way = np.arange(t.size)
    for _ in range(_MOST_STEPS):
        here = t[under_way]
        met = _depths_at(depths, x0[under_way] + along[0] * here, y0[under_way] + along[1] * here)
        gap = met - (z0[under_way] + along[2] * here)
        t[under_way] += stride * gap
        under_way = under_way[np.abs(gap) > _CLOSE_ENOUGH]
        if not under_way.size:
            break
    x, y, depth = (part.reshape(size) for part in (x0 + along[0] * t, y0 + along[1] * t, t + np.float32(pivot[2])))
    return x, y, depth


def _depths_at(depths: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Depth of the surface at places in the image, (n,)."""
    shape = (-(-x.size // _ROW), _ROW)  # OpenCV takes rows and columns below 32768 only
    columns, rows = (np.resize(part + np.float32(_MARGIN), shape) for part in (x, y))
    met = cv2.remap(depths, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(met, np.float32).ravel()[: x.size]
