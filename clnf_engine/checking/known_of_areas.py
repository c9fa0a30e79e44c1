"""Known mistakes of the alignment and of the sampling of areas."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from clnf_engine.arrays import Array, Floats
from clnf_engine.checking.evidence import Inputs
from clnf_engine.checking.known import Known, similarity_scale
from clnf_engine.deviations import least_squares_similarity
from clnf_engine.pdm import rotation_matrix

KNOWN = Known()


# --- alignment -------------------------------------------------------------------------------------


@KNOWN.at("similarity", "the similarity is the least-squares one")
def alignment_least_squares(v: Inputs) -> Floats:
    return least_squares_similarity(v.out, v.base_shape, v.reference_shape)


def _turn(v: Inputs) -> Floats:
    return np.asarray(v.out / similarity_scale(v.out))


def _sized(v: Inputs, size: float) -> Floats:
    return _turn(v) * size


def _spread(shape: Floats, how: Callable[[Floats], float]) -> float:
    return how(shape - shape.mean(axis=0))


for _name, _text, _how in (
    (
        "scale_of_mean_distances",
        "the scale is the ratio of mean distances",
        lambda s: float(np.linalg.norm(s, axis=1).mean()),
    ),
    ("scale_of_widths", "the scale is the ratio of widths", lambda s: float(np.ptp(s[:, 0]))),
    ("scale_of_heights", "the scale is the ratio of heights", lambda s: float(np.ptp(s[:, 1]))),
    ("scale_squared", "the scale is the ratio of mean squares", lambda s: float((s * s).mean())),
):
    KNOWN.add(
        "similarity", _name, _text,
        lambda v, how=_how: _sized(v, _spread(v.reference_shape, how) / _spread(v.base_shape, how)),
    )  # fmt: skip

KNOWN.add(
    "similarity", "scale_of_the_parameters", "the scale is the patch scaling over that of the parameters",
    lambda v: _sized(v, v.patch_scaling / v.params_before[0]),
)  # fmt: skip
KNOWN.add(
    "similarity", "scale_inverse_of_the_parameters", "the scale is that of the parameters over the patch scaling",
    lambda v: _sized(v, v.params_before[0] / v.patch_scaling),
)  # fmt: skip


@KNOWN.at("similarity", "the turn is rz of the parameters alone")
def turn_of_rz(v: Inputs) -> Floats:
    turn = rotation_matrix(np.array([0.0, 0.0, v.params_before[3]]))[:2, :2]
    return np.asarray(turn.T * similarity_scale(v.out))


def _aligned(a: Floats, b: Floats) -> Floats:
    """The turn and scale that take one shape to another as they stand, about the origin."""
    c, s = float((a * b).sum()), float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum())
    size = math.sqrt(float((b * b).sum() / (a * a).sum())) / math.hypot(c, s)
    return np.array([[c, -s], [s, c]]) * size


def _of_some(v: Inputs, some: Any) -> Floats:
    """Of some landmarks alone, centred."""
    a, b = v.base_shape[some], v.reference_shape[some]
    return _aligned(a - a.mean(axis=0), b - b.mean(axis=0))


KNOWN.add(
    "similarity", "not_centred", "the shapes are not centred", lambda v: _aligned(v.base_shape, v.reference_shape)
)
for _place, _point in ((0, "first"), (-1, "last"), (30, "nose's"), (33, "nose's lower")):
    KNOWN.add(
        "similarity", "centred_on_a_landmark", f"the shapes are centred on the {_point} landmark",
        lambda v, k=_place: _aligned(v.base_shape - v.base_shape[k], v.reference_shape - v.reference_shape[k]),
    )  # fmt: skip
for _name, _text, _some in (
    ("similarity_of_eye_corners", "the similarity is that of the outer eye corners", [36, 45]),
    ("similarity_of_eyes", "the similarity is that of the eyes", slice(36, 48)),
    ("similarity_of_inner_landmarks", "the similarity leaves out the outline of the face", slice(17, None)),
    ("similarity_of_eyes_and_mouth", "the similarity is that of eye and mouth corners", [36, 39, 42, 45, 48, 54]),
    ("similarity_of_the_outline", "the similarity is that of the outline of the face", slice(0, 17)),
):
    KNOWN.add("similarity", _name, _text, lambda v, some=_some: _of_some(v, some))
KNOWN.add(
    "similarity", "similarity_of_visible_landmarks", "the similarity is that of visible landmarks",
    lambda v: _of_some(v, v.visible),
)  # fmt: skip
KNOWN.add(
    "similarity", "scale_of_bounding_boxes", "the scale is the mean of the ratios of widths and heights",
    lambda v: _sized(v, float((np.ptp(v.reference_shape, axis=0) / np.ptp(v.base_shape, axis=0)).mean())),
)  # fmt: skip
KNOWN.add(
    "similarity", "scale_of_bounding_boxes", "the scale is the root of the ratio of the bounding boxes' areas",
    lambda v: _sized(v, math.sqrt((np.ptp(v.reference_shape, axis=0) / np.ptp(v.base_shape, axis=0)).prod())),
)  # fmt: skip


@KNOWN.at("similarity", "the map is the affine one of least squares")
def affine(v: Inputs) -> Floats:
    a, b = (shape - shape.mean(axis=0) for shape in (v.base_shape, v.reference_shape))
    return np.asarray(np.linalg.lstsq(a, b, rcond=None)[0].T)


KNOWN.add(
    "similarity_inverse",
    "image_rotation_sign_flipped",
    "the map from the reference to the image frame turns the wrong way",
    lambda v: v.out.T,
)


# --- sampling --------------------------------------------------------------------------------------


def coordinates(v: Inputs, centre: float = 0.0, matrix: Floats | None = None, shapes: Floats | None = None) -> Floats:
    """Where areas are sampled, (n, height, width, 2); `centre` moves the middle of the grid, cells."""
    height, width = v.window + v.support[0] - 1, v.window + v.support[1] - 1
    dy = np.arange(height) - (height - 1) / 2 - centre
    dx = np.arange(width) - (width - 1) / 2 - centre
    grid = np.stack(np.meshgrid(dx, dy), axis=-1)
    turned = grid @ (v.reference_to_image if matrix is None else matrix).T
    return (v.base_shape if shapes is None else shapes)[:, None, None, :] + turned


def sampled(v: Inputs, where: Floats, how: int = cv2.INTER_LINEAR, border: int | None = None) -> Array:
    """Bilinear sampling in float; a border as OpenCV names it, or replicated."""
    image = v.image.astype(np.float64)
    rows, cols = image.shape
    x, y = where[..., 0], where[..., 1]
    inside = (x >= 0) & (x <= cols - 1) & (y >= 0) & (y <= rows - 1)
    if how == cv2.INTER_NEAREST:
        found = image[np.clip(np.rint(y), 0, rows - 1).astype(int), np.clip(np.rint(x), 0, cols - 1).astype(int)]
    else:
        if border == cv2.BORDER_REFLECT_101:
            x, y = (np.abs((value + last) % (2 * last or 1) - last) for value, last in ((x, cols - 1), (y, rows - 1)))
            x, y = (cols - 1) - x, (rows - 1) - y
            x, y = np.abs((cols - 1) - x), np.abs((rows - 1) - y)
        x, y = np.clip(x, 0, cols - 1), np.clip(y, 0, rows - 1)
        left, top = (
            np.minimum(np.floor(x), max(cols - 2, 0)).astype(int),
            np.minimum(np.floor(y), max(rows - 2, 0)).astype(int),
        )
        fx, fy = x - left, y - top
        upper = image[top, left] * (1 - fx) + image[top, left + 1] * fx
        lower = image[top + 1, left] * (1 - fx) + image[top + 1, left + 1] * fx
        found = upper * (1 - fy) + lower * fy
    if border == cv2.BORDER_CONSTANT:
        found = np.where(inside, found, 0.0)
    return np.where(v.visible[:, None, None], found, 0.0)


KNOWN.add(
    "area",
    "half_pixel_centre",
    "the middle of the area is size/2 instead of (size − 1)/2",
    lambda v: sampled(v, coordinates(v, 0.5)),
)
KNOWN.add(
    "area",
    "half_pixel_beyond",
    "the area lies half a cell too far to the left and up",
    lambda v: sampled(v, coordinates(v, -0.5)),
)
KNOWN.add(
    "area",
    "nearest_sampling",
    "the area is sampled at the nearest pixel",
    lambda v: sampled(v, coordinates(v), cv2.INTER_NEAREST),
)
KNOWN.add(
    "area",
    "floor_sampling",
    "the area is sampled at the pixel up and left",
    lambda v: sampled(v, np.floor(coordinates(v))),
)
KNOWN.add(
    "area",
    "truncated_sampling",
    "the area is sampled at coordinates cut to whole numbers",
    lambda v: sampled(v, np.trunc(coordinates(v))),
)
KNOWN.add(
    "area",
    "border_zero",
    "beyond the border the image is zero",
    lambda v: sampled(v, coordinates(v), border=cv2.BORDER_CONSTANT),
)
KNOWN.add(
    "area",
    "border_reflected",
    "beyond the border the image is reflected",
    lambda v: sampled(v, coordinates(v), border=cv2.BORDER_REFLECT_101),
)
KNOWN.add(
    "area",
    "landmarks_rounded",
    "the landmarks are rounded to whole pixels before the area is sampled",
    lambda v: sampled(v, coordinates(v, shapes=np.rint(v.base_shape))),
)
KNOWN.add(
    "area",
    "not_turned",
    "the area is upright in the image",
    lambda v: sampled(v, coordinates(v, matrix=np.eye(2) * similarity_scale(v.reference_to_image))),
)
KNOWN.add(
    "area",
    "unit_scale",
    "the area is turned but not scaled",
    lambda v: sampled(v, coordinates(v, matrix=v.reference_to_image / similarity_scale(v.reference_to_image))),
)
for _step in (32, 16, 8, 4, 2):
    KNOWN.add(
        "area",
        "fixed_point_sampling",
        f"coordinates are rounded to 1/{_step} px",
        lambda v, by=_step: sampled(v, np.rint(coordinates(v) * by) / by),
    )
for _x, _y in ((0.5, 0.5), (-0.5, -0.5), (1.0, 1.0), (-1.0, -1.0), (0.5, 0.0), (0.0, 0.5)):
    KNOWN.add(
        "area",
        "pixel_offset",
        f"the image is sampled {_x:+g}, {_y:+g} px aside",
        lambda v, by=(_x, _y): sampled(v, coordinates(v) + np.array(by)),
    )


def _remapped(v: Inputs, how: int, image: Callable[[Array], Array] = lambda image: image) -> Array:
    where = coordinates(v).astype(np.float32)
    areas = [
        cv2.remap(image(v.image), w[..., 0], w[..., 1], how, borderMode=cv2.BORDER_REPLICATE).astype(np.float64)
        for w in where
    ]
    return np.where(v.visible[:, None, None], np.stack(areas), 0.0)


KNOWN.add(
    "area", "opencv_remap", "the area is sampled by cv2.remap, in 1/32 px", lambda v: _remapped(v, cv2.INTER_LINEAR)
)
KNOWN.add(
    "area",
    "opencv_remap",
    "the area is sampled by cv2.remap, in 1/32 px",
    lambda v: _remapped(v, cv2.INTER_LINEAR, lambda i: i.astype(np.float32)),
)
KNOWN.add(
    "area",
    "bicubic_sampling",
    "the area is sampled with cubic interpolation",
    lambda v: _remapped(v, cv2.INTER_CUBIC, lambda i: i.astype(np.float32)),
)
KNOWN.add(
    "area",
    "equalised_image",
    "the histogram of the image is equalised",
    lambda v: _remapped(v, cv2.INTER_LINEAR, lambda i: cv2.equalizeHist(i).astype(np.float32)),
)
KNOWN.add(
    "area",
    "blurred_image",
    "the image is blurred",
    lambda v: _remapped(v, cv2.INTER_LINEAR, lambda i: cv2.GaussianBlur(i, (3, 3), 0).astype(np.float32)),
)


def each_area(change: Callable[[Array], Array]) -> Callable[[Inputs], Array]:
    """The hypothesis that the areas of visible landmarks are changed."""
    return lambda v: np.where(v.visible[:, None, None], change(np.asarray(v.out, dtype=np.float64)), 0.0)


KNOWN.add("area", "whole_grey_levels", "the area is cut to whole grey levels", each_area(np.floor))
KNOWN.add("area", "whole_grey_levels", "the area is rounded to whole grey levels", each_area(np.rint))
KNOWN.add(
    "area",
    "area_normalised",
    "the area is normalised to mean 0 and deviation 1",
    each_area(lambda a: (a - a.mean(axis=(1, 2), keepdims=True)) / a.std(axis=(1, 2), keepdims=True)),
)
KNOWN.add(
    "area",
    "area_stretched",
    "the area is stretched to 0…1",
    each_area(lambda a: (a - a.min(axis=(1, 2), keepdims=True)) / np.ptp(a, axis=(1, 2)).reshape(-1, 1, 1)),
)
KNOWN.add(
    "area",
    "area_stretched",
    "the area is stretched to 0…255",
    each_area(lambda a: 255 * (a - a.min(axis=(1, 2), keepdims=True)) / np.ptp(a, axis=(1, 2)).reshape(-1, 1, 1)),
)
KNOWN.add("area", "inverted_image", "the image is inverted", each_area(lambda a: 255 - a))
