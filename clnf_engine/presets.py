"""Named FitOptions."""

from __future__ import annotations

from clnf_engine.errors import OptionsError
from clnf_engine.options import FitOptions

PRESETS: dict[str, FitOptions] = {
    "openface": FitOptions(),
    "openface-wild": FitOptions(
        windows=(15, 13, 11, 9), sigma=1.25, reg_factor=35.0, weight_factor=2.5, max_iterations=10
    ),
}
"""``openface``: the defaults of OpenFace; ``openface-wild``: its ``-wild`` switch, for hard photos."""


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
