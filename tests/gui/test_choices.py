"""What follows from a choice: a table, without Qt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from engine.tiny_model import start

from clnf_engine import DetectionOptions, FitOptions, TrackOptions
from clnf_gui.look import Look
from clnf_gui.session.aspect import Aspect
from clnf_gui.session.choices import Choices, Start, consequences

OPTIONS = FitOptions(sigma=2.0)
DETECTION = DetectionOptions()
HERE, THERE = Start(start(), start(), 3), Start(start(), start(), 4)
PHOTO, OTHER = Start(start(), start()), Start(start(), start())
ALONE, BOTH = Choices(), Choices(comparing=True)

IMAGE, FRAME = None, 3
TABLE = {
    "nothing": (ALONE, ALONE, IMAGE, "", "", "", Aspect(0)),
    "look": (ALONE, replace(ALONE, look=Look(show_ghost=False)), IMAGE, "", "", "", Aspect.LOOK),
    "options": (ALONE, ALONE.with_lane("A", options=OPTIONS), IMAGE, "A", "", "", Aspect.OPTIONS),
    "options of B, hidden": (ALONE, ALONE.with_lane("B", options=OPTIONS), IMAGE, "", "", "", Aspect.OPTIONS),
    "options of B": (BOTH, BOTH.with_lane("B", options=OPTIONS), IMAGE, "B", "", "", Aspect.OPTIONS),
    "functions of B": (BOTH, BOTH.with_lane("B", functions=Path("mine.py")), IMAGE, "B", "", "", Aspect.OPTIONS),
    "detection": (ALONE, ALONE.with_lane("A", detection=DETECTION), IMAGE, "A", "", "", Aspect.OPTIONS),
    "detection of B, hidden": (
        *(ALONE, ALONE.with_lane("B", detection=DETECTION)),
        *(IMAGE, "", "", "", Aspect.OPTIONS),
    ),
    "video, detection": (ALONE, ALONE.with_lane("A", detection=DETECTION), FRAME, "", "", "", Aspect.OPTIONS),
    "video, detection, by hand": (
        *(ALONE.with_lane("A", start=HERE), ALONE.with_lane("A", start=HERE, detection=DETECTION)),
        *(FRAME, "", "", "", Aspect.OPTIONS),
    ),
    "start": (ALONE, ALONE.with_lane("A", start=PHOTO), IMAGE, "A", "", "", Aspect.START),
    "start of both": (BOTH, BOTH.with_lane("A", start=PHOTO), IMAGE, "AB", "", "", Aspect.START),
    "start of B": (BOTH, BOTH.with_lane("B", start=PHOTO), IMAGE, "B", "", "", Aspect.START),
    "like A": (BOTH.with_lane("B", start=PHOTO), BOTH, IMAGE, "B", "", "", Aspect.START),
    "active": (BOTH, replace(BOTH, active="B"), IMAGE, "", "", "", Aspect.LANES),
    "compare": (ALONE, BOTH, IMAGE, "B", "", "", Aspect.LANES | Aspect.STEPS),
    "alone again": (BOTH, ALONE, IMAGE, "", "", "", Aspect.LANES | Aspect.STEPS),
    "tracking options of an image": (
        *(ALONE, ALONE.with_lane("A", tracking=TrackOptions(redetect_interval=2))),
        *(IMAGE, "", "", "", Aspect.OPTIONS),
    ),
    "video, options": (ALONE, ALONE.with_lane("A", options=OPTIONS), FRAME, "A", "", "A", Aspect.OPTIONS),
    "video, options of B, hidden": (
        *(ALONE, ALONE.with_lane("B", options=OPTIONS)),
        *(FRAME, "", "", "B", Aspect.OPTIONS),
    ),
    "video, way": (ALONE, ALONE.with_lane("A", begin=3), FRAME, "", "", "A", Aspect.OPTIONS),
    "video, compare": (ALONE, BOTH, FRAME, "", "B", "", Aspect.LANES | Aspect.STEPS),
    "video, by hand": (ALONE, ALONE.with_lane("A", start=HERE), FRAME, "A", "", "", Aspect.START),
    "video, by hand in another frame": (ALONE, ALONE.with_lane("A", start=THERE), FRAME, "", "", "", Aspect(0)),
    "video, no longer by hand": (ALONE.with_lane("A", start=HERE), ALONE, FRAME, "", "A", "", Aspect.START),
    "video, B does not follow A's hand": (BOTH, BOTH.with_lane("A", start=HERE), FRAME, "A", "", "", Aspect.START),
    "video, by hand with options": (
        *(ALONE.with_lane("A", start=HERE), ALONE.with_lane("A", start=HERE, options=OPTIONS)),
        *(FRAME, "A", "", "A", Aspect.OPTIONS),
    ),
}


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE.keys())
def test_consequences(row: tuple) -> None:
    old, new, frame, refit, show, retrack, aspects = row
    found = consequences(old, new, frame)
    assert (set(found.refit), set(found.show), set(found.retrack)) == (set(refit), set(show), set(retrack))
    assert aspects in found.aspects
    if not aspects & Aspect.LANES:
        assert found.aspects == aspects


@pytest.mark.parametrize(
    "choices", [BOTH, BOTH.with_lane("A", start=PHOTO), BOTH.with_lane("A", start=OTHER).with_lane("B", start=PHOTO)]
)
def test_swapping_twice_changes_nothing(choices: Choices) -> None:
    assert choices.swapped().swapped() == choices
    for name, other in ("AB", "BA"):
        assert choices.swapped()[name].options == choices[other].options
        assert choices.swapped().start(name, None) is choices.start(other, None)


def test_another_scene_keeps_options_and_look() -> None:
    choices = BOTH.with_lane("A", options=OPTIONS, start=PHOTO, begin=2, first=PHOTO.initial)
    found = choices.without_starts()
    assert (found.a.options, found.comparing, found.look) == (OPTIONS, True, choices.look)
    assert (found.a.start, found.a.begin, found.a.first) == (None, 0, None)
