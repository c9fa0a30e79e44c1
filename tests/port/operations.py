"""The port's methods as functions of what the table of operations reads, with mistakes in their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from clnf_engine import FitOptions, Model

from .port import SILENT_ALPHA
from .traces import faulty


def function_of(operation: str, names: tuple[str, ...], model: Model) -> Callable[..., Any]:
    """A function in the place of an operation, from a port with mistakes."""
    port = faulty(names, model, FitOptions())

    def each(function: Callable[[Any], Any], maps: Any) -> Any:
        return np.stack([function(one) for one in maps])

    def schedule(windows: Any, n_scales: Any) -> Any:
        port.options = FitOptions(windows=windows)
        return [(plan.patch_scale, plan.window) for plan in port.schedule()] + [
            (k, 0) for k in range(len(windows), n_scales)
        ]

    def stage(scaling: Any, first: Any, sigma: Any, reg: Any, weight: Any, adapt: Any) -> Any:
        port.options = FitOptions(sigma=sigma, reg_factor=reg, weight_factor=weight)
        return port.stage(scaling)

    def area(image: Any, shape: Any, to_image: Any, visible: Any, window: Any, support: Any) -> Any:
        port.image, size = image, window + support[0] - 1
        found = np.zeros((len(shape), size, size))
        for i in np.flatnonzero(visible):
            found[i] = port.area(shape[i], to_image, size)
        return found

    def neurons(maps: Any, experts: Any, dtype: Any, one: Callable[..., Any]) -> Any:
        n, kinds = experts.alpha.shape
        size = maps.shape[-1] - (experts.weights.shape[-1] - 1 if maps.ndim == 3 else 0)
        found = np.zeros((n, kinds, size, size))
        for i in np.flatnonzero(experts.visible):
            for k in range(experts.neurons[i]):
                if experts.alpha[i, k] > SILENT_ALPHA:
                    found[i, k] = one(maps[i] if maps.ndim == 3 else maps[i, k], experts, i, k)
        return found

    def sigma(raw: Any, transform: Any, view: Any, scale: Any) -> Any:
        place, found = model.scales.index(scale), np.zeros(raw.shape)
        for i in np.flatnonzero(scale.views[view].visible):
            found[i] = port.sigma(raw[i], (place, view, raw.shape[-1], int(i)))
        return found

    def mean_shift(final: Any, position: Any, totals: Any, visible: Any, sigma: Any, kernel: Any) -> Any:
        found = np.zeros_like(position)
        for i in np.flatnonzero(visible & (totals > 0)):
            found[i] = port.mean_shift(final[i], *position[i], sigma, totals[i])
        return found

    def likelihood(final: Any, points: Any, base: Any, similarity: Any, visible: Any, sigma: Any) -> Any:
        cells, found = port.cells(points, base, similarity, final.shape[-1]), np.zeros(len(final))
        for i in np.flatnonzero(visible):
            found[i] = port.likelihood(final[i], *cells[i], sigma)
        return found

    def jacobian(params: Any, rigid: Any, visible: Any, pdm: Any, dtype: Any) -> Any:
        return port.jacobian(params)[:, : 6 if rigid else None] * np.concatenate([visible, visible])[:, None]

    def neuron(ncc: Any, e: Any, i: int, k: int) -> Any:
        return port.neuron(ncc, e.norm_weights[i, k], e.bias[i, k], e.alpha[i, k])

    def clamp(moved: Any, sigmas: Any, pdm: Any) -> Any:
        port.options = FitOptions(clamp_sigmas=sigmas)
        return port.clamp(moved)

    return {
        "init": lambda box, rotation, pdm: port.init(box, tuple(rotation)),
        "project": lambda params, pdm: port.project(params),
        "schedule": schedule,
        "stage": stage,
        "view": lambda params, centres, scale: port.view(model.scales.index(scale), params),
        "base_shape": lambda params, pdm: port.base_shape(params),
        "reference_shape": lambda params, scaling, pdm: port.reference_shape(params, scaling),
        "similarity": port.similarity,
        "similarity_inverse": port.similarity_inverse,
        "area": area,
        "ncc": lambda area, e, dtype: neurons(area, e, dtype, lambda a, e, i, k: port.ncc(a, e.weights[i, k])),
        "neuron": lambda ncc, e: neurons(ncc, e, None, neuron),
        "raw": lambda outputs: each(port.raw, outputs),
        "sigma": sigma,
        "shift": lambda maps: each(port.shift, maps),
        "normalise": lambda maps, how, gain: each(port.normalise, maps),
        "position": lambda points, base, similarity, window, dtype: port.position(
            port.cells(points, base, similarity, window), window
        ),
        "kernel_sum": lambda final, position, sigma, kernel: np.array(
            [port.kernel_sum(m, *p, sigma) for m, p in zip(final, position, strict=True)]
        ),
        "mean_shift": mean_shift,
        "mean_shift_image": port.mean_shift_image,
        "weights": lambda factor, experts, dtype: port.weights(experts, factor),
        "jacobian": jacobian,
        "hessian": lambda jacobian, weights, rigid, reg, pdm: port.hessian(jacobian, weights, reg),
        "gradient": lambda jacobian, weights, shifts, params, rigid, reg, pdm: port.gradient(
            jacobian, weights, shifts, reg, params
        ),
        "delta": port.delta,
        "update": port.update,
        "clamp": clamp,
        "likelihood": likelihood,
    }[operation]
