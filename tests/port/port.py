"""A port of CLNF as somebody else would write it: from the description alone, sharing nothing with the engine.

It reads the arrays of a `Model` and hands out a `Trace`; between the two every number is its own. Each operation is a
method of its own name, so that a test can plant a mistake by replacing one. n landmarks, m modes, w the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from clnf_engine import FitOptions, Model, Phase, ResponseMaps, Step, Trace
from clnf_engine.initial import Initial
from clnf_engine.options import Precision, Source
from clnf_engine.steps import MeanShift, Stage

SUPPORT = 11
SILENT_ALPHA = 1e-4
FLAT = 1e-6
"""Standard deviation (grey levels) below which a patch has nothing to correlate with."""
CELL = 0.1
"""Steps of the kernel table, cells."""


@dataclass
class Plan:
    """What is to be done at one stage: its patch scale, its window, and how often each phase iterates."""

    patch_scale: int
    window: int
    iterations: dict[Phase, int]


@dataclass
class Now:
    """The stage a fit is in, and what its iterations share."""

    stage: Stage
    experts: Any
    maps: ResponseMaps


def rotation(rx: float, ry: float, rz: float) -> np.ndarray:
    """R = Rx·Ry·Rz."""
    cx, sx, cy, sy, cz, sz = np.cos(rx), np.sin(rx), np.cos(ry), np.sin(ry), np.cos(rz), np.sin(rz)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_x @ about_y @ about_z


def euler(r: np.ndarray) -> np.ndarray:
    """The angles of a rotation matrix; undoes `rotation`."""
    return np.array([np.arctan2(-r[1, 2], r[2, 2]), np.arcsin(r[0, 2]), np.arctan2(-r[0, 1], r[0, 0])])


def small_rotation(w: np.ndarray) -> np.ndarray:
    """The rotation matrix nearest to I + [w]×."""
    u, _, vt = np.linalg.svd(np.array([[1, -w[2], w[1]], [w[2], 1, -w[0]], [-w[1], w[0], 1]]))
    return u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt


class Port:
    """A fit, one method per operation. `dtype` is what maps, shifts, Jacobian and equations are kept in."""

    def __init__(self, model: Model, options: FitOptions | None = None, dtype: Any = np.float64) -> None:
        self.model, self.options, self.dtype = model, options or FitOptions(), np.dtype(dtype)
        self.n, self.modes = model.n_landmarks, model.pdm.variances.size
        self.matrices: dict[tuple[int, ...], np.ndarray] = {}

    # --- the shape

    def shape(self, q: np.ndarray) -> np.ndarray:
        """Points of the model, (n, 3): all x, then all y, then all z in the file."""
        return (self.model.pdm.mean + self.model.pdm.modes @ q).reshape(3, self.n).T

    def basis(self) -> np.ndarray:
        """What each mode moves, (3, n, m)."""
        return self.model.pdm.modes.reshape(3, self.n, self.modes)

    def rotation(self, params: np.ndarray) -> np.ndarray:
        return rotation(*params[1:4])

    def project(self, params: np.ndarray) -> np.ndarray:
        return params[0] * (self.shape(params[6:]) @ self.rotation(params)[:2].T) + params[4:6]

    def init(self, box: tuple[float, ...], angles: tuple[float, ...]) -> np.ndarray:
        x, y, width, height = box
        points = self.shape(np.zeros(self.modes)) @ rotation(*angles).T[:, :2]
        low, high = points.min(axis=0), points.max(axis=0)
        scale = (width / (high - low)[0] + height / (high - low)[1]) / 2
        centre = np.array([x + width / 2, y + height / 2]) - scale * (low + high) / 2
        return np.concatenate([[scale], angles, centre, np.zeros(self.modes)])

    # --- the schedule

    def schedule(self) -> list[Plan]:
        count = self.options.max_iterations
        pairs = zip(range(len(self.model.scales)), self.options.windows, strict=False)
        return [Plan(scale, window, {Phase.RIGID: count, Phase.NONRIGID: count}) for scale, window in pairs]

    def skip(self, plan: Plan, params: np.ndarray) -> str:
        if plan.window == 0:
            return "no window"
        return "the face is too small" if 0.9 * self.model.scales[plan.patch_scale].patch_scaling > params[0] else ""

    def stop(self, shape: np.ndarray, before: np.ndarray, delta: np.ndarray) -> bool:
        return bool(np.sqrt(((shape - before) ** 2).sum()) < self.options.convergence_px)

    def stage(self, scaling: float) -> tuple[float, float, float]:
        """Sigma, regularisation and weight factor, adapted."""
        levels = np.log2(scaling / 0.25)
        reg = self.options.reg_factor - 15 * levels
        sigma = self.options.sigma + 0.25 * levels
        return sigma, reg if reg > 0 else 0.001, self.options.weight_factor * (1 + 2 * levels)

    def view(self, patch_scale: int, params: np.ndarray) -> int:
        centres = np.deg2rad(self.model.scales[patch_scale].view_centres_degrees)
        return int(np.argmin([np.linalg.norm(centre - params[1:4]) for centre in centres]))

    # --- the response maps

    def base_shape(self, params: np.ndarray) -> np.ndarray:
        return self.project(params)

    def reference_shape(self, params: np.ndarray, scaling: float) -> np.ndarray:
        return self.project(np.concatenate([[scaling, 0, 0, 0, 0, 0], params[6:]]))

    def similarity(self, base: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """From image px to reference px, without translation."""
        a, b = base - base.mean(axis=0), reference - reference.mean(axis=0)
        size_a, size_b = np.sqrt((a**2).mean()), np.sqrt((b**2).mean())
        u, _, vt = np.linalg.svd((b / size_b).T @ (a / size_a))
        turn = u @ np.diag([1, np.linalg.det(u @ vt)]) @ vt
        return turn * size_b / size_a

    def similarity_inverse(self, similarity: np.ndarray) -> np.ndarray:
        inverse = np.linalg.inv(similarity)
        a, b = inverse[0, 0], inverse[1, 0]
        return np.array([[a, -b], [b, a]]).astype(np.float32).astype(float)

    def grid(self, size: int) -> np.ndarray:
        """Where an area is sampled, reference px from its landmark, (size, size, 2)."""
        steps = np.arange(size) - (size - 1) / 2
        return np.stack(np.meshgrid(steps, steps), axis=-1)

    def look_up(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Grey levels between pixels; beyond the border, those of the border."""
        height, width = self.image.shape
        left, top = np.floor(x).astype(int), np.floor(y).astype(int)
        fx, fy = x - left, y - top
        x0, x1 = np.clip(left, 0, width - 1), np.clip(left + 1, 0, width - 1)
        y0, y1 = np.clip(top, 0, height - 1), np.clip(top + 1, 0, height - 1)
        upper = self.image[y0, x0] * (1 - fx) + self.image[y0, x1] * fx
        lower = self.image[y1, x0] * (1 - fx) + self.image[y1, x1] * fx
        return upper * (1 - fy) + lower * fy

    def area(self, point: np.ndarray, to_image: np.ndarray, size: int) -> np.ndarray:
        places = self.grid(size) @ to_image.T + point.astype(np.float32)
        return self.look_up(places[..., 0], places[..., 1]).astype(np.float32)

    def ncc(self, area: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Correlation of every patch of an area with a neuron's weights, (w, w)."""
        patches = np.lib.stride_tricks.sliding_window_view(area.astype(self.dtype), weights.shape)
        w = patches.shape[0]
        patches = patches.reshape(w * w, -1)  # one row of grey levels per cell
        patches = patches - patches.mean(axis=1, keepdims=True)
        weights = (weights - weights.mean()).astype(self.dtype).ravel()
        lengths = np.sqrt((patches**2).sum(axis=1))
        flat = lengths < FLAT * np.sqrt(weights.size)
        found = patches @ weights / (np.where(flat, 1, lengths) * np.sqrt((weights**2).sum()))
        return np.where(flat, 0, found).reshape(w, w)

    def neuron(self, ncc: np.ndarray, norm_weight: float, bias: float, alpha: float) -> np.ndarray:
        return (2 * alpha / (1 + np.exp(-(ncc * norm_weight + bias)))).astype(self.dtype)

    def raw(self, outputs: np.ndarray) -> np.ndarray:
        return outputs.sum(axis=0)

    def sigma_matrix(self, patch_scale: int, view: int, window: int, i: int) -> np.ndarray:
        scale = self.model.scales[patch_scale]
        experts = scale.views[view]
        total = experts.alpha[i].sum() * np.eye(window**2)
        for beta, component in zip(experts.betas[i], scale.sigma_components.get(window, ()), strict=False):
            total = total + beta * component
        return np.linalg.inv(2 * total)

    def sigma(self, raw: np.ndarray, where: tuple[int, int, int, int]) -> np.ndarray:
        """`where`: patch scale, view, window, landmark."""
        if where not in self.matrices:
            self.matrices[where] = self.sigma_matrix(*where)
        return (self.matrices[where].astype(self.dtype) @ raw.ravel()).reshape(raw.shape)

    def shift(self, response: np.ndarray) -> np.ndarray:
        return response - response.min() if response.min() < 0 else response

    def normalise(self, response: np.ndarray) -> np.ndarray:
        return response

    def maps(self, params: np.ndarray, stage: Stage) -> ResponseMaps:
        experts = self.model.scales[stage.patch_scale].views[stage.view]
        base, reference = self.base_shape(params), self.reference_shape(params, stage.scale)
        similarity = self.similarity(base, reference)
        to_image = self.similarity_inverse(similarity)
        w, size, kinds = stage.window, stage.window + SUPPORT - 1, experts.weights.shape[1]
        area = np.zeros((self.n, size, size), np.float32)
        ncc, output = np.zeros((2, self.n, kinds, w, w), self.dtype)
        raw, smooth, shifted, final = np.zeros((4, self.n, w, w), self.dtype)
        for i in np.flatnonzero(experts.visible):
            area[i] = self.area(base[i], to_image, size)
            for k in range(experts.neurons[i]):
                if experts.alpha[i, k] > SILENT_ALPHA:
                    ncc[i, k] = self.ncc(area[i], experts.weights[i, k])
                    neuron = experts.norm_weights[i, k], experts.bias[i, k], experts.alpha[i, k]
                    output[i, k] = self.neuron(ncc[i, k], *neuron)
            raw[i] = self.raw(output[i])
            smooth[i] = self.sigma(raw[i], (stage.patch_scale, stage.view, w, int(i)))
            shifted[i] = self.shift(smooth[i])
            final[i] = self.normalise(shifted[i])
        return ResponseMaps(
            base, reference, similarity, to_image, experts.visible, area, ncc, output, raw, smooth, shifted, final
        )

    # --- mean-shift

    def cells(self, landmarks: np.ndarray, base: np.ndarray, similarity: np.ndarray, window: int) -> np.ndarray:
        """Where landmarks stand in their maps, (dx, dy)."""
        return (landmarks - base) @ similarity.T + (window - 1) / 2

    def position(self, cells: np.ndarray, window: int) -> np.ndarray:
        return np.clip(cells, 0, window - 0.1).astype(self.dtype)

    def table_entry(self, d: float) -> float:
        return int(d / CELL + 0.5) * CELL

    def kernel(self, dx: float, dy: float, window: int, sigma: float) -> np.ndarray:
        cells = np.arange(window)
        rows, columns = np.exp(-((dy - cells) ** 2) / (2 * sigma**2)), np.exp(-((dx - cells) ** 2) / (2 * sigma**2))
        return np.outer(rows, columns).astype(self.dtype)

    def kernel_sum(self, response: np.ndarray, dx: float, dy: float, sigma: float) -> float:
        weights = self.kernel(self.table_entry(dx), self.table_entry(dy), len(response), sigma)
        return (response * weights).sum()

    def mean_shift(self, response: np.ndarray, dx: float, dy: float, sigma: float, total: float) -> np.ndarray:
        """Reference px."""
        v = response * self.kernel(self.table_entry(dx), self.table_entry(dy), len(response), sigma)
        cells = np.arange(len(response))
        return np.array([v.sum(axis=0) @ cells / total - dx, v.sum(axis=1) @ cells / total - dy])

    def mean_shift_image(self, shifts: np.ndarray, to_image: np.ndarray) -> np.ndarray:
        return shifts @ to_image.T.astype(self.dtype)

    def shifts(self, landmarks: np.ndarray, now: Now) -> MeanShift:
        maps, stage = now.maps, now.stage
        cells = self.cells(landmarks, maps.base_shape, maps.image_to_reference, stage.window)
        position = self.position(cells, stage.window)
        position[~maps.visible] = 0
        sums, reference = np.zeros(self.n, self.dtype), np.zeros((self.n, 2), self.dtype)
        for i in np.flatnonzero(maps.visible):
            sums[i] = self.kernel_sum(maps.final[i], *position[i], stage.sigma)
            if sums[i] > 0:
                reference[i] = self.mean_shift(maps.final[i], *position[i], stage.sigma, sums[i])
        image = self.mean_shift_image(reference, maps.reference_to_image)
        image[~maps.visible] = 0
        return MeanShift(position, sums, reference, image, maps.visible & ~(sums > 0))

    # --- the normal equations

    def weights(self, experts: Any, factor: float) -> np.ndarray:
        return (factor * experts.patch_confidence if factor > 0 else np.ones(self.n)).astype(self.dtype)

    def jacobian(self, params: np.ndarray) -> np.ndarray:
        """(2n, 6 + m): x of all landmarks, then y of all."""
        s, r, points = params[0], self.rotation(params), self.shape(params[6:])
        basis, (x, y, z) = self.basis(), points.T
        blocks = []
        for k in (0, 1):
            columns = [
                points @ r[k],
                s * (y * r[k, 2] - z * r[k, 1]),
                -s * (x * r[k, 2] - z * r[k, 0]),
                s * (x * r[k, 1] - y * r[k, 0]),
                np.full(self.n, 1.0 - k),
                np.full(self.n, 0.0 + k),
            ]
            columns += [s * (r[k] @ basis[:, :, j]) for j in range(self.modes)]
            blocks.append(np.stack(columns, axis=1))
        return np.concatenate(blocks).astype(self.dtype)

    def prior(self, q: int) -> np.ndarray:
        """Λ⁻¹ on the modes, nothing on the global parameters."""
        return np.concatenate([np.zeros(6), 1 / self.model.pdm.variances])[:q].astype(self.dtype)

    def hessian(self, jacobian: np.ndarray, weights: np.ndarray, reg: float) -> np.ndarray:
        both = np.concatenate([weights, weights])
        return jacobian.T @ (both[:, None] * jacobian) + self.dtype.type(reg) * np.diag(self.prior(jacobian.shape[1]))

    def gradient(
        self, jacobian: np.ndarray, weights: np.ndarray, shifts: np.ndarray, reg: float, params: np.ndarray
    ) -> np.ndarray:
        both, size = np.concatenate([weights, weights]), jacobian.shape[1]
        pull = self.dtype.type(reg) * self.prior(size) * params[:size].astype(self.dtype)
        return jacobian.T @ (both * shifts.T.ravel()) - pull

    def delta(self, hessian: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        lower = np.linalg.cholesky(hessian)
        return np.linalg.solve(lower.T, np.linalg.solve(lower, gradient))

    def update(self, params: np.ndarray, delta: np.ndarray) -> np.ndarray:
        new = params.copy()
        new[[0, 4, 5]] += delta[[0, 4, 5]]
        new[1:4] = euler(self.rotation(params) @ small_rotation(delta[1:4]))
        new[6 : delta.size] += delta[6:]
        return new

    def bounds(self) -> np.ndarray:
        return self.options.clamp_sigmas * np.sqrt(self.model.pdm.variances)

    def clamp(self, params: np.ndarray) -> np.ndarray:
        limits = np.concatenate([[np.inf], np.full(3, np.pi / 2), [np.inf, np.inf], self.bounds()])
        return np.clip(params, -limits, limits)

    def likelihood(self, response: np.ndarray, dx: float, dy: float, sigma: float) -> float:
        return (response * self.kernel(dx, dy, len(response), sigma)).sum() + 1e-8

    # --- the loop

    def fit(self, image: np.ndarray, box: tuple[float, ...], angles: tuple[float, ...] = (0.0, 0.0, 0.0)) -> Trace:
        """Fit a face that starts in a box and record all of it."""
        self.image = image
        self.steps: list[Step] = []
        params = self.init(box, angles)
        initial = Initial(params, Source.BOX, tuple(map(float, box)))
        self.record(Phase.INITIAL, params)
        success, message, likelihood = True, "done", None
        for index, plan in enumerate(self.schedule()):
            stage = self.begin(index, plan, params)
            if stage.skipped:
                self.record(Phase.SKIPPED, params, stage=stage, message=stage.skipped)
                continue
            now = Now(stage, self.model.scales[stage.patch_scale].views[stage.view], self.maps(params, stage))
            self.record(Phase.RESPONSES, params, stage=stage, responses=now.maps)
            for phase, count in plan.iterations.items():
                params, likelihood = self.iterate(phase, count, params, now)
            if params[0] < 0.25:
                success, message = False, "the face is too small"
                break
        self.record(Phase.END, params, success=success, message=message, likelihood=likelihood)
        precision = Precision.FLOAT32 if self.dtype == np.float32 else Precision.FLOAT64
        options = FitOptions.from_json(self.options.to_json() | {"precision": precision})
        return Trace(image, self.model.name, initial, options, tuple(self.steps))

    def record(self, phase: Phase, params: np.ndarray, **values: Any) -> None:
        self.steps.append(Step(phase, params, self.project(params), **values))

    def begin(self, index: int, plan: Plan, params: np.ndarray) -> Stage:
        skipped, scaling = self.skip(plan, params), self.model.scales[plan.patch_scale].patch_scaling
        view = None if skipped else self.view(plan.patch_scale, params)
        sigma, reg, weight = map(float, self.stage(scaling))
        return Stage(index, scaling, plan.window, view, sigma, reg, weight, skipped, plan.patch_scale, True)

    def maps_of_iteration(self, now: Now, params: np.ndarray) -> Now:
        """The maps of the stage; a port may make new ones every time."""
        return now

    def iterate(self, phase: Phase, count: int, params: np.ndarray, now: Now) -> tuple[np.ndarray, float]:
        """One phase of a stage: its parameters at the end and its likelihood."""
        for iteration in range(1, count + 1):
            now = self.maps_of_iteration(now, params)
            landmarks = self.project(params)
            params, found = self.one_iteration(phase, params, landmarks, now)
            after = self.project(params)
            stopped = self.stop(after, landmarks, found["delta"])
            last = stopped or iteration == count
            if last:
                found |= self.likelihoods(now, landmarks)
            change = float(np.linalg.norm(after - landmarks))
            found |= {"shape_change": change, "update_norm": float(np.linalg.norm(found["delta"]))}
            place = {"stage": now.stage, "iteration": iteration, "responses": now.maps, "converged": stopped}
            self.record(phase, params, landmarks_before=landmarks, **place, **found)
            if last:
                break
        return params, found["likelihood"]

    def one_iteration(
        self, phase: Phase, params: np.ndarray, landmarks: np.ndarray, now: Now
    ) -> tuple[np.ndarray, dict[str, Any]]:
        rigid, seen = phase is Phase.RIGID, np.concatenate([now.maps.visible, now.maps.visible])
        shift = self.shifts(landmarks, now)
        jacobian = self.jacobian(params)[:, : 6 if rigid else None] * seen[:, None]
        weights = self.weights(now.experts, now.stage.weight_factor)
        reg = now.stage.reg_factor
        hessian = self.hessian(jacobian, weights, reg)
        gradient = self.gradient(jacobian, weights, shift.image, reg, params)
        delta = self.delta(hessian, gradient)
        free = self.update(params, delta)
        new = self.clamp(free)
        found = {"mean_shift": shift, "weights": weights, "jacobian": jacobian, "hessian": hessian}
        return new, found | {"gradient": gradient, "delta": delta, "clamped": new != free}

    def likelihoods(self, now: Now, landmarks: np.ndarray) -> dict[str, Any]:
        """Of every landmark where the last iteration began, in its map or not, and their mean logarithm."""
        values = np.zeros(self.n, self.dtype)
        cells = self.cells(landmarks, now.maps.base_shape, now.maps.image_to_reference, now.stage.window)
        for i in np.flatnonzero(now.maps.visible):
            values[i] = self.likelihood(now.maps.final[i], *cells[i], now.stage.sigma)
        return {"likelihoods": values, "likelihood": self.mean_likelihood(values[now.maps.visible])}

    def mean_likelihood(self, values: np.ndarray) -> float:
        return float(np.log(values).mean())
