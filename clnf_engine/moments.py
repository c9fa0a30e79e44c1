"""One moment of a stage, made from the moment before: a fit makes its Steps by it, and a Recording makes them again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clnf_engine.model import Model
from clnf_engine.nu_rlms import iterate
from clnf_engine.options import FitOptions
from clnf_engine.response import response_maps
from clnf_engine.steps import Phase, Stage, Step


def moment(
    image: NDArray[np.uint8],
    model: Model,
    options: FitOptions,
    stage: Stage,
    before: Step,
    phase: Phase,
    iteration: int | None = None,
) -> Step:
    """The moment of a stage that follows another; the same arguments give the same bits.

    Parameters
    ----------
    image : (H, W) uint8
    model : Model
    options : FitOptions
    stage : Stage
        One that is not skipped.
    before : Step
        Its parameters, its landmarks and, unless `computes_maps`, its maps are read.
    phase : Phase
        RESPONSES, RIGID or NONRIGID.
    iteration : int, optional
        Within the phase, from 1 (rigid, nonrigid).

    Returns
    -------
    Step
    """
    responses = before.responses
    if computes_maps(options, before, phase):
        responses = response_maps(image, model, stage, before.params, options)
    assert responses is not None
    if phase is Phase.RESPONSES:
        return Step(phase, before.params, before.landmarks, stage=stage, responses=responses)
    assert iteration is not None
    return iterate(model, stage, responses, options, before, phase, iteration)


def computes_maps(options: FitOptions, before: Step, phase: Phase) -> bool:
    """Whether a moment of a phase computes maps of its own; if not, it has those of the moment before."""
    return phase is Phase.RESPONSES or (options.responses_every_iteration and before.phase is not Phase.RESPONSES)
