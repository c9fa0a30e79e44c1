"""Named FitOptions."""

from __future__ import annotations

from clnf_engine.errors import OptionsError
from clnf_engine.options import FitOptions

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


def preset(name: str) -> FitOptions:
    """The options of a preset.

    Raises
    ------
    OptionsError
        When there is no preset of that name.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise OptionsError(f"there is no preset {name!r}; expected one of {', '.join(PRESETS)}") from None
