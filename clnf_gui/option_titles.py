"""What people call the options, in the panel and wherever lanes are told apart."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from clnf_engine import DetectionOptions, FitOptions
from clnf_engine.deviations import DEVIATIONS
from clnf_engine.presets import PRESETS, PROGRAMS
from clnf_gui.session.choices import Choices, LaneChoices

OPTION_TITLES = {
    "normalization": "normalization",
    "windows": "windows",
    "max_iterations": "iterations",
    "sigma": "kernel σ, px",
    "kernel": "kernel",
    "reg_factor": "regularisation",
    "weight_factor": "weight factor",
    "adapt_per_scale": "adapt per scale",
    "precision": "precision",
    "convergence_px": "stop below, px",
    "convergence_update": "stop below, ‖Δp‖",
    "clamp_sigmas": "clamp modes at, σ",
    "response_gain": "response gain",
}
"""Every option but the deviations, in the order it is shown."""
ALL_TITLES = OPTION_TITLES | {name: deviation.title for name, deviation in DEVIATIONS.items()}
_MOST = 2
"""So many differences are spelled out."""


def lane_labels(choices: Choices) -> dict[str, str]:
    """What each lane is, told apart from the other: "A · openface", "B · normalization peak, another start"."""
    a, b = choices.a, choices.b
    names = _differing(a.options, b.options) or _differing(b.options, FitOptions())
    started = [] if b.start is None or b.start is a.start else ["another start"]
    tracked = ["another way of tracking"] if a.way != b.way else []
    texts = {
        "A": [_recorded(a) or _made(a, names), _functions(a)],
        "B": [_recorded(b) or _made(b, names), _functions(b), *started, *tracked],
    }
    return {name: " · ".join([name, ", ".join(filter(None, text))]) for name, text in texts.items()}


def _recorded(lane: LaneChoices) -> str:
    """The file of a recorded run, which no options made; "" for a fit."""
    return "" if lane.recorded is None else f"recorded: {lane.recorded.path.name}"


def _functions(lane: LaneChoices) -> str:
    """The file whose functions take part in a fit; "" for the engine's own."""
    return "" if lane.functions is None else f"functions of {lane.functions.name}"


def preset_name(options: FitOptions, detection: DetectionOptions | None) -> str:
    """The program that fits so and does this around its fits, else the preset of the fits alone; "" for neither."""
    if name := program_name(options, detection):
        return name
    return next((name for name, values in PRESETS.items() if values == options), "")


def program_name(options: FitOptions, detection: DetectionOptions | None) -> str:
    """The program that fits so and does this around its fits; "" when there is none."""
    found = (name for name, one in PROGRAMS.items() if (one.fit, one.detection) == (options, detection))
    return next(found, "")


def _made(lane: LaneChoices, names: list[str]) -> str:
    """The preset of a lane, or what its fits and what is done around them differ in."""
    told, around = preset_name(lane.options, lane.detection) or _differences(lane.options, names), lane.detection
    if around is None or program_name(lane.options, around):
        return told
    return " + ".join(filter(None, (told, detection_text(around))))


def detection_text(detection: DetectionOptions) -> str:
    """What is done around a fit, in words: "parts, eyes"."""
    words = {"parts": "parts", "eye_parts": "eyes", "hypotheses": "hypotheses", "validate": "validation"}
    words |= {"mend_slips": "slips mended", "hypothesis_margin": f"margin {detection.hypothesis_margin:g}"}
    return ", ".join(text for name, text in words.items() if getattr(detection, name))


def _differing(options: FitOptions, others: FitOptions) -> list[str]:
    return [one.name for one in fields(FitOptions) if getattr(options, one.name) != getattr(others, one.name)]


def _differences(options: FitOptions, names: list[str]) -> str:
    told = [_told(name, getattr(options, name)) for name in names]
    rest = len(told) - _MOST
    return ", ".join(told[:_MOST]) + (f" and {rest} more" if rest > 0 else "")


def _told(name: str, value: Any) -> str:
    """An option and its value: "kernel σ 2 px", "Sigma off", "Sigma off: no"."""
    title, _, unit = ALL_TITLES[name].partition(", ")
    if isinstance(value, bool):
        return title if value else f"{title}: no"
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return " ".join(filter(None, (title, text.removesuffix(".0"), unit)))
