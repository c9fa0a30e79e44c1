"""Named options: presets of a fit, and what OpenFace's programs do around it."""

from __future__ import annotations

from dataclasses import dataclass, field

from clnf_engine.errors import OptionsError
from clnf_engine.options import DetectionOptions, FitOptions, Rules, SearchOptions, TrackOptions

PRESETS: dict[str, FitOptions] = {
    "openface": FitOptions(),
    "openface-wild": FitOptions(
        windows=(15, 13, 11, 9), sigma=1.25, reg_factor=35.0, weight_factor=2.5, max_iterations=10
    ),
    "pyclnf-2025-11": FitOptions(
        windows=(11, 9, 7, 5),
        max_iterations=20,
        sigma=1.5,
        reg_factor=25.0,
        weight_factor=5.0,
        convergence_px=0.0,
        convergence_update=0.005,
        euler_transposed=True,
        kernel_centre_pixel_fraction=True,
        responses_every_iteration=True,
        rotation_jacobian_forward_difference=True,
        image_rotation_sign_flipped=True,
        alignment_least_squares=True,
        step_damping=0.75,
        single_phase=True,
        window5_without_sigma=True,
    ),
}
"""``openface``: the defaults of OpenFace; ``openface-wild``: its ``-wild`` switch, for hard photos;
``pyclnf-2025-11``: a port as it was in November 2025, with the deviations that were found in it."""


@dataclass(frozen=True)
class Program:
    """What a program does: its fits, what is around them, how it finds faces and follows them."""

    detection: DetectionOptions
    fit: FitOptions = field(default_factory=FitOptions)
    search: SearchOptions = field(default_factory=lambda: SearchOptions(search=False))
    tracking: TrackOptions = field(
        default_factory=lambda: TrackOptions(rules=Rules.OPENFACE, tracked_windows=(0, 9, 7, 5))
    )


PROGRAMS: dict[str, Program] = {
    "openface-image": Program(DetectionOptions(validate=False)),
    "openface-video": Program(DetectionOptions()),
}
"""``openface-image``: OpenFace's FaceLandmarkImg, without validation; ``openface-video``: its FeatureExtraction."""


def preset(name: str) -> FitOptions:
    """The options of the fits of a preset or of a program.

    Parameters
    ----------
    name : str
        Of `PRESETS`, such as ``openface-wild``, or of `PROGRAMS`, such as ``openface-image``.

    Returns
    -------
    FitOptions

    Raises
    ------
    OptionsError
        When there is none of that name.

    Examples
    --------
    >>> from clnf_engine import preset
    >>> preset("openface-wild").windows
    (15, 13, 11, 9)
    """
    if name in PROGRAMS:
        return PROGRAMS[name].fit
    try:
        return PRESETS[name]
    except KeyError:
        names = ", ".join([*PRESETS, *PROGRAMS])
        raise OptionsError(f"there is no preset {name!r}; expected one of {names}") from None
