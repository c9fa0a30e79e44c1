"""Head pose in front of a camera, from a fitted face."""

from __future__ import annotations

import cv2
import numpy as np

from clnf_engine.arrays import Floats, read_only
from clnf_engine.pdm import PDM, euler_angles, rotation_matrix, unposed_shape

_FOCAL_LENGTH = 500.0
"""Of a camera nobody knows, px at 640×480; OpenFace's assumption."""


def head_pose(pdm: PDM, params: Floats, points: Floats, size: tuple[int, int]) -> Floats:
    """Where the head is and how it is turned: the perspective-n-point problem of the fitted 3D shape.

    The fit itself is a weak perspective one. Baltrušaitis et al., "OpenFace 2.0: Facial behavior analysis toolkit",
    FG 2018, §III-B.

    Parameters
    ----------
    pdm : PDM
    params : (6 + m,) float64
        Fitted parameters.
    points : (n, 2) float64
        Fitted landmarks, image px.
    size : (width, height)
        Of the image, px. The camera is taken to look through its middle, with a focal length of 500 px at 640×480.

    Returns
    -------
    (6,) float64
        Tx, Ty, Tz of the model's origin in model units (about mm), x right, y down, z away from the camera; and the
        Euler angles Rx, Ry, Rz of the head, radians, ``R = Rx·Ry·Rz``.
    """
    width, height = size
    focal = _FOCAL_LENGTH * (width / 640 + height / 480) / 2
    centre = np.array([width / 2, height / 2])
    camera = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])
    shape = np.ascontiguousarray(unposed_shape(pdm, params).T)
    rotation = cv2.Rodrigues(rotation_matrix(params[1:4]))[0]
    translation = np.array([*(params[4:6] - centre) / params[0], focal / params[0]])
    _, rotation, translation = cv2.solvePnP(
        shape, points, camera, None, rotation, translation, useExtrinsicGuess=True, flags=cv2.SOLVEPNP_ITERATIVE
    )
    angles = euler_angles(cv2.Rodrigues(rotation)[0].astype(np.float64, copy=False))
    return read_only(np.concatenate([np.ravel(translation), angles]))
