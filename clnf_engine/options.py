"""FitOptions and its like: everything that can be chosen about a fit, what is around it, and the frames of a video.

All are validated and have a text form, ``key=value``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from numbers import Real
from typing import Any, Self

from clnf_engine.errors import OptionsError

_SHORT = 60
"""Longest value that an error message repeats, characters."""

MAX_WINDOW = 31
"""Largest window a fit accepts; its response maps hold 961 cells per landmark."""


class Normalization(StrEnum):
    """What is done to the final response maps; OpenFace does nothing."""

    NONE = "none"
    PEAK = "peak"
    MINMAX = "minmax"
    SUM = "sum"
    GLOBAL_PEAK = "global_peak"


class Kernel(StrEnum):
    """The mean-shift kernel: OpenFace's table at 0.1 px steps, or evaluated where it stands."""

    TABLE = "table"
    EXACT = "exact"


class Precision(StrEnum):
    """Arithmetic of response maps, mean-shifts, Jacobian and normal equations."""

    FLOAT64 = "float64"
    FLOAT32 = "float32"


class Source(StrEnum):
    """What the start of a fit is made from."""

    BOX = "box"
    DETECTOR = "detector"
    LANDMARKS = "landmarks"
    PREVIOUS = "previous"


class Rules(StrEnum):
    """How a face is followed from frame to frame: our way, or exactly as OpenFace's FeatureExtraction."""

    OWN = "own"
    OPENFACE = "openface"


class _Options:
    """What the dataclasses of options share; every field has a default, and its type is the default's."""

    def _check(self, ranges: Iterable[tuple[str, float, float]]) -> None:
        """Give every value its type, and refuse numbers outside their range."""
        for name, default in option_defaults(type(self)).items():
            object.__setattr__(self, name, _checked(name, getattr(self, name), default))
        for name, low, high in ranges:
            value = getattr(self, name)
            if not low <= value <= high:
                raise OptionsError(f"{name} is {_short(value)}; expected {low:g} to {high:g}")

    def with_text(self, assignments: Iterable[str]) -> Self:
        """A copy with options changed by texts such as ``sigma=2`` or ``windows=15,13,11,9``.

        Raises
        ------
        OptionsError
            For an unknown name or an impossible value.
        """
        defaults = option_defaults(type(self))
        changes: dict[str, Any] = {}
        for text in assignments:
            name, equals, value = (part.strip() for part in text.partition("="))
            if not equals:
                raise OptionsError(f"option {text!r}: expected key=value")
            if name not in defaults:
                raise OptionsError(f"there is no option {name!r}; expected one of {', '.join(defaults)}")
            changes[name] = _parsed(value, defaults[name])
        return replace(self, **changes)  # type: ignore[type-var]  # every subclass is a dataclass

    def to_json(self) -> dict[str, Any]:
        """The options as plain JSON values; `from_json` reads them back."""
        values = {name: getattr(self, name) for name in option_defaults(type(self))}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Options from `to_json`'s form; what is missing keeps its default.

        Raises
        ------
        OptionsError
            For an unknown name or an impossible value.
        """
        unknown = set(values) - set(option_defaults(cls))
        if unknown:
            raise OptionsError(f"there is no option {min(unknown)!r}")
        return cls(**values)


@dataclass(frozen=True)
class FitOptions(_Options):
    """Options of a fit; the defaults are OpenFace's.

    Attributes
    ----------
    windows : tuple of int
        Side of the response maps (reference px), one per patch scale, coarse to fine; 0 skips the scale,
        surplus ones are unused.
    max_iterations : int
        Of each phase (rigid, non-rigid) of a stage.
    sigma : float
        Bandwidth of the mean-shift kernel, reference px.
    reg_factor : float
        Weight of the shape prior Λ⁻¹.
    weight_factor : float
        Weight of the patch confidences; 0 weights all landmarks alike.
    adapt_per_scale : bool
        Adapt `reg_factor`, `sigma` and `weight_factor` to each patch scale.
    normalization : Normalization
        Applied to the final maps.
    kernel : Kernel
    precision : Precision
    convergence_px : float
        A phase stops when the whole shape moves less (L2 norm over all coordinates, image px).
    convergence_update : float
        A phase also stops when ‖Δp‖ is less; 0, OpenFace's, never does.
    clamp_sigmas : float
        Bound on every shape mode, in standard deviations.
    response_gain : float
        Factor on the final maps. A fit must not depend on it; it is there to show that.
    euler_transposed … kernel_table_stale
        Deviations from OpenFace, off by default; `clnf_engine.deviations` describes each.
    """

    windows: tuple[int, ...] = (11, 9, 7, 5)
    max_iterations: int = 5
    sigma: float = 1.5
    reg_factor: float = 25.0
    weight_factor: float = 0.0
    adapt_per_scale: bool = True
    normalization: Normalization = Normalization.NONE
    kernel: Kernel = Kernel.TABLE
    precision: Precision = Precision.FLOAT64
    convergence_px: float = 0.01
    convergence_update: float = 0.0
    clamp_sigmas: float = 3.0
    response_gain: float = 1.0
    euler_transposed: bool = False
    kernel_centre_pixel_fraction: bool = False
    responses_every_iteration: bool = False
    rotation_jacobian_forward_difference: bool = False
    image_rotation_sign_flipped: bool = False
    alignment_least_squares: bool = False
    step_damping: float = 1.0
    single_phase: bool = False
    window5_without_sigma: bool = False
    sum_guard: bool = False
    sigma_off: bool = False
    kernel_table_stale: bool = False

    def __post_init__(self) -> None:
        self._check(
            (
                ("max_iterations", 1, 1000),
                ("sigma", 1e-3, 1e3),
                ("reg_factor", 0.0, 1e9),
                ("weight_factor", 0.0, 1e9),
                ("convergence_px", 0.0, 1e9),
                ("convergence_update", 0.0, 1e9),
                ("clamp_sigmas", 1e-9, 1e9),
                ("response_gain", 1e-300, 1e30),
                ("step_damping", 1e-3, 1.0),
            )
        )
        if not self.windows:
            raise _bad_window("windows", "nothing")
        _check_windows("windows", self.windows)


@dataclass(frozen=True)
class DetectionOptions(_Options):
    """Options of what comes around a fit; the defaults are OpenFace's.

    Attributes
    ----------
    parts : bool
        The model's parts refine the fit, except its eyes.
    eye_parts : bool
        Parts named ``left_eye_28`` and ``right_eye_28`` do, too, where `parts` is on: OpenFace's ``-gaze``.
    hypotheses : bool
        Five rotations are tried, and the likeliest fit is chosen: OpenFace's ``-multi_view``.
    hypothesis_margin : float
        The first, which is not turned, is kept unless another is likelier by more than this; 0 in OpenFace. With
        ``portrait68``, 0.05 is better: see `clnf_engine.choice`.
    validate : bool
        The model's validator, if it has one, says whether the result is a face.
    mend_slips : bool
        Do the sensible thing where OpenFace's slip is plain: a part starts in the box around its known landmarks, and
        is the part of the hypothesis that was chosen. See `clnf_engine.detection.detect`.
    """

    parts: bool = True
    eye_parts: bool = False
    hypotheses: bool = False
    hypothesis_margin: float = 0.0
    validate: bool = True
    mend_slips: bool = False

    def __post_init__(self) -> None:
        self._check((("hypothesis_margin", 0, 1e9),))


@dataclass(frozen=True)
class SearchOptions(_Options):
    """Options of the search for faces.

    Attributes
    ----------
    search : bool
        Look for tilted faces where no upright one is certain. Off: one upright pass, as OpenFace's.
    search_angles : tuple of int
        Tilts to look for, degrees, clockwise where positive.
    search_strength : int
        An upright face to which the cascade answers at so many places needs no closer look.
    search_min_size : int
        Side of the smallest face in the cascade's sense, px.
    """

    search: bool = True
    search_angles: tuple[int, ...] = (20, -20, 40, -40, 60, -60)
    search_strength: int = 12
    search_min_size: int = 50

    def __post_init__(self) -> None:
        self._check((("search_strength", 0, 1e9), ("search_min_size", 20, 1e6)))
        if len(self.search_angles) > 36 or any(abs(angle) > 180 for angle in self.search_angles):
            raise OptionsError("search_angles: expected at most 36 angles from -180 to 180 degrees")


@dataclass(frozen=True)
class TrackOptions(_Options):
    """Options of following a face through a video; the defaults are OpenFace's behaviour.

    Attributes
    ----------
    initialization : Source
        Where the fit of a frame starts: at the end of the last good fit (`previous`; the detector, or a start that is
        given, begins); or in every frame from the `detector`, or from the same `box` or `landmarks`.
    redetect_interval : int
        Every how many frames the detector looks for a face that is lost, or was not there yet; 0: never.
    min_likelihood : float
        A fit of a lower likelihood has lost the face. `clnf_engine.tracking.track` tells where the default is from.
    tracked_windows : tuple of int
        The windows (see `FitOptions`) of a frame that starts where the one before succeeded. Empty: the windows of
        the fit without their first, so 11,9,7,5 becomes 0,9,7,5; all of them when no other stage would be run,
        because the model has no further scale or the face is too small for it.
    rules : Rules
        ``openface``: a fit starts from the frame before even if that failed; only the fit itself and the validator tell
        whether it has failed, not its likelihood; the detector is asked in the frame of a failure and every
        `redetect_interval` failures later. `initialization` is ``previous`` then. See `clnf_engine.tracking.track`.
    """

    initialization: Source = Source.PREVIOUS
    redetect_interval: int = 4
    min_likelihood: float = -0.5
    tracked_windows: tuple[int, ...] = ()
    rules: Rules = Rules.OWN

    def __post_init__(self) -> None:
        self._check((("redetect_interval", 0, 1e9), ("min_likelihood", -1e9, 1e9)))
        if self.rules is Rules.OPENFACE and self.initialization is not Source.PREVIOUS:
            raise OptionsError(f"initialization is {self.initialization}; the rules of openface expect previous")
        _check_windows("tracked_windows", self.tracked_windows)


def option_defaults(kind: type[Any] = FitOptions) -> dict[str, Any]:
    """Name and default of every option of a dataclass of options, in order."""
    return {field.name: field.default for field in fields(kind)}


def _check_windows(name: str, windows: tuple[int, ...]) -> None:
    for window in windows:
        if window != 0 and not (3 <= window <= MAX_WINDOW and window % 2):
            raise _bad_window(name, str(window))


def _bad_window(name: str, found: str) -> OptionsError:
    return OptionsError(f"{name}: found {found}; expected 0 or odd numbers from 3 to {MAX_WINDOW}")


def _checked(name: str, value: Any, default: Any) -> Any:
    """`value` as the type of its default, or an `OptionsError` that says what was expected."""
    if isinstance(default, StrEnum):
        choices = [str(choice) for choice in type(default)]
        if str(value) not in choices:
            raise OptionsError(f"{name} is {_short(value)}; expected one of {', '.join(choices)}")
        return type(default)(str(value))
    if isinstance(default, bool):
        if isinstance(value, bool):
            return value
        raise OptionsError(f"{name} is {_short(value)}; expected true or false")
    if isinstance(default, tuple):
        if isinstance(value, Iterable) and not isinstance(value, str):
            return tuple(_checked(name, item, 0) for item in value)
        raise OptionsError(f"{name} is {_short(value)}; expected a list of whole numbers")
    number = finite(value)
    if isinstance(default, int):
        if number is not None and number == int(number):
            return int(number)
        raise OptionsError(f"{name} is {_short(value)}; expected a whole number")
    if number is not None:
        return number
    raise OptionsError(f"{name} is {_short(value)}; expected a finite number")


def finite(value: Any) -> float | None:
    """`value` as a float when it is a finite real number, but not a truth value."""
    if type(value) is bool or not isinstance(value, Real):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _short(value: Any) -> str:
    """A value for a message, however long it is."""
    try:
        text = f"{value:g}" if isinstance(value, float) else repr(value)
    except ValueError:  # Python refuses to write whole numbers of thousands of digits
        return "a number too long to write"
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"


def _parsed(text: str, default: Any) -> Any:
    """The value of an option from its text; wrong texts come back as they are, for `_checked` to refuse."""
    if isinstance(default, StrEnum):
        return text
    if isinstance(default, bool):
        words = {
            "true": True,
            "on": True,
            "yes": True,
            "1": True,
            "false": False,
            "off": False,
            "no": False,
            "0": False,
        }
        return words.get(text.lower(), text)
    if isinstance(default, tuple):
        return tuple(_number(item) for item in text.strip("()[]").split(",") if item.strip())
    return _number(text)


def _number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text.strip()
