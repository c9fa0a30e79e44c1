"""Round trips: whether the pieces of the shape model and of the alignment undo each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clnf_engine.arrays import Floats
from clnf_engine.diagnostics.finding import Finding, Table
from clnf_engine.diagnostics.jacobian import POSES, posed
from clnf_engine.model import Model
from clnf_engine.operations import functions_of
from clnf_engine.pdm import landmarks, params_from_landmarks, rotation_matrix
from clnf_engine.steps import Phase
from clnf_engine.trace import Trace, landmark_distance


@dataclass(frozen=True)
class RoundTrip:
    """One way there and back.

    Attributes
    ----------
    name : str
    error : float
        How far from where it started it ends.
    unit : str
        Of the error.
    tolerance : float
        Largest error of a consistent piece.
    detail : str
        What was seen, in words.
    """

    name: str
    error: float
    unit: str
    tolerance: float
    detail: str

    @property
    def closed(self) -> bool:
        """Whether it ends where it started."""
        return self.error <= self.tolerance


@dataclass(frozen=True)
class RoundTripsFinding(Finding):
    """Every round trip that was made.

    Attributes
    ----------
    trips : tuple of RoundTrip
    """

    question: ClassVar[str] = "Are the pieces of the model self-consistent?"
    wanted: ClassVar[bool | None] = True
    provenance: ClassVar[str] = "The fit's own update, rotation, alignment and projection, called with its options."

    trips: tuple[RoundTrip, ...]

    @property
    def answer(self) -> bool:
        """Whether every trip ends where it started."""
        return all(trip.closed for trip in self.trips)

    @property
    def verdict(self) -> str:
        """Which do not, the first of a kind standing for the others."""
        if self.answer:
            return f"Yes: all {len(self.trips)} round trips end where they started."
        first: dict[str, RoundTrip] = {}
        for trip in self.trips:
            if not trip.closed:
                first.setdefault(trip.name, trip)
        return f"No: {'; '.join(f'{trip.name}: {trip.detail}' for trip in first.values())}."

    def tables(self) -> tuple[Table, ...]:
        """Every trip."""
        columns = ("round trip", "closed", "error", "unit", "tolerance", "detail")
        rows = tuple((t.name, t.closed, t.error, t.unit, t.tolerance, t.detail) for t in self.trips)
        return (Table("Round trips", columns, rows),)


def round_trips(trace: Trace, model: Model) -> RoundTripsFinding:
    """There and back through every piece a fit with these options uses.

    Parameters
    ----------
    trace : Trace
    model : Model
        The one that made it.

    Returns
    -------
    RoundTripsFinding
    """
    trips = []
    functions = functions_of(trace.options)
    for pose in POSES:
        params = posed(trace, pose)
        moved = functions["update"](params, np.zeros(len(params)))
        there, back = _angles(params), _angles(moved)
        trips.append(
            RoundTrip(
                "zero update",
                float(np.abs(moved - params).max()),
                "rad, px",
                1e-12,
                f"moves the rotation {there} to {back}",
            )
        )
        turned = rotation_matrix(params[1:4]) - rotation_matrix(moved[1:4])
        trips.append(
            RoundTrip(
                "rotation matrix to Euler angles and back",
                float(np.abs(turned).max()),
                "matrix element",
                1e-12,
                f"the matrix of {there} returns as that of {back}",
            )
        )
    for step in trace.select(lambda step: step.phase is Phase.RESPONSES):
        maps = step.responses
        if maps is not None:
            there_ = functions["similarity"](maps.base_shape, maps.reference_shape)
            trips.append(_frames_trip(f"{step.stage}", there_, functions["similarity_inverse"](there_)))
    final = trace.numbers[-1].params
    again = params_from_landmarks(model.pdm, landmarks(model.pdm, final), clamp_sigmas=trace.options.clamp_sigmas)
    distance = landmark_distance(landmarks(model.pdm, again), landmarks(model.pdm, final))
    trips.append(
        RoundTrip(
            "parameters to landmarks and back",
            float(distance / final[0]),
            "model units",
            1.0,
            f"the landmarks return within {distance:.2g} px (the way back is regularised)",
        )
    )
    return RoundTripsFinding(tuple(trips))


def _angles(params: Floats) -> str:
    return "({:.2f}, {:.2f}, {:.2f})".format(*(params[1:4] + 0.0))


def _frames_trip(where: str, there: Floats, back: Floats) -> RoundTrip:
    both = back @ there
    angle = np.degrees(np.arctan2(both[1, 0], both[0, 0]))
    scale = np.sqrt(abs(np.linalg.det(both)))
    error = float(np.abs(both - np.eye(2)).max())
    detail = f"at {where} returns turned by {angle:.2f}° and scaled by {scale:.4f}"
    return RoundTrip("image to reference frame and back", error, "matrix element", 1e-5, detail)
