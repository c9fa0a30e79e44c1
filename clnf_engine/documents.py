"""Results as documents: fitted faces as JSON or CSV, and what a model holds. Formats: ``docs/cli.md``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from clnf_engine.accuracy import Accuracy, accuracy
from clnf_engine.arrays import Array, Floats
from clnf_engine.calibration import Verdict, judge
from clnf_engine.detection.detect import Detection, confidence, eye_landmarks
from clnf_engine.detection.search import Candidate
from clnf_engine.ibug68 import REGIONS
from clnf_engine.model import Model, PatchExperts, PatchScale
from clnf_engine.trace import Trace

VERSION = 1
"""Of the JSON documents."""


Fit = Trace | Detection
"""A fit, or one with all that is around it."""


def fit_document(
    image: str,
    model: Model,
    fits: Iterable[Fit],
    truth: Floats | None = None,
    starts: Sequence[Candidate] = (),
) -> dict[str, Any]:
    """The fitted faces of one image, as plain values for JSON.

    Parameters
    ----------
    image : str
        The image's path, as given.
    model : Model
        The one that made them.
    fits : iterable of Trace or Detection
        One per face or start, of which one at a time is kept; none when no face was found.
    truth : (n, 2) float64, optional
        True landmarks of the one face, image px.
    starts : sequence of Candidate
        Where the fits start, or none, to say nothing of that.

    Returns
    -------
    dict
    """
    faces = []
    for fit in fits:
        trace = fit.trace if isinstance(fit, Detection) else fit
        face = run_document(trace, judge(trace.steps, model, trace.options), truth)
        if isinstance(fit, Detection):
            face.update(_result(fit, truth), detection=_detection(fit))
        faces.append(face)
    for face, start in zip(faces, starts, strict=False):
        face["start"] = _start(start)
    return {"version": VERSION, "image": image, "model": model.name, "faces": faces}


def _start(start: Candidate) -> dict[str, Any]:
    names = ("face", "angle", "strength", "sure", "likelihood")
    return {"box": list(start.box), **{name: getattr(start, name) for name in names}}


def _detection(detection: Detection) -> dict[str, Any]:
    """What was done around the fit that `run_document` tells of."""
    main = detection.trace
    return {
        "options": detection.options.to_json(),
        "certainty": detection.certainty,
        "validated": detection.validated,
        "main_landmarks": main.landmarks.tolist(),
        "merged_landmarks": None if detection.merged is None else detection.merged.tolist(),
        "parts": {
            name: {
                "fitted": part.trace is not None,
                "likelihood": part.likelihood,
                "landmarks": part.landmarks.tolist(),
            }
            for name, part in detection.parts.items()
        },
        "hypotheses": [{"rotation": list(h.rotation), "likelihood": h.likelihood} for h in detection.hypotheses],
        "chosen": detection.chosen,
    }


def run_document(trace: Trace, verdict: Verdict | None = None, truth: Floats | None = None) -> dict[str, Any]:
    """A start and what the fit made of it, as plain values for JSON.

    Parameters
    ----------
    trace : Trace
    verdict : Verdict, optional
        Of `judge`, which needs the model.
    truth : (n, 2) float64, optional
        True landmarks, image px; with them there is an ``error``.

    Returns
    -------
    dict
    """
    return {
        "box": list(trace.initial.box),
        **_result(trace, truth),
        "stages": [
            {
                "scale": summary.stage.scale,
                "window": summary.stage.window,
                "view": summary.stage.view,
                "skipped": bool(summary.stage.skipped),
                "rigid_iterations": summary.rigid_iterations,
                "nonrigid_iterations": summary.nonrigid_iterations,
            }
            for summary in trace.stages
        ],
        "verdict": None if verdict is None else asdict(verdict),
    }


def _result(fit: Fit, truth: Floats | None) -> dict[str, Any]:
    return {
        "success": fit.success,
        "message": fit.message,
        "landmarks": fit.landmarks.tolist(),
        "params_global": fit.params_global.tolist(),
        "params_local": fit.params_local.tolist(),
        "likelihood": fit.likelihood,
        **({} if truth is None else {"error": error_document(accuracy(fit.landmarks, truth))}),
    }


def error_document(error: Accuracy) -> dict[str, Any]:
    """How far landmarks are from the truth, as plain values for JSON; null for what only 68 landmarks have."""
    return {
        "mean_px": error.mean,
        "mean_percent": error.mean_percent,
        "regions_percent": dict(error.regions),
        "landmarks_px": error.distances.tolist(),
    }


def json_text(document: Mapping[str, Any]) -> str:
    """A document as strict JSON in ASCII: one line, and null for numbers that are not finite."""
    return json.dumps(_strict(document), allow_nan=False, separators=(",", ":")) + "\n"


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def csv_text(
    faces: Iterable[tuple[int, Fit]], truth: Floats | None = None, starts: Sequence[Candidate] | None = None
) -> str:
    """Fitted faces as CSV, a row each, under the column names of OpenFace's FaceLandmarkImg.

    Parameters
    ----------
    faces : iterable of (int, Trace or Detection)
        Face numbers and fits, all with the same model, of which one at a time is kept. Detections have a confidence and
        landmarks of their eyes.
    truth : (n, 2) float64, optional
        True landmarks, image px; with them columns with the errors follow.
    starts : sequence of Candidate, optional
        By face number; with them columns with the starts follow, and the likelihoods of the fits.

    Returns
    -------
    str
        Numbers are written so that they read back exactly; "" when there is no face.
    """
    lines: list[str] = []
    for number, fit in faces:
        if not lines:
            n, m = len(fit.landmarks), len(fit.params_local)
            around = ["confidence", *eye_columns(len(eye_landmarks(fit)))] if isinstance(fit, Detection) else []
            names = ["face", *around, *fit_columns(n, m), *(() if truth is None else _error_columns(n))]
            lines.append(",".join([*names, *(() if starts is None else _START_COLUMNS)]))
        values: list[float | None] = []
        if isinstance(fit, Detection):
            values += [confidence(fit.certainty), *eye_landmarks(fit).T.ravel().tolist()]
        values += np.concatenate([fit.landmarks.T.ravel(), fit.params_global, fit.params_local]).tolist()
        values += () if truth is None else _error_values(accuracy(fit.landmarks, truth))
        if starts is not None:
            start = starts[number]
            values += [start.face, start.angle, start.strength, int(start.sure), start.likelihood, *start.box]
            values.append(fit.likelihood)
        lines.append(",".join([str(number), *("" if value is None else repr(value) for value in values)]))
    return "".join(f"{line}\n" for line in lines)


def csv_cell(text: str) -> str:
    """A text as a cell that no spreadsheet takes for a formula: those that begin like one get an apostrophe in front.

    OWASP, "CSV Injection".
    """
    return f"'{text}" if text[:1] in tuple("=+-@\t\r") else text


_START_COLUMNS = ["start_face", "start_angle", "start_strength", "start_sure", "start_likelihood"]
_START_COLUMNS += ["start_x", "start_y", "start_width", "start_height", "likelihood"]


def eye_columns(n: int) -> list[str]:
    """OpenFace's names of the columns of n eye landmarks, those of the left eye first: x of all, then y."""
    return [f"eye_lmk_{axis}_{i}" for axis in "xy" for i in range(n)]


def _error_columns(n: int) -> list[str]:
    regions = (f"error_{name}_percent" for name in REGIONS)
    return ["error_px", "error_percent", *regions, *(f"error_{i}" for i in range(n))]


def _error_values(error: Accuracy) -> list[float | None]:
    regions = (error.regions.get(name) for name in REGIONS)
    return [error.mean, error.mean_percent, *regions, *error.distances.tolist()]


def fit_columns(n: int, m: int) -> list[str]:
    """OpenFace's names of the landmarks' and parameters' columns, for n landmarks and m modes."""
    points = [f"{axis}_{i}" for axis in "xy" for i in range(n)]
    return [*points, "p_scale", "p_rx", "p_ry", "p_rz", "p_tx", "p_ty", *(f"p_{j}" for j in range(m))]


# --- models -----------------------------------------------------------------------------------------


def model_document(model: Model) -> dict[str, Any]:
    """What a model holds, as plain values for JSON.

    Parameters
    ----------
    model : Model

    Returns
    -------
    dict
    """
    return {"version": VERSION, **_model(model)}


def _model(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "path": None if model.path is None else str(model.path),
        "fingerprint": model.fingerprint,
        "landmarks": model.n_landmarks,
        "modes": model.pdm.n_modes,
        "scales": [_scale(scale) for scale in model.scales],
        "parts": [
            {"part": part.name, "landmark_pairs": part.landmark_pairs.tolist(), **_model(part.model)}
            for part in model.parts
        ],
        "triangulations": [len(triangles) for triangles in model.triangulations],
        "validator": None if model.validator is None else model.validator.view_centres_degrees.tolist(),
        "unsupported": list(model.unsupported),
        "problems": list(model.problems),
    }


def _scale(scale: PatchScale) -> dict[str, Any]:
    return {
        "patch_scaling": scale.patch_scaling,
        "sigma_components": [{"window": w, "components": len(q)} for w, q in scale.sigma_components.items()],
        "views": [
            {"centre_degrees": centre, **_view(view)}
            for centre, view in zip((scale.view_centres_degrees + 0.0).tolist(), scale.views, strict=True)  # no -0
        ],
    }


def _view(view: PatchExperts) -> dict[str, Any]:
    return {
        "visible_landmarks": int(view.visible.sum()),
        "support": list(view.support),
        "neurons": _range(view.neurons[view.visible]),
        "patch_confidence": _range(view.patch_confidence[view.visible]),
    }


def _range(values: Array) -> list[Any] | None:
    """Smallest and largest; None when there is none."""
    return [values.min().item(), values.max().item()] if values.size else None
