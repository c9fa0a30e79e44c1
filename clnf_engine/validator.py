"""The validator: how sure it is that fitted landmarks lie on a face, told from the face warped to a fixed shape.

Baltrušaitis, Robinson, Morency, ICCVW 2013, §3.4 and OpenFace 2.0, FG 2018, §III: one network per view. The crop is the
face warped triangle by triangle onto the mean shape, its grey levels normalised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from clnf_engine.arrays import Array, Floats


def logistic(values: Array) -> Array:
    """``1 / (1 + exp(−v))``, without overflow."""
    result: Array = 0.5 * (1 + np.tanh(0.5 * values))
    return result


@dataclass(frozen=True, eq=False)
class Warp:
    """A piecewise affine map of a face to a crop of h×w px.

    Attributes
    ----------
    low : (2,) float64
        x, y of the crop's upper left pixel in the frame of `destination`.
    destination : (n, 2) float64
        Landmarks of the crop.
    triangles : (t, 3) int32
        Landmarks i, j, k of each triangle.
    triangle_of : (h, w) int32
        The triangle that a pixel lies in; −1 outside all.
    mask : (h, w) bool
    alpha, beta : (t, 3) float64
        Of a triangle: its pixel at (u, v) is ``P_i + a·(P_j − P_i) + b·(P_k − P_i)`` with ``a = alpha·(1, u, v)`` and
        ``b = beta·(1, u, v)``.
    """

    low: Floats
    destination: Floats
    triangles: NDArray[np.int32]
    triangle_of: NDArray[np.int32]
    mask: NDArray[np.bool_]
    alpha: Floats
    beta: Floats

    def crop(self, image: NDArray[np.uint8], landmarks: Floats) -> Floats:
        """The warped face, bilinear, 0 where it reaches outside the image; outside the mask without meaning.

        Parameters
        ----------
        image : (H, W) uint8
        landmarks : (n, 2) float64
            Image px.

        Returns
        -------
        (h, w) float64
            Grey levels.
        """
        rows, columns = np.nonzero(self.mask)
        number = self.triangle_of[rows, columns]
        place = np.stack([np.ones(len(rows)), columns + self.low[0], rows + self.low[1]], axis=1)
        a, b = ((weights[number] * place).sum(axis=1)[:, None] for weights in (self.alpha, self.beta))
        i, j, k = (landmarks[self.triangles[number, corner]] for corner in range(3))
        places = (i + a * (j - i) + b * (k - i)).astype(np.float32)
        limits = np.array(image.shape[::-1])
        low = np.clip(np.floor(places.min(axis=0)) - 1, 0, limits - 1).astype(np.int32)
        high = np.clip(np.floor(places.max(axis=0)) + 3, low + 1, limits).astype(np.int32)
        maps = np.full((2, *self.mask.shape), -1, dtype=np.float32)
        maps[:, rows, columns] = (places - low.astype(np.float32)).T  # whole numbers: nothing is rounded
        around = image[low[1] : high[1], low[0] : high[0]].astype(np.float64)
        crop = cv2.remap(around, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
        return np.asarray(crop, dtype=np.float64)


class Network(Protocol):
    """What a validator decides with."""

    def decision(self, values: Floats, mask: NDArray[np.bool_]) -> float:
        """From −1, a face, to 1; `values` are those inside the mask, column by column."""


@dataclass(frozen=True, eq=False)
class Linear:
    """A support vector regression ``w·x + b``; weights (d,) float64."""

    weights: Floats
    bias: float

    def decision(self, values: Floats, mask: NDArray[np.bool_]) -> float:
        """See `Network`."""
        return float(self.weights @ values + self.bias)


@dataclass(frozen=True, eq=False)
class FullyConnected:
    """A net of layers ``f([1, h]·Wᵀ)``; `logistic_hidden`, `logistic_output`: else ``1.7159·tanh(2x/3)``."""

    layers: tuple[Floats, ...]
    logistic_hidden: bool
    logistic_output: bool

    def decision(self, values: Floats, mask: NDArray[np.bool_]) -> float:
        """See `Network`."""
        hidden: Array = values
        for index, weights in enumerate(self.layers):
            total = weights @ np.concatenate([[1.0], hidden])
            as_logistic = self.logistic_output if index == len(self.layers) - 1 else self.logistic_hidden
            hidden = logistic(total) if as_logistic else 1.7159 * np.tanh(2 / 3 * total)
        return 2 * (float(hidden[0]) - 0.5)


@dataclass(frozen=True, eq=False)
class Convolution:
    """Kernels (inputs, outputs, h, w) float32, turned by 180° as a true convolution has them; biases (outputs,)."""

    kernels: NDArray[np.float32]
    biases: NDArray[np.float32]

    def __call__(self, maps: Array) -> Array:
        """Maps (outputs, …) of the valid region, through the logistic function."""
        turned = self.kernels[:, :, ::-1, ::-1]
        windows = sliding_window_view(maps, self.kernels.shape[2:], axis=(1, 2))
        return logistic(np.einsum("irchw,iohw->orc", windows, turned, optimize=True) + self.biases[:, None, None])


@dataclass(frozen=True, eq=False)
class Subsampling:
    """2×2 sums over scale² at every scale-th row and column of a map without its last row and column."""

    scale: int

    def __call__(self, maps: Array) -> Array:
        """Maps of the same number, smaller."""
        sums = maps[:, :-1, :-1] + maps[:, 1:, :-1] + maps[:, :-1, 1:] + maps[:, 1:, 1:]
        sampled: Array = sums[:, :: self.scale, :: self.scale] / np.float32(self.scale**2)
        return sampled


@dataclass(frozen=True, eq=False)
class Dense:
    """A last layer over all maps, flattened column by column; weights (outputs, inputs) float32."""

    weights: NDArray[np.float32]
    bias: float

    def __call__(self, maps: Array) -> Array:
        """Maps (outputs, 1, 1)."""
        flat = maps.transpose(0, 2, 1).ravel()
        return logistic(self.weights @ flat + np.float32(self.bias))[:, None, None]


@dataclass(frozen=True, eq=False)
class Convolutional:
    """A convolutional network."""

    layers: tuple[Convolution | Subsampling | Dense, ...]

    def decision(self, values: Floats, mask: NDArray[np.bool_]) -> float:
        """See `Network`."""
        maps: Array = np.zeros((1, *mask.shape), dtype=np.float32)
        maps[0].T[mask.T] = values
        for layer in self.layers:
            maps = layer(maps)
        return 2 * (float(maps.ravel()[0]) - 0.5)


@dataclass(frozen=True, eq=False)
class ValidatorView:
    """The validator of faces turned about alike.

    Attributes
    ----------
    mean, deviation : (d,) float64
        Of each value inside the mask over the training data.
    network : Network
    warp : Warp
    """

    mean: Floats
    deviation: Floats
    network: Network
    warp: Warp

    def certainty(self, image: NDArray[np.uint8], landmarks: Floats) -> float:
        """From −1, surely a face, to 1, surely none."""
        mask = self.warp.mask
        values = self.warp.crop(image, landmarks).T[mask.T]
        values = (values - values.mean()) / (values.std() or 1.0)
        return self.network.decision((values - self.mean) / self.deviation, mask)


@dataclass(frozen=True, eq=False)
class Validator:
    """Tells faces from other results of a fit.

    Attributes
    ----------
    view_centres_degrees : (V, 3) float64
        Head rotations (rx, ry, rz).
    views : tuple of ValidatorView
    """

    view_centres_degrees: Floats
    views: tuple[ValidatorView, ...]

    @property
    def n_landmarks(self) -> int:
        """Number of landmarks n."""
        return len(self.views[0].warp.destination)

    def nearest_view(self, rotation: Floats) -> int:
        """Index of the view whose centre is nearest to a head rotation, (3,) radians."""
        return int(np.argmin(np.linalg.norm(np.deg2rad(self.view_centres_degrees) - rotation, axis=1)))

    def certainty(self, image: NDArray[np.uint8], rotation: Floats, landmarks: Floats) -> float:
        """How sure it is that there is no face.

        Parameters
        ----------
        image : (H, W) uint8
        rotation : (3,) float64
            Of the head, radians.
        landmarks : (n, 2) float64
            Image px.

        Returns
        -------
        float
            From −1, surely a face, to 1, surely none.
        """
        return self.views[self.nearest_view(rotation)].certainty(image, landmarks)
