"""Files of other programs, written from a trace of the port as those programs write them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

from clnf_engine import Phase, Step, Trace

GLOBAL = ("p_scale", "p_rx", "p_ry", "p_rz", "p_tx", "p_ty")
ITERATED = (Phase.RIGID, Phase.NONRIGID)


def iterations(trace: Trace) -> list[Step]:
    return [step for step in trace.steps if step.phase in ITERATED]


def before(trace: Trace) -> dict[int, np.ndarray]:
    """Of every iteration, by its identity, the parameters before it."""
    return {id(step): last.params for last, step in zip(trace.steps, trace.steps[1:], strict=False)}


def openface_csv(path: Path, trace: Trace, video: bool = False) -> Path:
    """As OpenFace's FaceLandmarkImg and FeatureExtraction write: a blank after every comma, pixels with one decimal."""
    end = trace.steps[-1]
    n, modes = len(end.landmarks), len(end.params_local)
    head = ["frame", "face_id", "timestamp", "confidence", "success"] if video else ["face", "confidence"]
    names = [*head, "gaze_0_x", "gaze_0_y", "gaze_0_z", "pose_Tx", "pose_Rx"]
    names += [f"{axis}_{k}" for axis in "xyXYZ" for k in range(n)]
    names += [*GLOBAL, *(f"p_{k}" for k in range(modes)), "AU01_r", "AU01_c"]
    decimals = [3] * 5 + [1] * 5 * n + [3] * (6 + modes) + [2] * 2
    rows = []
    for k in range(4 if video else 1):
        success = 1 if k > 1 else 0
        first = [k + 1, 0, k / 30, 0.9, success] if video else [0, 0.9]
        numbers = [0.1, 0.2, 0.3, 10.0, 0.5, *(end.landmarks + (0 if success or not video else 50)).T.ravel()]
        numbers += [*np.zeros(3 * n), *end.params, 0.0, 1.0]
        rows.append([*map(str, first), *(f"{value:.{d}f}" for value, d in zip(numbers, decimals, strict=True))])
    path.write_text("".join(", ".join(row) + "\n" for row in [names, *rows]))
    return path


def cpp_trace(path: Path, trace: Trace, params_before: bool = False) -> Path:
    """As a fit in C++ prints: iterations from 0, parameters after or before the update."""
    modes = len(trace.initial.params) - 6
    lines = [
        "# iter phase ws mean_shift_norm update_mag jwtm_norm scale rx ry rz tx ty "
        + " ".join(f"p{k}" for k in range(modes))
    ]
    starts = before(trace)
    for step in iterations(trace):
        params = starts[id(step)] if params_before else step.params
        norms = np.linalg.norm(step.mean_shift.image), step.update_norm, np.linalg.norm(step.gradient)
        numbers = " ".join(f"{value:.12g}" for value in (*norms, *params))
        lines.append(f"{step.iteration - 1} {step.phase} {step.stage.window} {numbers}")
    path.write_text("\n".join(lines) + "\n")
    return path


def history(path: Path, trace: Trace) -> Path:
    """As the port in Python returns it."""
    entries = [
        {
            "iteration": k,
            "phase": str(step.phase),
            "window_size": step.stage.window,
            "update_magnitude": step.update_norm,
            "params": step.params.tolist(),
            "mean_shift_norm": float(np.linalg.norm(step.mean_shift.image)),
            "per_landmark_ms": np.linalg.norm(step.mean_shift.image, axis=1).tolist(),
            "hessian_cond": float(np.linalg.cond(step.hessian)),
        }
        for k, step in enumerate(iterations(trace))
    ]
    path.write_text(json.dumps(entries, indent=1))
    return path


def response_files(folder: Path, trace: Trace) -> Path:
    """A file per visible landmark, scale, window and call; and a file that is none of them."""
    folder.mkdir()
    for step in trace.steps:
        if step.phase is not Phase.RESPONSES:
            continue
        for call in (0, 1):
            for i in np.flatnonzero(step.responses.visible):
                map_ = step.responses.final[i].astype("<f8") + call
                name = f"response_lm{i:02d}_scale{step.stage.scale:.2f}_ws{step.stage.window}_call{call}.bin"
                (folder / name).write_bytes(struct.pack("<ii", *map_.shape) + map_.tobytes())
    (folder / "notes.txt").write_text("of the second of May")
    return folder
