"""CLNF face-landmark fitting as a stream of immutable steps.

>>> from clnf_engine import FitOptions, fit, initial_from_box, load_model
>>> trace = fit(gray, model := load_model("main_clnf_general.txt"), initial_from_box(model, (x, y, w, h)))
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # that of typing, which takes longer to import than `clnf` should be deaf to Ctrl-C
if TYPE_CHECKING:
    from typing import Any

    from clnf_engine.detection.detect import Detection as Detection
    from clnf_engine.detection.detect import detect as detect
    from clnf_engine.detection.haar import detect_faces as detect_faces
    from clnf_engine.detection.search import initials_from_detector as initials_from_detector
    from clnf_engine.detection.search import search as search
    from clnf_engine.errors import ClnfError as ClnfError
    from clnf_engine.errors import InitialError as InitialError
    from clnf_engine.errors import ModelFileError as ModelFileError
    from clnf_engine.errors import OptionsError as OptionsError
    from clnf_engine.errors import TraceFileError as TraceFileError
    from clnf_engine.errors import VideoFileError as VideoFileError
    from clnf_engine.fitting import FitRow as FitRow
    from clnf_engine.fitting import fit as fit
    from clnf_engine.fitting import fit_many as fit_many
    from clnf_engine.fitting import fit_steps as fit_steps
    from clnf_engine.initial import Initial as Initial
    from clnf_engine.initial import initial_from_box as initial_from_box
    from clnf_engine.initial import initial_from_landmarks as initial_from_landmarks
    from clnf_engine.initial import initial_from_params as initial_from_params
    from clnf_engine.initial import perturbed as perturbed
    from clnf_engine.initial import turned as turned
    from clnf_engine.io.video import VideoSource as VideoSource
    from clnf_engine.io.video import open_video as open_video
    from clnf_engine.library import load_model as load_model
    from clnf_engine.model import Model as Model
    from clnf_engine.options import DetectionOptions as DetectionOptions
    from clnf_engine.options import FitOptions as FitOptions
    from clnf_engine.options import Kernel as Kernel
    from clnf_engine.options import Normalization as Normalization
    from clnf_engine.options import Precision as Precision
    from clnf_engine.options import SearchOptions as SearchOptions
    from clnf_engine.options import TrackOptions as TrackOptions
    from clnf_engine.presets import preset as preset
    from clnf_engine.recording import Recording as Recording
    from clnf_engine.steps import Phase as Phase
    from clnf_engine.steps import ResponseMaps as ResponseMaps
    from clnf_engine.steps import Step as Step
    from clnf_engine.studies.plan import Study as Study
    from clnf_engine.studies.run import run_study as run_study
    from clnf_engine.studies.variants import Start as Start
    from clnf_engine.studies.variants import Variant as Variant
    from clnf_engine.studies.variants import grid as grid
    from clnf_engine.trace import Trace as Trace
    from clnf_engine.trace import first_divergence as first_divergence
    from clnf_engine.tracking.past import State as State
    from clnf_engine.tracking.track import FrameResult as FrameResult
    from clnf_engine.tracking.track import frame_trace as frame_trace
    from clnf_engine.tracking.track import track as track

__version__ = "0.1.0"

_HOMES = {
    "Detection": "detection.detect",
    "detect": "detection.detect",
    "detect_faces": "detection.haar",
    "initials_from_detector": "detection.search",
    "search": "detection.search",
    "ClnfError": "errors",
    "InitialError": "errors",
    "ModelFileError": "errors",
    "OptionsError": "errors",
    "TraceFileError": "errors",
    "VideoFileError": "errors",
    "FitRow": "fitting",
    "fit": "fitting",
    "fit_many": "fitting",
    "fit_steps": "fitting",
    "Initial": "initial",
    "initial_from_box": "initial",
    "initial_from_landmarks": "initial",
    "initial_from_params": "initial",
    "perturbed": "initial",
    "turned": "initial",
    "VideoSource": "io.video",
    "open_video": "io.video",
    "load_model": "library",
    "Model": "model",
    "DetectionOptions": "options",
    "FitOptions": "options",
    "Kernel": "options",
    "Normalization": "options",
    "Precision": "options",
    "SearchOptions": "options",
    "TrackOptions": "options",
    "preset": "presets",
    "Recording": "recording",
    "Phase": "steps",
    "ResponseMaps": "steps",
    "Step": "steps",
    "Start": "studies.variants",
    "Study": "studies.plan",
    "Variant": "studies.variants",
    "grid": "studies.variants",
    "run_study": "studies.run",
    "Trace": "trace",
    "first_divergence": "trace",
    "FrameResult": "tracking.track",
    "State": "tracking.past",
    "frame_trace": "tracking.track",
    "track": "tracking.track",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``clnf --help`` need not load NumPy and OpenCV."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
