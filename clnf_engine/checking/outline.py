"""Rows of what a run is made of, not of its arrays: its start, its landmarks, its stages, views and iterations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from clnf_engine.checking.evidence import Moment, Reference, error_of
from clnf_engine.checking.rows import Row
from clnf_engine.errors import InitialError
from clnf_engine.initial import Initial, initial_from_box, turned
from clnf_engine.options import Source
from clnf_engine.schedule import skip_reason
from clnf_engine.steps import Phase, Stage, Step
from clnf_engine.trace import Trace


@dataclass(frozen=True, eq=False)
class OutlineRow(Row):
    """A row whose values are given, not chained: ``given`` is what the operation reads here."""

    given: tuple[tuple[str, Any], ...] = ()

    def right(self, reference: Reference) -> Any:
        """The value as it should be."""
        return self.moment.compute(self.operation, reference, dict(self.given))

    def error(self, reference: Reference) -> float:
        """How far the recorded value is from the right one."""
        right = self.right(reference)
        if self.name == "view":
            return float(right != self.recorded)
        if self.name == "adapted":
            ours, theirs = np.asarray(right, dtype=np.float64), np.asarray(self.recorded, dtype=np.float64)
            size = np.where(ours == 0, 1.0, np.abs(ours))
            with np.errstate(all="ignore"):
                return float(np.nan_to_num(np.abs(theirs - ours) / size, posinf=np.inf).max())
        return error_of(self.name, self.recorded, right, self.moment, reference)


def outline_rows(trace: Trace, moments: list[Moment], reference: Reference) -> dict[str, list[Row]]:
    """Rows of init, project, stage and view."""
    found: dict[str, list[Row]] = {"init": [], "project": [], "stage": [], "view": []}
    pdm = reference.model.pdm
    if not moments:
        return found
    initial, first = trace.initial, moments[0]
    boxed = initial.source in (Source.BOX, Source.DETECTOR) and initial.seed is None
    whole = len(initial.params) == 6 + pdm.n_modes and np.isfinite(initial.params).all()
    if boxed and whole and min(initial.box[2:]) > 0 and not _turned_by_hand(initial, reference):
        given = (("box", initial.box), ("rotation", initial.params[1:4]), ("pdm", pdm))
        found["init"].append(OutlineRow("init", "params", first, initial.params, ("init",), given=given))
    for moment in moments:
        found["project"] += _projections(moment, pdm)
    begins = list({moment.stage.index: moment for moment in reversed(moments) if moment.stage is not None}.values())
    begins = [moment for moment in reversed(begins) if not moment.iterates]
    for moment in begins:
        found["view"] += _view(moment, reference)
    found["stage"] = list(_stages(begins, reference))
    return found


def _turned_by_hand(initial: Initial, reference: Reference) -> bool:
    """Whether a start is that of an upright face in its box, turned afterwards: a choice, which no box tells."""
    angles = tuple(initial.params[1:4].tolist())
    if not any(angles):
        return False
    try:
        hand = turned(reference.model, initial_from_box(reference.model, initial.box), angles)
    except InitialError:
        return False
    return bool(np.allclose(hand.params, initial.params, rtol=1e-6, atol=1e-6))


def _projections(moment: Moment, pdm: Any) -> Iterator[Row]:
    step = moment.step
    told = [(step.landmarks, step.params)]
    if step.landmarks_before is not None and "params_before" in moment.recorded:
        told.append((step.landmarks_before, moment.recorded["params_before"]))
    for points, params in told:
        if np.isfinite(params).all() and not np.isnan(points).all():
            given = (("params", params), ("pdm", pdm))
            yield OutlineRow("project", "landmarks", moment, points.astype(np.float64), ("project",), given=given)


def _told_stage(moment: Moment) -> Stage:
    stage = moment.step.stage
    assert stage is not None
    return stage


def _view(moment: Moment, reference: Reference) -> Iterator[Row]:
    told = _told_stage(moment)
    params = moment.recorded.get("params_before")
    if told.view is None or params is None or not np.isfinite(params[1:4]).all() or moment.stage is None:
        return
    scale = reference.model.scales[moment.stage.patch_scale]
    given = (("params_before", params), ("view_centres", scale.view_centres), ("scale", scale))
    yield OutlineRow("view", "view", moment, told.view, ("view",), given=given)


def _stages(begins: list[Moment], reference: Reference) -> Iterator[Row]:
    options, first = reference.options, None
    for moment in begins:
        told = moment.step.stage
        if told is None or moment.stage is None:
            continue
        scaling = reference.model.scales[moment.stage.patch_scale].patch_scaling
        first = first or scaling
        values = np.array([told.sigma, told.reg_factor, told.weight_factor])
        if np.isnan(values).all():
            continue
        given = (
            ("patch_scaling", scaling),
            ("first_scaling", first),
            ("chosen_sigma", options.sigma),
            ("chosen_reg_factor", options.reg_factor),
            ("chosen_weight_factor", options.weight_factor),
            ("adapt_per_scale", options.adapt_per_scale),
        )
        yield OutlineRow("stage", "adapted", moment, values, ("stage",), given=given)


# --- the schedule -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Departure:
    """One way in which a run's schedule is not OpenFace's.

    Attributes
    ----------
    name, text : str
    step : Step
        Where it first shows.
    count : int
        How many times.
    """

    name: str
    text: str
    step: Step
    count: int = 1


def schedule_departures(trace: Trace, moments: list[Moment], reference: Reference) -> tuple[list[Departure], int]:
    """Where the stages, phases and iterations of a run are not those of the schedule; and how many were looked at."""
    whole = trace.numbers[-1].phase is Phase.END and trace.numbers[0].phase is Phase.INITIAL
    if not whole or not any(moment.iterates for moment in moments):
        return [], 0
    phases = _phases(moments)
    departures = [*_stage_departures(trace, reference), *_phase_departures(phases, reference)]
    contiguous = all([step.iteration for step in steps] == list(range(1, len(steps) + 1)) for steps in phases.values())
    if contiguous:
        departures += _ends(phases, reference)
    departures += _numbers(phases, reference)
    departures += _fresh_maps(moments)
    return departures, len(trace.stages) + len(phases)


Phases = dict[tuple[int, Phase], list[Step]]


def _phases(moments: list[Moment]) -> Phases:
    found: Phases = {}
    for moment in moments:
        if moment.iterates and moment.step.stage is not None:
            found.setdefault((moment.step.stage.index, moment.step.phase), []).append(moment.step)
    return found


def _stage_departures(trace: Trace, reference: Reference) -> Iterator[Departure]:
    plan = reference.functions.schedule(len(reference.model.scales)).stages
    summaries = trace.stages
    step_of = {step.stage.index: step for step in reversed(trace.numbers) if step.stage is not None}
    last = trace.numbers[-1]
    told = [(s.stage.patch_scale, s.stage.window) for s in summaries if s.stage.window]
    wanted = [(scale, window) for scale, window, _ in plan if window]
    for summary in summaries:
        stage = summary.stage
        here = step_of[stage.index]
        face = float(here.params[0])
        scaling = reference.model.scales[min(stage.patch_scale, len(reference.model.scales) - 1)].patch_scaling
        if (
            stage.window
            and not math.isnan(face)
            and bool(stage.skipped) != bool(skip_reason(stage.window, scaling, face))
        ):
            how = "is skipped, but" if stage.skipped else "is run, but"
            yield Departure(
                "skip_rule", f"a stage {how} the face's scale is {face:.3g} for a patch scaling of {scaling:g}", here
            )
    if not told or told == wanted:
        return
    if len(told) > len(wanted) and told[: len(wanted)] == wanted:
        extra = told[len(wanted)]
        where = step_of[summaries[len(wanted)].stage.index]
        window = f"window {extra[1]} at patch scale {extra[0]}"
        yield Departure("window5_without_sigma", f"there is a further stage after the last, with {window}", where)
    elif len(told) < len(wanted) and told == wanted[: len(told)]:
        if trace.success:
            yield Departure("stage_missing", f"only {len(told)} of {len(wanted)} stages are there", last)
    elif sorted(told) == sorted(wanted):
        yield Departure("stages_reordered", "the stages come in another order", step_of[summaries[0].stage.index])
    else:
        windows = ", ".join(str(window) for _, window in told)
        expected = ", ".join(str(window) for _, window in wanted)
        first = next((k for k, (a, b) in enumerate(zip(told, wanted, strict=False)) if a != b), 0)
        yield Departure(
            "windows", f"the windows are {windows} instead of {expected}", step_of[summaries[first].stage.index]
        )


def _phase_departures(phases: Phases, reference: Reference) -> Iterator[Departure]:
    wanted = reference.functions.schedule(len(reference.model.scales)).phases
    stages: dict[int, list[Phase]] = {}
    for stage, phase in phases:
        stages.setdefault(stage, []).append(phase)
    wrong = [stage for stage, found in stages.items() if tuple(found) != wanted]
    if not wrong:
        return
    found = stages[wrong[0]]
    step = phases[wrong[0], found[0]][0]
    if Phase.RIGID not in found:
        yield Departure("single_phase", "the rigid phase is left out", step, len(wrong))
    elif Phase.NONRIGID not in found:
        yield Departure("rigid_only", "the non-rigid phase is left out", step, len(wrong))
    else:
        yield Departure("phases_reordered", "the non-rigid phase comes before the rigid one", step, len(wrong))


def _ends(phases: Phases, reference: Reference) -> Iterator[Departure]:
    """Phases that end too early or too late by the rule of the options."""
    most, limit = reference.options.max_iterations, reference.options.convergence_px
    long, early, late = [], [], []
    changes: list[float] = []
    for steps in phases.values():
        change = [_change(step) for step in steps]
        changes += change
        if any(math.isnan(value) for value in change):
            continue
        stops = [k for k, value in enumerate(change) if value < limit * 0.999]
        if len(steps) > most:
            long.append((steps[most], len(steps)))
        elif stops and stops[0] < len(steps) - 1:
            late.append((steps[stops[0] + 1], change[stops[0]]))
        elif len(steps) < most and change[-1] > limit * 1.001:
            early.append((steps[-1], change[-1], len(steps)))
    if long:
        text = f"a phase has up to {max(count for _, count in long)} iterations, not {most}"
        yield Departure("iterations", text, long[0][0], len(long))
    if late:
        yield Departure(
            "stop_rule_missing", f"a phase goes on after a change of {late[0][1]:.3g} px", late[0][0], len(late)
        )
    if early:
        counts = {count for *_, count in early}
        if len(counts) == 1 and len(early) > 1:
            text = f"every phase ends after {counts.pop()} iterations, not {most}"
            yield Departure("iterations", text, early[0][0], len(early))
        else:
            text = f"a phase ends although the shape has changed by {early[0][1]:.3g} px; the rule is {limit:g} px"
            yield Departure("stop_rule", text, early[0][0], len(early))


def _numbers(phases: Phases, reference: Reference) -> Iterator[Departure]:
    """Recorded numbers of the stop rule that are not what it compares."""
    limit = reference.options.convergence_px
    wrong, flags = [], []
    for steps in phases.values():
        for step in steps:
            change = _change(step)
            if math.isnan(change):
                continue
            told = step.shape_change
            if told is not None and not math.isnan(told) and abs(told - change) > 1e-3 + 1e-3 * change:
                wrong.append((step, told, change))
            near = abs(change - limit) < 1e-3 * limit + 1e-4
            if step.converged is not None and not near and step.converged != (change < limit):
                flags.append((step, change))
    if wrong:
        step, told, change = wrong[0]
        text = f"the change of the shape is told as {told:.4g} where all its coordinates change by {change:.4g} px"
        yield Departure("stop_rule", text, step, len(wrong))
    elif flags:
        step, change = flags[0]
        said = "converged" if step.converged else "not converged"
        yield Departure("stop_rule", f"a phase is said to be {said} at a change of {change:.3g} px", step, len(flags))


def _change(step: Step) -> float:
    if step.landmarks_before is not None:
        return float(np.linalg.norm(step.landmarks - step.landmarks_before))
    return math.nan if step.shape_change is None else step.shape_change


def _fresh_maps(moments: list[Moment]) -> Iterator[Departure]:
    """Iterations whose maps are not those of their stage's beginning."""
    first: dict[int, Any] = {}
    wrong = []
    for moment in moments:
        step = moment.step
        if moment.iterates and step.stage is not None and step.responses is not None:
            own = first.setdefault(step.stage.index, step.responses)
            if own is not step.responses and not _same_maps(own, step.responses):
                wrong.append(step)
    if wrong:
        text = "the maps are made anew in the iterations of a stage"
        yield Departure("responses_every_iteration", text, wrong[0], len(wrong))


def _same_maps(a: Any, b: Any) -> bool:
    return a.final is None or b.final is None or np.array_equal(a.final, b.final, equal_nan=True)
