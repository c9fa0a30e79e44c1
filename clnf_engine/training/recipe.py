"""Recipe: everything that can be chosen about a training."""

from __future__ import annotations

from dataclasses import dataclass

from clnf_engine.errors import OptionsError

_RANGES: dict[str, tuple[float, float]] = {
    "neurons": (1, 50),
    "variance_kept": (0.01, 1),
    "support": (3, 31),
    "training_window": (3, 31),
    "copies": (1, 100),
    "turned_degrees": (0, 180),
    "jitter_degrees": (0, 90),
    "jitter_scale": (0, 1),
    "near_share": (0, 1),
    "far_offset": (0, 100),
    "bump": (0.1, 100),
    "weight_decay": (0, 1),
    "likeness": (0, 1000),
    "iterations": (1, 100_000),
    "refinements": (1, 100_000),
}
"""Smallest and largest value of what has no rule of its own."""


@dataclass(frozen=True)
class View:
    """A view beside the frontal one, and how far the copies it learns from are turned.

    Attributes
    ----------
    pitch, yaw : float
        Head rotation of its centre, degrees; one of them is zero. A view to a side has a twin on the other.
    least, most : float
        Turn of the copies towards it, uniform between these, degrees.
    """

    pitch: float
    yaw: float
    least: float
    most: float

    @property
    def mirrors_itself(self) -> bool:
        """Whether one side of the face looks in it like the other mirrored."""
        return self.yaw == 0

    @property
    def name(self) -> str:
        """Such as "yaw+20"."""
        return f"yaw{self.yaw:+g}" if self.yaw else f"pitch{self.pitch:+g}"


FRONTAL = View(0, 0, 0, 0)

VIEWS = (View(0, 20, 10, 30), View(15, 0, 8, 23), View(-15, 0, 8, 23))
"""Beside the frontal one. Borders between views lie far from ±30°, where fits that try several rotations start."""


@dataclass(frozen=True)
class Recipe:
    """Choices of a training; the defaults, and `VIEWS`, made the shipped model.

    Attributes
    ----------
    scales : tuple of float
        Patch scales, reference px per model unit, coarse to fine.
    windows : tuple of int
        Response map sizes for which Sigma components are stored.
    neurons : int
        Neurons K per expert.
    seed : int
        Of every random choice.
    held_out : float
        Share of the faces on which confidences and accuracy are measured.
    variance_kept : float
        Share of the shape variance that the PDM's modes explain.
    support : int
        Side of a neuron, reference px.
    training_window : int
        Side of the response maps an expert is trained on, reference px.
    copies : int
        Jittered crops per face and per mirror image.
    turned_degrees : float
        Faces turned to a side by more than this get three times as many.
    jitter_degrees, jitter_scale : float
        Standard deviations of a crop's rotation and of the logarithm of its scale.
    near_share : float
        Share of the crops whose window holds the landmark; the others lie up to `far_offset` px off.
    far_offset : float
        Reference px.
    bump : float
        Standard deviation of the target response, reference px.
    weight_decay : float
        Penalty on the squared norm of all neurons, per response cell.
    likeness : float
        Penalty on the mean squared cosine between neurons, per response cell.
    iterations, refinements : int
        Most steps of the optimiser, from k-means and from the experts of the split.
    views : tuple of View
        Beside the frontal one.
    view_iterations : int
        Most steps of the optimiser for an expert of a view, from that of the frontal one.
    most_yaw_to_turn : float
        Faces turned to a side by more than this are not turned for views, degrees.
    other_degrees, roll_degrees : float
        Standard deviations of the other angle and of the roll of the copies for a view.
    """

    scales: tuple[float, ...] = (0.18, 0.35, 0.5)
    windows: tuple[int, ...] = (7, 9, 11, 15)
    neurons: int = 5
    seed: int = 0
    held_out: float = 0.2
    variance_kept: float = 0.98
    support: int = 11
    training_window: int = 9
    copies: int = 2
    turned_degrees: float = 8.0
    jitter_degrees: float = 6.0
    jitter_scale: float = 0.075
    near_share: float = 0.65
    far_offset: float = 11.0
    bump: float = 1.0
    weight_decay: float = 1e-6
    likeness: float = 0.1
    iterations: int = 80
    refinements: int = 30
    views: tuple[View, ...] = ()
    view_iterations: int = 40
    most_yaw_to_turn: float = 9.0
    other_degrees: float = 5.0
    roll_degrees: float = 3.0

    def __post_init__(self) -> None:
        if not self.scales or any(not 0.01 <= scale <= 10 for scale in self.scales):
            raise OptionsError(f"scales are {self.scales}; expected numbers from 0.01 to 10")
        if list(self.scales) != sorted(set(self.scales)):
            raise OptionsError(f"scales are {self.scales}; expected them to grow, coarse to fine")
        if len(set(self.windows)) != len(self.windows) or any(not (3 <= w <= 31 and w % 2) for w in self.windows):
            raise OptionsError(f"windows are {self.windows}; expected different odd numbers from 3 to 31")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:  # neither is a NaN
                raise OptionsError(f"{name} is {value:g}; expected {low:g} to {high:g}")
        for name in ("support", "training_window"):
            if getattr(self, name) % 2 == 0:
                raise OptionsError(f"{name} is {getattr(self, name)}; expected an odd number")
        if self.seed < 0:
            raise OptionsError(f"seed is {self.seed}; expected 0 or more")
        if not 0 < self.held_out < 1:
            raise OptionsError(f"held_out is {self.held_out:g}; expected more than 0 and less than 1")
