"""Results as documents: fitted faces as JSON or CSV, and what a model holds. Formats: ``docs/cli.md``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from clnf_engine.accuracy import Accuracy, accuracy
from clnf_engine.arrays import Array, Floats
from clnf_engine.calibration import Verdict, judge
from clnf_engine.ibug68 import REGIONS
from clnf_engine.model import Model, PatchExperts, PatchScale
from clnf_engine.trace import Trace

VERSION = 1
"""Of the JSON documents."""


def fit_document(image: str, model: Model, traces: Iterable[Trace], truth: Floats | None = None) -> dict[str, Any]:
    """The fitted faces of one image, as plain values for JSON.

    Parameters
    ----------
    image : str
        The image's path, as given.
    model : Model
        The one that made them.
    traces : iterable of Trace
        One per face, of which one at a time is kept; none when no face was found.
    truth : (n, 2) float64, optional
        True landmarks of the one face, image px.

    Returns
    -------
    dict
    """
    faces = [run_document(trace, judge(trace.steps, model, trace.options), truth) for trace in traces]
    return {"version": VERSION, "image": image, "model": model.name, "faces": faces}


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
        "success": trace.success,
        "message": trace.message,
        "landmarks": trace.landmarks.tolist(),
        "params_global": trace.params_global.tolist(),
        "params_local": trace.params_local.tolist(),
        "likelihood": trace.likelihood,
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
        **({} if truth is None else {"error": error_document(accuracy(trace.landmarks, truth))}),
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


def csv_text(faces: Iterable[tuple[int, Trace]], truth: Floats | None = None) -> str:
    """Fitted faces as CSV, a row each, under the column names of OpenFace's FaceLandmarkImg.

    Parameters
    ----------
    faces : iterable of (int, Trace)
        Face numbers and fits, all with the same model, of which one at a time is kept.
    truth : (n, 2) float64, optional
        True landmarks, image px; with them columns with the errors follow.

    Returns
    -------
    str
        Numbers are written so that they read back exactly; "" when there is no face.
    """
    lines: list[str] = []
    for number, trace in faces:
        if not lines:
            n, m = len(trace.landmarks), len(trace.params_local)
            lines.append(",".join(["face", *fit_columns(n, m), *(() if truth is None else _error_columns(n))]))
        values = np.concatenate([trace.landmarks.T.ravel(), trace.params_global, trace.params_local]).tolist()
        errors = () if truth is None else _error_values(accuracy(trace.landmarks, truth))
        lines.append(",".join([str(number), *("" if value is None else repr(value) for value in (*values, *errors))]))
    return "".join(f"{line}\n" for line in lines)


def csv_cell(text: str) -> str:
    """A text as a cell that no spreadsheet takes for a formula: those that begin like one get an apostrophe in front.

    OWASP, "CSV Injection".
    """
    return f"'{text}" if text[:1] in tuple("=+-@\t\r") else text


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
        "unsupported": list(model.unsupported),
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
