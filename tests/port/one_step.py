"""Where a trace first leaves the right way, told by the clean port alone: one right iteration from each of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from clnf_engine import FitOptions, Phase, Step, Trace
from clnf_engine.steps import Place

from .faces import FACES
from .port import Now, Port

ITERATIONS = (Phase.RIGID, Phase.NONRIGID)


def first_wrong(trace: Trace, face: str, tolerance: float) -> Place | None:
    """The first iteration whose landmarks are further than `tolerance` px from where the clean port would go."""
    port = Port(FACES[face].model(), FitOptions(**FACES[face].options))
    port.image = trace.image
    for before, step in zip(trace.steps, trace.steps[1:], strict=False):
        if step.phase is Phase.RESPONSES:
            now = _begun(port, before, step)
        if step.phase in ITERATIONS:
            landmarks = port.project(before.params)
            params, _ = port.one_iteration(step.phase, before.params, landmarks, now)
            if not np.abs(port.project(params) - step.landmarks).max() <= tolerance:
                return step.place
    return None


def _begun(port: Port, before: Step, step: Step) -> Now:
    """The stage that begins here, with maps of the clean port's own."""
    sigma, reg, weight = port.stage(step.stage.scale)
    view = port.view(step.stage.patch_scale, before.params)
    stage = replace(step.stage, sigma=sigma, reg_factor=reg, weight_factor=weight, view=view)
    return Now(stage, port.model.scales[stage.patch_scale].views[view], port.maps(before.params, stage))
