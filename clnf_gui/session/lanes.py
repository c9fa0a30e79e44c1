"""Lanes: what came out of the choices, a run in each lane, and where the cursor stands in it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clnf_engine import (
    FitOptions,
    Initial,
    Model,
    Phase,
    Step,
    Trace,
    TrackOptions,
    initial_from_box,
    initial_from_landmarks,
    turned,
)
from clnf_engine.arrays import Floats
from clnf_engine.detection.detect import Detection
from clnf_engine.detection.parts import PartFit
from clnf_engine.detection.tree import END, MERGED, REFITTED, WHOLE, Node, node_run, part_truth, parts_of
from clnf_engine.initial import upright_box
from clnf_engine.model import ModelPart
from clnf_engine.options import Source
from clnf_engine.plugins.process import traced
from clnf_engine.steps import Place, common_start, numbers_of, place_order
from clnf_engine.tracking.results import Results
from clnf_gui.session.choices import LANES, Choices, LaneChoices, Recorded

_RUNS = count(1)


class Origin(StrEnum):
    """What kind of fit of its frame a lane shows; the values are fit to be read."""

    IMAGE = ""
    """The fit of an image, which has no others."""
    TRACKED = "tracked"
    ALONE = "not tracked yet: fitted as if tracking began here"
    CHANGED = "not tracked yet with these options: fitted from the same start"
    BY_HAND = "started by hand: not the tracked fit"


class Lane:
    """A run and what is known of it.

    Attributes
    ----------
    chosen : LaneChoices
        What it is to be made from.
    run : int
        Number of the run that is shown; no two runs of a program share one.
    initial : Initial or None
        Where the run starts.
    fit_options : FitOptions
        What the Steps were made with: those chosen, but for the windows of a tracked frame.
    origin : Origin
    steps : sequence of Step
        So far; those of a long run are computed again when they are looked at, beyond its budget of memory.
    complete : bool
        Whether the run has ended.
    seconds : float
        How long it took.
    recorded : Recorded or None
        What the run was read from.
    functions : Path or None
        The file whose functions the run was made with.
    detection : Detection or None
        What was done around the fit.
    node : Node
        The run of the detection that is shown.
    part : ModelPart or None
        Of which that run is; None for the whole face.
    cursor : int
        Index of the Step that is shown.
    results : Results or None
        Of the frames that were tracked as chosen; None without a video.
    followed : bool
        Whether tracking has come to the end of the video.
    """

    initial: Initial | None
    recorded: Recorded | None
    functions: Path | None
    detection: Detection | None
    part: ModelPart | None
    _truth: tuple[Floats, Floats | None] | None
    results: Results | None = None
    followed = False
    steps: Sequence[Step]

    def __init__(self) -> None:
        self.chosen = LaneChoices()
        self.forget_run()

    # --- what was chosen ----------------------------------------------------------------------

    def choose(self, chosen: LaneChoices) -> None:
        """Take over what was chosen."""
        self.chosen = chosen

    @property
    def options(self) -> FitOptions:
        """The options chosen."""
        return self.chosen.options

    @property
    def tracking(self) -> TrackOptions:
        """The options of tracking chosen."""
        return self.chosen.tracking

    # --- the run ------------------------------------------------------------------------------

    @property
    def step(self) -> Step | None:
        """The Step that is shown, whole."""
        return self.steps[self.cursor] if len(self.steps) else None

    @property
    def numbers(self) -> Sequence[Step]:
        """The Steps for a reader of numbers, who needs no maps: nothing is computed for him."""
        return numbers_of(self.steps)

    def start_of_kind(self, source: Source, model: Model) -> Initial | None:
        """A start of a kind, made from the fit that is shown; None without one."""
        if self.initial is None or not len(self.steps):
            return None
        if self.initial.source is source:
            return self.initial
        if source is Source.BOX:
            upright = initial_from_box(model, upright_box(model, self.initial))
            return turned(model, upright, self.initial.rotation)
        return initial_from_landmarks(model, self.numbers[-1].landmarks)

    @property
    def places(self) -> Sequence[Place]:
        """Of the Steps so far, in order."""
        if len(self._places) < len(self.steps):
            self._places += [step.place for step in self.numbers[len(self._places) :]]
        return self._places

    @property
    def place(self) -> Place | None:
        """Of the Step that is shown."""
        return self.places[self.cursor] if len(self.steps) else None

    def trace(self, image: NDArray[np.uint8], model: Model) -> Trace | None:
        """The run as a Trace, a recorded one as it was read; None before its first Step."""
        if self.initial is None or not len(self.steps):
            return None
        if self.recorded is not None:
            return self.recorded.trace
        if self.detection is not None:
            return self.trace_of_detection
        trace = Trace(image, model.name, self.initial, self.fit_options, self.steps[:], model.fingerprint)
        return trace if self.functions is None else traced(self.functions, trace)

    def begin_run(
        self,
        initial: Initial,
        options: FitOptions,
        origin: Origin,
        steps: Sequence[Step],
        functions: Path | None = None,
    ) -> None:
        """Show a new run, to whose Steps more will be added."""
        self.forget_run()
        self.initial, self.fit_options, self.origin, self.steps = initial, options, origin, steps
        self.functions = functions

    def take_detection(self, detection: Detection, node: Node, origin: Origin) -> None:
        """Show a node of a detection that was made, or the nearest one that it has."""
        self.forget_run()
        self.detection, self.origin = detection, origin
        self.show_node(node)

    def show_node(self, node: Node) -> None:
        """Show another run of the detection, if there is one."""
        if self.detection is None:
            return
        shown = node_run(self.detection, node)
        self.run, self.cursor = next(_RUNS), 0
        self._places.clear()
        self._truth = None
        self.node, self.part, self.steps = shown.node, shown.part, shown.steps
        self.initial, self.fit_options = shown.initial, shown.options

    @property
    def trace_of_detection(self) -> Trace | None:
        """The fit of the node that is shown, without what comes after it; None where there is none."""
        return None if self.detection is None else node_run(self.detection, self.node).trace

    def truth(self, of_face: Floats | None) -> Floats | None:
        """The true landmarks of the run that is shown, NaN for those that are not known, of those of the face."""
        if self.part is None or of_face is None:
            return of_face
        if self._truth is None or self._truth[0] is not of_face:
            own = part_truth(self.part, of_face)
            self._truth = of_face, own if np.isfinite(own).any() else None
        return self._truth[1]

    def parts_shown(self) -> tuple[PartFit, ...]:
        """The parts of the whole face that is shown, from the end of its main fit on, where they begin."""
        if self.detection is None or self.part is not None or self.place not in (END, MERGED, REFITTED):
            return ()
        return tuple(parts_of(self.detection, self.node).values())

    @property
    def params(self) -> Floats:
        """Where the fit of the face has ended, (6 + m,) float64; there are Steps."""
        return self.numbers[-1].params if self.detection is None else self.detection.params

    def end_run(self, seconds: float) -> None:
        """The run has ended."""
        self.complete, self.seconds = True, seconds

    def take_run(
        self,
        initial: Initial | None,
        options: FitOptions,
        origin: Origin,
        steps: Sequence[Step],
        seconds: float,
        complete: bool = True,
    ) -> None:
        """Show a run that was made elsewhere; without a start there is none."""
        self.forget_run()
        self.initial, self.fit_options, self.origin, self.steps = initial, options, origin, steps
        self.complete, self.seconds = complete and len(steps) > 0, seconds

    def take_recorded(self, recorded: Recorded) -> None:
        """Show a run that was read from a file; one that a port has added to goes on as the same run."""
        trace, known, complete = recorded.trace, self.recorded, not recorded.live
        grown = known is not None and known.live and common_start(self.steps, recorded.steps) == len(self.steps)
        if grown:
            self.steps, self.complete = recorded.steps, complete
        else:
            self.take_run(trace.initial, trace.options, Origin.IMAGE, recorded.steps, 0.0, complete)
        self.recorded = recorded

    @property
    def foreign(self) -> bool:
        """Whether the run is one that the engine would not make: nothing that holds for its fits is true of it."""
        return self.recorded is not None and bool(self.recorded.foreign or self.recorded.other_model)

    @property
    def live(self) -> bool:
        """Whether a port is still computing the run."""
        return self.recorded is not None and self.recorded.live

    def forget_run(self) -> None:
        """Show no run."""
        self.run = next(_RUNS)
        self.recorded = self.functions = self.detection = self.part = None
        self.node = WHOLE
        self._truth = None
        self.initial, self.fit_options, self.origin = None, FitOptions(), Origin.IMAGE
        self.steps = ()
        self._places: list[Place] = []
        self.complete, self.seconds, self.cursor = False, 0.0, 0

    def show(self, place: Place) -> None:
        """Move the cursor to a place, or to the nearest moment before it, of no skipped stage, if there is no such."""
        places = self.places
        self.cursor = max(bisect_right(places, place_order(place), key=place_order) - 1, 0)
        while self.cursor and places[self.cursor][1] is Phase.SKIPPED and places[self.cursor] != place:
            self.cursor -= 1

    def frame_note(self, frame: int | None) -> str:
        """Which frame of a video is shown and what the fit of it is; "" without a video."""
        if frame is None:
            return ""
        state = None if self.results is None else self.results.state(frame)
        if self.origin is Origin.TRACKED and state is not None and self.results is not None:
            result = self.results[frame]
            text = state.value.replace("_", " ")
            if result is not None and not result.success and result.initial is not None:
                text += f": {result.message}"
        elif self.initial is None:
            text = "no face found; a start can be given under Initialization"
        else:
            text = str(self.origin)
        return f"frame {frame + 1}, {text}"

    # --- the tracking -------------------------------------------------------------------------

    def set_results(self, results: Results | None) -> None:
        """Begin a tracking; what was tracked before is out of date."""
        self.results, self.followed = results, False
        if self.origin is Origin.TRACKED and results is not None:
            self.origin = Origin.CHANGED

    def end_tracking(self) -> None:
        """Tracking has come to the end of the video."""
        self.followed = True


class Lanes(Mapping[str, Lane]):
    """Lanes A and B, and what was chosen of them.

    Attributes
    ----------
    choices : Choices
        Changed by `choose` alone.
    """

    def __init__(self) -> None:
        self._lanes = {name: Lane() for name in LANES}
        self.choose(Choices())

    def choose(self, choices: Choices) -> None:
        """Take over what was chosen."""
        self.choices = choices
        for name, lane in self._lanes.items():
            lane.choose(choices[name])

    def swap(self) -> None:
        """Let each name stand for what came out of the other's choices; those are to be swapped, too."""
        self._lanes = dict(zip(self._lanes, reversed(self._lanes.values()), strict=True))

    def __getitem__(self, name: str) -> Lane:
        return self._lanes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lanes)

    def __len__(self) -> int:
        return len(self._lanes)

    @property
    def shown(self) -> dict[str, Lane]:
        """The lanes that are shown, by name."""
        return {name: self._lanes[name] for name in self.choices.shown}

    @property
    def active(self) -> Lane:
        """The lane that options and start apply to, and whose numbers are read out."""
        return self._lanes[self.choices.active]

    @property
    def other(self) -> Lane | None:
        """The lane that the active one is compared with; None without comparison."""
        return self._lanes["A" if self.choices.active == "B" else "B"] if self.choices.comparing else None

    @property
    def other_step(self) -> Step | None:
        """The Step that the active lane's is compared with."""
        return None if self.other is None else self.other.step
