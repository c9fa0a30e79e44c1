"""Traces of the C++ program, from the shared folder's goldens: what a right port of float32 records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from clnf_engine import FitOptions, Initial, Model, Phase, ResponseMaps, Step, Trace, initial_from_box
from clnf_engine.steps import MeanShift, Stage


def golden_trace(path: Path, model: Model) -> Trace:
    """Everything that a golden tells, in the form of a trace; what it does not tell is None."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    box, angles = (tuple(arrays[name].tolist()) for name in ("bbox", "init_rotation"))
    initial: Initial = initial_from_box(model, box, angles)
    options = FitOptions(
        windows=tuple(int(w) for w in arrays["settings/window_sizes"]),
        max_iterations=int(arrays["settings/num_optimisation_iteration"]),
        **{name: float(arrays[f"settings/{name}"]) for name in ("sigma", "reg_factor", "weight_factor")},
    )
    steps = [Step(Phase.INITIAL, _params(arrays, "", "init"), arrays["init_shape"])]
    for prefix in sorted({name.split("/")[0] for name in arrays if name.endswith("/skipped")}):
        steps += _stage_steps(arrays, prefix, steps[-1])
    last = steps[-1]
    steps.append(Step(Phase.END, last.params, last.landmarks, success=True, message="done"))
    return Trace(arrays["gray"], model.name, initial, options, tuple(steps))


def _params(arrays: dict[str, np.ndarray], prefix: str, which: str, row: Any = ()) -> np.ndarray:
    names = (f"{which}_global", f"{which}_local") if which in ("init", "end") else (f"global_{which}", f"local_{which}")
    return np.concatenate([arrays[prefix + name][row] for name in names]).astype(np.float64)


def _stage_steps(arrays: dict[str, np.ndarray], prefix: str, before: Step) -> list[Step]:
    def of(name: str) -> Any:
        return arrays[f"{prefix}/{name}"]

    index, skipped = int(of("scale_index")), bool(of("skipped"))
    told = {} if skipped else {name: float(of(name)) for name in ("sigma", "reg_factor", "weight_factor")}
    nan = dict.fromkeys(("sigma", "reg_factor", "weight_factor"), float("nan"))
    stage = Stage(
        index=index, scale=float(of("patch_scaling")), window=int(of("window_size")),
        view=None if skipped else int(of("view_id")), **{**nan, **told},
        skipped="the face is too small" if skipped else "", patch_scale=index, sigma_transform=True,
    )  # fmt: skip
    if skipped:
        return [Step(Phase.SKIPPED, before.params, before.landmarks, stage=stage)]
    maps = ResponseMaps(
        base_shape=of("base_shape"), reference_shape=of("reference_shape"), image_to_reference=of("sim_img_to_ref"),
        reference_to_image=of("sim_ref_to_img"), visible=of("visibility") != 0, area=of("area"),
        neuron_ncc=None, neuron_output=None, raw=of("resp_raw"), after_sigma=of("resp_sigma"),
        shifted=of("resp_final"), final=of("resp_final"),
    )  # fmt: skip
    start = Step(Phase.RESPONSES, _params(arrays, f"{prefix}/", "init"), of("base_shape"), stage=stage, responses=maps)
    steps = [start]
    for phase in (Phase.RIGID, Phase.NONRIGID):
        inner = f"{prefix}/{phase}/"
        count = int(arrays[f"{inner}n_iter"])
        shapes = [*arrays[f"{inner}shape_before"], None]
        for k in range(count):
            row = {name: arrays[f"{inner}{name}"][k] for name in ("J_masked", "H", "rhs", "delta", "kde_sum")}
            shift = MeanShift(
                position=arrays[f"{inner}dxdy_clamped"][k], kernel_sum=row["kde_sum"],
                reference=arrays[f"{inner}ms_ref"][k], image=arrays[f"{inner}ms_img"][k], empty=None,
            )  # fmt: skip
            params = _params(arrays, inner, "after", k)
            landmarks = shapes[k + 1] if k + 1 < count else np.full_like(shapes[k], np.nan)
            steps.append(
                Step(
                    phase, params, landmarks, stage=stage, iteration=k + 1, responses=maps,
                    landmarks_before=shapes[k], mean_shift=shift, weights=arrays[f"{inner}W_diag"][: len(shapes[k])],
                    jacobian=row["J_masked"], hessian=row["H"], gradient=row["rhs"], delta=row["delta"],
                    likelihood=float(arrays[f"{inner}loglhood"]) if k + 1 == count else None,
                )  # fmt: skip
            )
    return steps
