"""Response maps of a stage: area → neurons → Sigma → shift → normalization."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Array, Floats, read_only_fields
from clnf_engine.experts import correlate, neuron_outputs, sample_areas
from clnf_engine.model import Model
from clnf_engine.options import FitOptions, Normalization
from clnf_engine.pdm import landmarks, upright_shape
from clnf_engine.sigma import sigma_transform
from clnf_engine.steps import ResponseMaps


def response_maps(
    image: NDArray[np.uint8], model: Model, scale: int, view: int, window: int, params: Floats, options: FitOptions
) -> ResponseMaps:
    """Response maps around the landmarks that `params` describe.

    Parameters
    ----------
    image : (H, W) uint8
    model : Model
    scale, view : int
        Indices of the experts.
    window : int
        Side of the maps, reference px.
    params : (6 + m,) float64
    options : FitOptions
        Precision, Sigma, normalization and gain.

    Returns
    -------
    ResponseMaps
    """
    dtype = np.dtype(options.precision)
    patch_scale = model.scales[scale]
    experts = patch_scale.views[view]
    base_shape = landmarks(model.pdm, params)
    reference_shape = upright_shape(model.pdm, params, patch_scale.patch_scaling)
    image_to_reference = similarity(base_shape, reference_shape)
    # The C++ keeps this map and the landmarks it samples around in float32; so both sample the same places.
    reference_to_image = np.linalg.inv(image_to_reference).astype(np.float32).astype(np.float64)
    height, width = experts.support
    size = (window + height - 1, window + width - 1)
    centres = base_shape.astype(np.float32).astype(np.float64)
    area = sample_areas(image, centres, reference_to_image, size)
    if not experts.visible.all():
        area[~experts.visible] = 0
    ncc = correlate(area, experts, dtype)
    outputs = neuron_outputs(ncc, experts)
    raw = outputs.sum(axis=1)
    after_sigma = sigma_transform(raw, patch_scale, view) if options.sigma_transform else raw
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
