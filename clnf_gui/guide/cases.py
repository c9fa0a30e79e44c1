"""CASES: the guided cases, page by page: what is set, where to look, and what is to be seen there.

A page sets everything it needs by the methods and commands that a person has, so that one can go back as well as on.
Its numbers are read from the Session when it is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import numpy as np

from clnf_engine import FitOptions, Initial, Normalization, Phase, preset
from clnf_engine.deviations import DEVIATIONS, active
from clnf_engine.diagnostics.conformance import ConformanceFinding
from clnf_engine.steps import Place, place_text
from clnf_engine.trace import landmark_distance
from clnf_gui.commands import command
from clnf_gui.guide.material import Picture
from clnf_gui.look import MapKind
from clnf_gui.session import Session

END: Place = (None, Phase.END, None)
_PORT = preset("pyclnf-2025-11")
_CAUSES = ("kernel_centre_pixel_fraction", "euler_transposed")
_REPAIRED = replace(_PORT, **dict.fromkeys(_CAUSES, False))  # type: ignore[arg-type]  # both are switches
_NOSE = 30


@dataclass(frozen=True)
class Page:
    """One thing to see.

    Attributes
    ----------
    title : str
    look_at : str
        The part of the window that is framed, a key of `guiding.Parts`.
    show : callable of Session
        Sets what is to be seen.
    text : callable of Session to str
        What it is, when all is there.
    tool : str
        Of the Lab, whose finding is to be there; "" for none.
    """

    title: str
    look_at: str
    show: Callable[[Session], None]
    text: Callable[[Session], str]
    tool: str = ""


@dataclass(frozen=True)
class Case:
    """A story in pages."""

    title: str
    about: str
    picture: Picture
    pages: tuple[Page, ...]


# --- what pages do ------------------------------------------------------------------------------------


def _lanes(session: Session, a: FitOptions, b: FitOptions | None = None) -> None:
    """Fit with these options, from the detector's start; with two sets of them, side by side."""
    fresh: dict[str, Any] = {"start": None, "recorded": None, "functions": None}
    choices = session.choices.with_lane("A", options=a, **fresh).with_lane("B", options=b or a, **fresh)
    look = replace(session.look, map_kind=MapKind.FINAL, show_box=False, show_map=False, show_windows=False)
    session.choose(replace(choices, comparing=b is not None, active="A", look=look))


def _fitted(a: FitOptions, b: FitOptions | None = None, place: Place = END) -> Callable[[Session], None]:
    def show(session: Session) -> None:
        _lanes(session, a, b)
        session.cursor.move_to(place)

    return show


def _asked(tool: str, a: FitOptions, b: FitOptions | None = None) -> Callable[[Session], None]:
    def show(session: Session) -> None:
        _lanes(session, a, b)
        session.lab.choose(tool)

    return show


# --- what pages tell ----------------------------------------------------------------------------------


def _update(session: Session, lane: str) -> float:
    """‖Δp‖ of the last iteration of a lane."""
    norms = [step.update_norm for step in session.lanes[lane].numbers if step.update_norm is not None]
    return norms[-1] if norms else float("nan")


def _ends_apart(session: Session) -> float:
    """How far apart the lanes end, px, by their farthest landmark."""
    a, b = (session.lanes[name].numbers[-1].landmarks for name in "AB")
    return landmark_distance(a, b)


def _iterations(session: Session) -> int:
    return sum(step.iteration is not None for step in session.lane.numbers)


def _found(tool: str) -> Callable[[Session], str]:
    def text(session: Session) -> str:
        result = session.lab.records[tool].result
        return "" if result is None else escape(result.finding.verdict)

    return text


def _likelihood(session: Session) -> str:
    value = session.lane.numbers[-1].likelihood
    return "none" if value is None else f"{value:.2f}".replace("-", "−")


def _roll(session: Session) -> float:
    start = session.starts.now
    return 0.0 if start is None else float(np.degrees(start.initial.rotation[2]))


# --- the normalization paradox ------------------------------------------------------------------------

_NONE, _PEAK = Normalization.NONE, Normalization.PEAK

_PARADOX = Case(
    "The normalization paradox",
    "A port did not converge, and dividing its response maps by their peaks seemed to help. It did not.",
    Picture.PORTRAIT,
    (
        Page(
            "A port that does not converge",
            "Convergence",
            _fitted(_PORT),
            lambda s: (
                f"This is a port of CLNF as it once was, with {len(active(_PORT))} deviations from OpenFace: see "
                "<i>Options</i>. The solid curve is ‖Δp‖. Its author waited for "
                f"{_PORT.convergence_update:g}; after {_iterations(s)} iterations it is {_update(s, 'A'):.3g}."
            ),
        ),
        Page(
            "Does normalization help?",
            "Convergence",
            _fitted(_PORT, replace(_PORT, normalization=_PEAK)),
            lambda s: (
                f"Lane B divides every map by its peak. The last ‖Δp‖ is {_update(s, 'A'):.3g} in A and "
                f"{_update(s, 'B'):.3g} in B, and the runs end {_ends_apart(s):.2g} px apart. Weeks went into "
                "explaining such a difference."
            ),
        ),
        Page(
            "Is the difference noise?",
            "Lab",
            _asked("jitter", _PORT, replace(_PORT, normalization=_PEAK)),
            lambda s: (
                f"The <i>Jitter ensemble</i> repeats both runs from starts moved by 1e-9 px. {_found('jitter')(s)}"
            ),
            "jitter",
        ),
        Page(
            "Can it matter at all?",
            "Response maps",
            _fitted(FitOptions(), FitOptions(normalization=_PEAK), (0, Phase.RESPONSES, None)),
            lambda s: (
                "The same question with OpenFace's own settings. A mean-shift divides by the sum of its own map, so a "
                f"factor cancels: the lanes end {_ends_apart(s):.1g} px apart, and that is rounding."
            ),
        ),
        Page(
            "What is the cause?",
            "Lab",
            _asked("ablation", _PORT),
            lambda s: (
                "The <i>Ablation matrix</i> runs every deviation alone, and all but each. "
                f"{_found('ablation')(s)} A click on a row opens lane B with exactly that deviation."
            ),
            "ablation",
        ),
        Page(
            "Without the two causes",
            "Convergence",
            _fitted(_REPAIRED, replace(_REPAIRED, normalization=_PEAK)),
            lambda s: (
                f"Without {' and '.join(DEVIATIONS[name].title for name in _CAUSES)}, ‖Δp‖ ends at "
                f"{_update(s, 'A'):.6g} in A and {_update(s, 'B'):.6g} in B, {_ends_apart(s):.1g} px apart. "
                "Switch off causes; do not explain symptoms."
            ),
        ),
    ),
)


# --- a port is checked --------------------------------------------------------------------------------


def _check(session: Session) -> ConformanceFinding | None:
    result = session.lab.records["conformance"].result
    finding = None if result is None else result.finding
    return finding if isinstance(finding, ConformanceFinding) else None


def _recording(session: Session) -> None:
    session.cursor.move_to(END)


def _checked(session: Session) -> None:
    session.set_active("A")
    session.lab.choose("conformance")


def _wrong(session: Session) -> None:
    """Go to where the operation that is wrong most often fails first."""
    _checked(session)
    found = _check(session)
    failing = [] if found is None else [o for o in found.check.operations if o.mistakes and o.first is not None]
    if found is not None and failing:
        worst = max(failing, key=lambda operation: operation.wrong)
        assert worst.first is not None
        session.look_at(worst.name, found.places.get(worst.first, worst.first))


def _where(session: Session) -> str:
    name = session.evaluations.operation
    place = "" if session.lane.place is None else place_text(session.lane.place)
    return (
        f"The strip has a row for each operation and a cell for each step; orange is wrong. Here is <i>{name}</i> at "
        f"{place}: what the port recorded, what comes out with its own inputs, and the difference. "
        "→ goes on from here."
    )


def _repairs(session: Session) -> str:
    found = _check(session)
    repair = {} if found is None else dict(found.check.repair)
    if not {"no mistake", "all"} <= repair.keys():
        return "Nothing needs to be repaired."
    single = "; ".join(f"with {name} {value:.3g} px" for name, value in repair.items() if name.startswith("only"))
    return (
        "The engine's fit, made wrong on purpose, is compared with where the port ended. With no mistake "
        f"it is {repair['no mistake']:.3g} px away, {f'{single}, ' if single else ''}with all that were named "
        f"{repair['all']:.1g} px. So nothing else is wrong."
    )


_CHECK = Case(
    "A port is checked",
    "A recorded run of somebody's program ends in the wrong place. Which operations are to blame?",
    Picture.PORT,
    (
        Page(
            "Somebody's run, and the engine's",
            "photos",
            _recording,
            lambda s: (
                "Lane A is a recording. The engine does not come by the same numbers from the same start, so its own "
                f"run is lane B. They end {_ends_apart(s):.3g} px apart. After its first mistake everything in a run "
                "differs; comparing runs cannot show a second one."
            ),
            "conformance",
        ),
        Page(
            "Every operation by itself",
            "Lab",
            _checked,
            lambda s: (
                "<i>Conformance</i> computes each operation again from what the recording itself had as inputs at that "
                f"step. {_found('conformance')(s)}"
            ),
            "conformance",
        ),
        Page("Where it is wrong", "Lab", _wrong, _where, "conformance"),
        Page("Is that all?", "Lab", _checked, _repairs, "conformance"),
    ),
)


# --- a tilted face ------------------------------------------------------------------------------------


def _upright(session: Session) -> None:
    _lanes(session, FitOptions())
    session.starts.turn((0.0, 0.0, 0.0))
    session.set_look(replace(session.look, show_box=True))
    session.cursor.move_to(END)


def _seen(session: Session) -> None:
    _upright(session)
    session.select(_NOSE)
    session.set_look(replace(session.look, show_map=True, show_windows=True))
    session.cursor.move_to((0, Phase.RESPONSES, None))


def _search(session: Session) -> None:
    _upright(session)
    session.lab.choose("starts")


def _better(session: Session) -> None:
    """Start where the first row of what was found says, as a click on it would."""
    session.lab.choose("starts")
    result = session.lab.records["starts"].result
    links = () if result is None else next((table.links for table in result.tables if table.links), ())
    found = next((link for link in links if isinstance(link, Initial)), None)
    if found is not None:
        session.follow(found)
    session.set_look(replace(session.look, show_box=True, show_map=False, show_windows=False))
    session.cursor.move_to(END)


_FIND = command("find_start")

_TILTED = Case(
    "A tilted face",
    "The portrait, tilted by 40°: why an upright start fails, and how a better one is found.",
    Picture.TILTED,
    (
        Page(
            "The detector's start",
            "photo",
            _fitted(FitOptions()),
            lambda s: (
                f"The search for faces also looks at turned copies of the photo, and offers a start turned by "
                f"{_roll(s):.0f}°. From there the log-likelihood at the end is {_likelihood(s)}."
            ),
        ),
        Page(
            "An upright start",
            "Options",
            _upright,
            lambda s: (
                f"The same box, turned upright (Roll {_roll(s):.0f}°). Now the fit ends at {_likelihood(s)}, and the "
                f"line at the lower right says: <i>{escape(s.verdict(s.active).text)}</i>"
            ),
        ),
        Page(
            "What the landmarks see",
            "photo",
            _seen,
            lambda s: (
                f"Response maps are computed in the frame of the start. Landmark {_NOSE}, the tip of the nose, "
                "searches this square, in which the nose is turned from what its patch expert knows."
            ),
        ),
        Page(
            "Look for a better start",
            "Lab",
            _search,
            lambda s: f"<i>{_FIND.text}</i> ({_FIND.keys}) fits from many other starts. {_found('starts')(s)}",
            "starts",
        ),
        Page(
            "Start there",
            "photo",
            _better,
            lambda s: (
                f"The first row of its table was clicked: the box is turned by {_roll(s):.0f}°, and the fit ends at "
                f"{_likelihood(s)}. The start was wrong, not the model. {command('undo').keys} would take it back."
            ),
        ),
    ),
)

CASES: tuple[Case, ...] = (_PARADOX, _CHECK, _TILTED)
