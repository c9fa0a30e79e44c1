"""Response maps of a stage: area → neurons → Sigma → shift → normalization."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Array, Floats, read_only_fields
from clnf_engine.deviations import least_squares_similarity, sign_flipped
from clnf_engine.experts import correlate, neuron_outputs, sample_areas
from clnf_engine.model import Model
from clnf_engine.options import FitOptions, Normalization
from clnf_engine.pdm import landmarks, upright_shape
from clnf_engine.sigma import sigma_transform
from clnf_engine.steps import ResponseMaps, Stage


def response_maps(
    image: NDArray[np.uint8], model: Model, stage: Stage, params: Floats, options: FitOptions
) -> ResponseMaps:
    """Response maps around the landmarks that `params` describe.

    Parameters
    ----------
    image : (H, W) uint8
    model : Model
    stage : Stage
        One that is not skipped: it names the experts and the window, and whether Sigma is applied.
    params : (6 + m,) float64
    options : FitOptions
        Precision, normalization, gain and deviations.

    Returns
    -------
    ResponseMaps
    """
    assert stage.view is not None
    dtype, window = np.dtype(options.precision), stage.window
    patch_scale = model.scales[stage.patch_scale]
    experts = patch_scale.views[stage.view]
    base_shape = landmarks(model.pdm, params)
    reference_shape = upright_shape(model.pdm, params, patch_scale.patch_scaling)
    image_to_reference, reference_to_image = frames(base_shape, reference_shape, options)
    height, width = experts.support
    size = (window + height - 1, window + width - 1)
    centres = base_shape
    if not options.responses_every_iteration:
        # The C++ keeps the landmarks it samples around in float32; so both sample the same places.
        centres = base_shape.astype(np.float32).astype(np.float64)
    area = sample_areas(image, centres, reference_to_image, size)
    if not experts.visible.all():
        area[~experts.visible] = 0
    ncc = correlate(area, experts, dtype)
    outputs = neuron_outputs(ncc, experts)
    raw = outputs.sum(axis=1)
    after_sigma = sigma_transform(raw, patch_scale, stage.view) if stage.sigma_transform else raw
    shifted = shift_to_positive(after_sigma)
    final = normalize(shifted, options.normalization)
    if options.response_gain != 1.0:
        final = final * dtype.type(options.response_gain)
    return read_only_fields(
        ResponseMaps(
            base_shape=base_shape,
            reference_shape=reference_shape,
            image_to_reference=image_to_reference,
            reference_to_image=reference_to_image,
            visible=experts.visible,
            area=area,
            neuron_ncc=ncc,
            neuron_output=outputs,
            raw=raw,
            after_sigma=after_sigma,
            shifted=shifted,
            final=final,
        )
    )


def frames(base_shape: Floats, reference_shape: Floats, options: FitOptions) -> tuple[Floats, Floats]:
    """The linear maps between the image and the reference frame.

    Parameters
    ----------
    base_shape : (n, 2) float64
        Image px.
    reference_shape : (n, 2) float64
        Reference px.
    options : FitOptions
        Its deviations.

    Returns
    -------
    image_to_reference, reference_to_image : (2, 2) float64
        The second is rounded to float32, as in the C++.
    """
    image_to_reference = similarity(base_shape, reference_shape)
    if options.alignment_least_squares:
        image_to_reference = least_squares_similarity(image_to_reference, base_shape, reference_shape)
    reference_to_image = np.linalg.inv(image_to_reference).astype(np.float32).astype(np.float64)
    if options.image_rotation_sign_flipped:
        reference_to_image = sign_flipped(reference_to_image)
    return image_to_reference, reference_to_image


def similarity(source: Floats, target: Floats) -> Floats:
    """Linear part of the similarity that maps one shape onto another.

    Both are centred and RMS-normalised; the rotation is Kabsch's, the scale the ratio of the RMS sizes (not
    the least-squares scale).

    Parameters
    ----------
    source, target : (n, 2) float64

    Returns
    -------
    (2, 2) float64
        S such that ``target ≈ source @ S.T`` after centring.
    """
    source, target = source - source.mean(axis=0), target - target.mean(axis=0)
    size = math.sqrt((target.ravel() @ target.ravel()) / (source.ravel() @ source.ravel()))
    # In two dimensions Kabsch's rotation is the angle between the shapes, by their dot and cross products.
    (xx, xy), (yx, yy) = (source.T @ target).tolist()
    dot, cross = xx + yy, xy - yx
    length = math.hypot(dot, cross)
    c, s = size * dot / length, size * cross / length
    return np.array([[c, -s], [s, c]])


def shift_to_positive(maps: Array) -> Array:
    """Subtract its minimum from every map whose minimum is negative; leave the others alone.

    Parameters
    ----------
    maps : (n, w, w)

    Returns
    -------
    (n, w, w)
    """
    shifted: Array = maps - np.minimum(maps.min(axis=(1, 2), keepdims=True), 0)
    return shifted


def normalize(maps: Array, normalization: Normalization) -> Array:
    """Normalize non-negative response maps; a map that is zero everywhere stays so.

    Parameters
    ----------
    maps : (n, w, w)
    normalization : Normalization
        ``none``; ``peak``: each map by its maximum; ``minmax``: each to exactly [0, 1]; ``sum``: each to a
        probability; ``global_peak``: all by the largest maximum of any landmark.

    Returns
    -------
    (n, w, w)
        `maps` itself for ``none``.
    """
    if normalization is Normalization.NONE:
        return maps
    if normalization is Normalization.MINMAX:
        maps = maps - maps.min(axis=(1, 2), keepdims=True)
    if normalization is Normalization.SUM:
        divisor = maps.sum(axis=(1, 2), keepdims=True)
    elif normalization is Normalization.GLOBAL_PEAK:
        divisor = np.broadcast_to(maps.max(), (maps.shape[0], 1, 1))
    else:
        divisor = maps.max(axis=(1, 2), keepdims=True)
    normalized: Array = np.divide(maps, divisor, out=np.zeros_like(maps), where=divisor > 0)
    return normalized
