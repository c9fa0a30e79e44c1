"""What the end of a lane's run means, in words."""

from __future__ import annotations

from clnf_engine import Model
from clnf_engine.calibration import Verdict, judge
from clnf_engine.detection.detect import VALIDATION_BOUNDARY
from clnf_gui.session.lanes import Lane

_VALIDATOR = (
    f"The model's validator judges the whole detection: −1 is surely a face, 1 surely none, and below "
    f"{VALIDATION_BOUNDARY} it is taken for one."
).replace("-", "−")


def verdict_of(lane: Lane, model: Model | None) -> Verdict:
    """What the end of a lane's run means.

    Parameters
    ----------
    lane : Lane
    model : Model or None
        Of the run.
    """
    if model is None:
        return Verdict(None, "cannot be told: no model is open", "")
    if lane.live:
        return Verdict(None, "cannot be told: the run has not ended", "The port is still computing it.")
    if lane.foreign:
        return Verdict(None, "cannot be told: the run is foreign", "The calibration is that of the engine's fits.")
    if lane.functions is not None:
        reason = f"cannot be told: the fit has functions of {lane.functions.name}"
        return Verdict(None, reason, "The calibration is that of the engine's fits.")
    detection = lane.detection
    if detection is None:
        return judge(lane.steps, model, lane.fit_options)
    if lane.part is None and detection.validated:
        told = f"a face, says the validator (certainty {detection.certainty:.2f})".replace("-", "−")
        return Verdict(not detection.success, told if detection.success else detection.message, _VALIDATOR)
    trace = lane.trace_of_detection
    if trace is None:
        return Verdict(None, "cannot be told: the part was not fitted", "The face is too small for it.")
    return judge(trace.steps, model, lane.fit_options)
