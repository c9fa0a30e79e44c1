"""A second, slow CLNF fit, written as loops from the published algorithm; it shares no code with the engine.

It reads a Model's numbers and nothing else of `clnf_engine`: no function of the engine is called here. Everything is
float64 except what the C++ program rounds to float32 before it samples the image: the landmarks an area is centred on,
the map from the reference frame to the image, and the sampled grey levels. (The engine interpolates in float32, in an
order of its own; grey levels therefore agree to about 1e-5, and whole fits to 1e-9 only when both start from the same
sampled areas, which `fit` accepts as an argument.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

FLAT_STD = 1e-3
"""Grey levels: a patch with a smaller standard deviation correlates with nothing."""
SILENT_ALPHA = 1e-4
SMALL_FACE = 0.25
LIKELIHOOD_FLOOR = 1e-8


# --- shape ----------------------------------------------------------------------------------------


def rotation(euler: Sequence[float]) -> np.ndarray:
    """R = Rx·Ry·Rz as the product of the three elementary rotations."""
    rx, ry, rz = (float(angle) for angle in euler)
    about_x = np.array([[1, 0, 0], [0, math.cos(rx), -math.sin(rx)], [0, math.sin(rx), math.cos(rx)]])
    about_y = np.array([[math.cos(ry), 0, math.sin(ry)], [0, 1, 0], [-math.sin(ry), 0, math.cos(ry)]])
    about_z = np.array([[math.cos(rz), -math.sin(rz), 0], [math.sin(rz), math.cos(rz), 0], [0, 0, 1]])
    return about_x @ about_y @ about_z


def euler(matrix: np.ndarray) -> list[float]:
    return [
        math.atan2(-matrix[1, 2], matrix[2, 2]),
        math.asin(max(-1.0, min(1.0, matrix[0, 2]))),
        math.atan2(-matrix[0, 1], matrix[0, 0]),
    ]


def shape_3d(pdm: Any, q: Sequence[float]) -> list[list[float]]:
    n = len(pdm.mean) // 3
    points = []
    for i in range(n):
        point = []
        for axis in range(3):
            value = float(pdm.mean[axis * n + i])
            for j, coefficient in enumerate(q):
                value += float(pdm.modes[axis * n + i, j]) * float(coefficient)
            point.append(value)
        points.append(point)
    return points


def project(pdm: Any, params: Sequence[float]) -> np.ndarray:
    r = rotation(params[1:4])
    points = []
    for x, y, z in shape_3d(pdm, params[6:]):
        points.append([params[0] * (r[k, 0] * x + r[k, 1] * y + r[k, 2] * z) + params[4 + k] for k in range(2)])
    return np.array(points)


def jacobian(pdm: Any, params: Sequence[float], rigid: bool) -> np.ndarray:
    n, m = len(pdm.mean) // 3, 0 if rigid else pdm.modes.shape[1]
    s, r = float(params[0]), rotation(params[1:4])
    result = np.zeros((2 * n, 6 + m))
    for i, (x, y, z) in enumerate(shape_3d(pdm, params[6:])):
        for k in range(2):
            row = result[k * n + i]
            row[0] = r[k, 0] * x + r[k, 1] * y + r[k, 2] * z
            row[1] = s * (y * r[k, 2] - z * r[k, 1])
            row[2] = -s * (x * r[k, 2] - z * r[k, 0])
            row[3] = s * (x * r[k, 1] - y * r[k, 0])
            row[4 + k] = 1.0
            for j in range(m):
                row[6 + j] = s * sum(r[k, axis] * pdm.modes[axis * n + i, j] for axis in range(3))
    return result


def update(params: Sequence[float], delta: Sequence[float]) -> np.ndarray:
    """Sums, and R ← R·U·Vᵀ where U·S·Vᵀ is the SVD of I + [w]×."""
    wx, wy, wz = (float(w) for w in delta[1:4])
    u, _, vt = np.linalg.svd(np.array([[1, -wz, wy], [wz, 1, -wx], [-wy, wx, 1]]))
    result = np.array(params, dtype=float)
    for index, change in enumerate(delta):
        if index not in (1, 2, 3):
            result[index] += change
    result[1:4] = euler(rotation(params[1:4]) @ u @ vt)
    return result


def clamp(pdm: Any, params: Sequence[float], sigmas: float) -> np.ndarray:
    result = np.array(params, dtype=float)
    for k in (1, 2, 3):
        result[k] = max(-math.pi / 2, min(math.pi / 2, result[k]))
    for j, variance in enumerate(pdm.variances):
        bound = sigmas * math.sqrt(variance)
        result[6 + j] = max(-bound, min(bound, result[6 + j]))
    return result


def params_from_box(pdm: Any, box: Sequence[float], angles: Sequence[float] = (0, 0, 0)) -> np.ndarray:
    x, y, width, height = box
    params = np.array([1.0, *angles, 0.0, 0.0, *([0.0] * pdm.modes.shape[1])])
    xs, ys = zip(*project(pdm, params).tolist(), strict=True)
    params[0] = (width / (max(xs) - min(xs)) + height / (max(ys) - min(ys))) / 2
    params[4] = x + width / 2 - params[0] * (min(xs) + max(xs)) / 2
    params[5] = y + height / 2 - params[0] * (min(ys) + max(ys)) / 2
    return params


# --- responses ------------------------------------------------------------------------------------


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rotation by Kabsch (SVD of the covariance, reflections excluded) times the ratio of the RMS sizes."""
    source, target = source - source.mean(axis=0), target - target.mean(axis=0)
    size_source, size_target = math.sqrt((source**2).mean()), math.sqrt((target**2).mean())
    covariance = np.zeros((2, 2))
    for a, b in zip(source / size_source, target / size_target, strict=True):
        covariance += np.outer(a, b)
    u, _, vt = np.linalg.svd(covariance)
    keep = np.diag([1.0, round(float(np.linalg.det(vt.T @ u.T)))])
    return size_target / size_source * (vt.T @ keep @ u.T)


def sample_area(image: np.ndarray, centre: Sequence[float], to_image: np.ndarray, size: int) -> np.ndarray:
    """Bilinear samples on the reference grid around a landmark; pixels outside are those of the border."""
    rows, cols = image.shape
    middle = (size - 1) / 2
    area = np.zeros((size, size), dtype=np.float32)
    for i in range(size):
        for j in range(size):
            u, v = j - middle, i - middle
            x = to_image[0, 0] * u + to_image[0, 1] * v + centre[0]
            y = to_image[1, 0] * u + to_image[1, 1] * v + centre[1]
            left, top = math.floor(x), math.floor(y)
            fx, fy = x - left, y - top
            value = 0.0
            for row, weight_y in ((top, 1 - fy), (top + 1, fy)):
                for col, weight_x in ((left, 1 - fx), (left + 1, fx)):
                    pixel = image[max(0, min(rows - 1, row)), max(0, min(cols - 1, col))]
                    value += weight_y * weight_x * float(pixel)
            area[i, j] = value
    return area


def ncc(area: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Pearson correlation of the template with every patch."""
    height, width = template.shape
    template = template.astype(float) - template.astype(float).mean()
    template_norm = math.sqrt((template**2).sum())
    result = np.zeros((area.shape[0] - height + 1, area.shape[1] - width + 1))
    for i in range(result.shape[0]):
        for j in range(result.shape[1]):
            patch = area[i : i + height, j : j + width].astype(float)
            patch = patch - patch.mean()
            norm = math.sqrt((patch**2).sum())
            if norm > FLAT_STD * math.sqrt(patch.size) and template_norm > 0:
                result[i, j] = (patch * template).sum() / (norm * template_norm)
    return result


def raw_response(area: np.ndarray, experts: Any, i: int) -> np.ndarray:
    height, width = experts.weights.shape[2:]
    result = np.zeros((area.shape[0] - height + 1, area.shape[1] - width + 1))
    for k in range(int(experts.neurons[i])):
        alpha = float(experts.alpha[i, k])
        if alpha > SILENT_ALPHA:
            slope, offset = float(experts.norm_weights[i, k]), float(experts.bias[i, k])
            result += 2 * alpha / (1 + np.exp(-(ncc(area, experts.weights[i, k]) * slope + offset)))
    return result


def after_sigma(raw: np.ndarray, scale: Any, experts: Any, i: int) -> np.ndarray:
    side = raw.size
    precision = np.eye(side) * sum(float(alpha) for alpha in experts.alpha[i])
    components = scale.sigma_components.get(raw.shape[0])
    if components is not None:
        for beta, component in zip(experts.betas[i], components, strict=True):
            precision += float(beta) * component.astype(float)
    return solve(2 * precision, raw.ravel()).reshape(raw.shape)


def solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Gaussian elimination; a positive definite matrix needs no pivots."""
    matrix, result = matrix.copy(), right.astype(float)
    size = len(result)
    for k in range(size):
        factors = matrix[k + 1 :, k] / matrix[k, k]
        matrix[k + 1 :] -= factors[:, None] * matrix[k]
        result[k + 1 :] -= factors * result[k]
    for k in reversed(range(size)):
        result[k] = (result[k] - (matrix[k, k + 1 :] * result[k + 1 :]).sum()) / matrix[k, k]
    return result


def responses(
    image: np.ndarray, model: Any, scale_index: int, view: int, window: int, params: np.ndarray, areas: Any = None
) -> dict[str, Any]:
    scale = model.scales[scale_index]
    experts = scale.views[view]
    base = project(model.pdm, params)
    upright = project(model.pdm, [scale.patch_scaling, 0, 0, 0, 0, 0, *params[6:]])
    to_reference = similarity(base, upright)
    determinant = to_reference[0, 0] * to_reference[1, 1] - to_reference[0, 1] * to_reference[1, 0]
    to_image = np.array([[to_reference[1, 1], -to_reference[0, 1]], [-to_reference[1, 0], to_reference[0, 0]]])
    to_image = (to_image / determinant).astype(np.float32).astype(float)
    n, size = len(base), window + experts.weights.shape[2] - 1
    maps: dict[str, Any] = {
        "base": base,
        "upright": upright,
        "to_reference": to_reference,
        "to_image": to_image,
        "visible": [bool(v) for v in experts.visible],
        "area": np.zeros((n, size, size), dtype=np.float32),
        "raw": np.zeros((n, window, window)),
        "after_sigma": np.zeros((n, window, window)),
        "final": np.zeros((n, window, window)),
    }
    for i in range(n):
        if maps["visible"][i]:
            centre = base[i].astype(np.float32).astype(float)
            area = sample_area(image, centre, to_image, size) if areas is None else areas[i]
            maps["area"][i] = area
            maps["raw"][i] = raw_response(area, experts, i)
            maps["after_sigma"][i] = after_sigma(maps["raw"][i], scale, experts, i)
            maps["final"][i] = maps["after_sigma"][i] - min(0.0, maps["after_sigma"][i].min())
    return maps


# --- one iteration --------------------------------------------------------------------------------


def weighted_sums(response: np.ndarray, x: float, y: float, sigma: float) -> tuple[float, float, float]:
    """Σv, Σv·j and Σv·i of a response map under a Gaussian centred on column x, row y."""
    total = moment_x = moment_y = 0.0
    for i, row in enumerate(response.tolist()):
        for j, value in enumerate(row):
            weighted = value * math.exp(-((y - i) ** 2 + (x - j) ** 2) / (2 * sigma**2))
            total += weighted
            moment_x += weighted * j
            moment_y += weighted * i
    return total, moment_x, moment_y


def to_tenth(value: float) -> float:
    """A position as the C++ kernel table knows it."""
    return int(value / 0.1 + 0.5) * 0.1


def mean_shifts(shape: np.ndarray, maps: dict[str, Any], sigma: float, table: bool = True) -> dict[str, Any]:
    """Per landmark: position, kernel sum, shift (reference px and image px) and likelihood."""
    n, window = len(shape), maps["final"].shape[1]
    result: dict[str, Any] = {
        "position": np.zeros((n, 2)),
        "kernel_sum": np.zeros(n),
        "reference": np.zeros((n, 2)),
        "image": np.zeros((n, 2)),
        "likelihoods": np.zeros(n),
    }
    for i in range(n):
        offset = maps["to_reference"] @ (shape[i] - maps["base"][i])
        free = [float(v) + (window - 1) / 2 for v in offset]
        dx, dy = (min(max(v, 0.0), window - 0.1) for v in free)
        result["position"][i] = dx, dy
        if not maps["visible"][i]:
            continue
        at = (to_tenth(dx), to_tenth(dy)) if table else (dx, dy)
        total, moment_x, moment_y = weighted_sums(maps["final"][i], *at, sigma)
        result["kernel_sum"][i] = total
        if total > 0:
            result["reference"][i] = moment_x / total - dx, moment_y / total - dy
            result["image"][i] = maps["to_image"] @ result["reference"][i]
        result["likelihoods"][i] = weighted_sums(maps["final"][i], *free, sigma)[0] + LIKELIHOOD_FLOOR
    return result


def iterate(
    model: Any, maps: dict[str, Any], params: np.ndarray, rigid: bool, stage: dict[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    pdm = model.pdm
    before = project(pdm, params)
    shifts = mean_shifts(before, maps, stage["sigma"], options["table"])
    n, visible = len(before), maps["visible"]
    weights = [1.0] * n
    if stage["weight_factor"] > 0:
        confidence = model.scales[stage["index"]].views[stage["view"]].patch_confidence
        weights = [stage["weight_factor"] * float(c) for c in confidence]
    j = jacobian(pdm, params, rigid)
    for i in range(n):
        if not visible[i]:
            j[i] = 0
            j[n + i] = 0
    p = j.shape[1]
    hessian, gradient = np.zeros((p, p)), np.zeros(p)
    for i in range(n):
        for k in range(2):
            row = j[k * n + i]
            hessian += weights[i] * np.outer(row, row)
            gradient += weights[i] * shifts["image"][i, k] * row
    for mode in range(p - 6):
        prior = stage["reg_factor"] / float(pdm.variances[mode])
        hessian[6 + mode, 6 + mode] += prior
        gradient[6 + mode] -= prior * params[6 + mode]
    delta = solve(hessian, gradient)
    after = clamp(pdm, update(params, delta), options["clamp_sigmas"])
    shape = project(pdm, after)
    logs = [math.log(shifts["likelihoods"][i]) for i in range(n) if visible[i]]
    return {
        "phase": "rigid" if rigid else "nonrigid",
        "mean_shift": shifts,
        "weights": np.array(weights),
        "jacobian": j,
        "hessian": hessian,
        "gradient": gradient,
        "delta": delta,
        "params": after,
        "landmarks": shape,
        "shape_change": math.sqrt(((shape - before) ** 2).sum()),
        "likelihood": sum(logs) / len(logs),
    }


# --- the whole fit --------------------------------------------------------------------------------

OPENFACE = {
    "windows": (11, 9, 7, 5),
    "max_iterations": 5,
    "sigma": 1.5,
    "reg_factor": 25.0,
    "weight_factor": 0.0,
    "convergence_px": 0.01,
    "clamp_sigmas": 3.0,
    "table": True,
}


def fit(
    image: np.ndarray, model: Any, params: np.ndarray, areas: Mapping[int, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """A whole fit: {"stages": […], "params", "landmarks", "likelihood", "success"}.

    `areas` may give the sampled areas of each stage; then the image is not looked at.
    """
    options = OPENFACE | changes
    params = np.array(params, dtype=float)
    stages: list[dict[str, Any]] = []
    likelihood, success = None, True
    for index, scale in enumerate(model.scales):
        window = options["windows"][index]
        if window == 0 or 0.9 * scale.patch_scaling > params[0]:
            stages.append({"index": index, "skipped": True})
            continue
        octaves = math.log2(scale.patch_scaling / 0.25)
        reg_factor = options["reg_factor"] - 15 * octaves
        stage: dict[str, Any] = {
            "index": index,
            "skipped": False,
            "window": window,
            "view": nearest_view(scale, params[1:4]),
            "sigma": options["sigma"] + 0.25 * octaves,
            "reg_factor": reg_factor if reg_factor > 0 else 0.001,
            "weight_factor": options["weight_factor"] * (1 + 2 * octaves),
            "iterations": [],
        }
        given = None if areas is None else areas[index]
        stage["maps"] = responses(image, model, index, stage["view"], window, params, given)
        for rigid in (True, False):
            for iteration in range(options["max_iterations"]):
                done = iterate(model, stage["maps"], params, rigid, stage, options)
                done["iteration"] = iteration + 1
                stage["iterations"].append(done)
                params, likelihood = done["params"], done["likelihood"]
                if done["shape_change"] < options["convergence_px"]:
                    break
        stages.append(stage)
        if params[0] < SMALL_FACE:
            success = False
            break
    return {
        "stages": stages,
        "params": params,
        "landmarks": project(model.pdm, params),
        "likelihood": likelihood,
        "success": success and likelihood is not None,
    }


def nearest_view(scale: Any, angles: Sequence[float]) -> int:
    best, best_distance = 0, math.inf
    for view, degrees in enumerate(scale.view_centres_degrees):
        distance = sum((math.radians(d) - float(a)) ** 2 for d, a in zip(degrees, angles, strict=True))
        if distance < best_distance:
            best, best_distance = view, distance
    return best
