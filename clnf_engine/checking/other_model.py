"""Whether a trace was made with the model at hand: asked of whatever is opened, so without what a check loads."""

from __future__ import annotations

import numpy as np

from clnf_engine.model import Model
from clnf_engine.trace import Trace


def other_model(trace: Trace, model: Model) -> str:
    """What says that a trace was made with another model, a sentence; "" when nothing does."""
    told = trace.fingerprint
    if told and told != model.fingerprint:
        return f"The trace was made with another model than {model.name}: their fingerprints differ."
    return other_sizes(trace, model)


def other_sizes(trace: Trace, model: Model) -> str:
    """What says so by the numbers of landmarks and modes alone."""
    modes, landmarks = trace.initial.params.shape[0] - 6, trace.landmarks.shape[0]
    no_params = not any(np.isfinite(step.params).any() for step in trace.numbers)
    if (no_params or modes == model.pdm.n_modes) and landmarks in (0, model.n_landmarks):
        return ""
    return (
        f"The trace was made with another model: it has {landmarks} landmarks and {modes} modes, "
        f"{model.name} {model.n_landmarks} and {model.pdm.n_modes}."
    )
