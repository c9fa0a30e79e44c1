"""Guided cases: each is played to its end by clicks, on real data, and what was open before comes back."""

from __future__ import annotations

import re

import pytest
from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtWidgets import QPushButton, QWidget
from pytestqt.qtbot import QtBot

from clnf_engine.diagnostics.finding import no_progress
from clnf_engine.diagnostics.jitter import jitter
from clnf_gui.guide.cases import CASES
from clnf_gui.pane import in_sight
from clnf_gui.window import MainWindow

from .conftest import wait_for_fit

PATIENCE_MS = 60_000
"""The Lab makes some hundred fits on some pages."""


def click(qtbot: QtBot, button: QWidget) -> None:
    assert button.isVisible() and button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def begin(qtbot: QtBot, window: MainWindow, number: int) -> None:
    window.actions_by_id["cases"].trigger()
    click(qtbot, window.guide_card.cases.findChildren(QPushButton)[number])


def wait_for_page(qtbot: QtBot, window: MainWindow) -> str:
    """The text of the page, once all that it is about is there."""
    qtbot.waitUntil(window.guide_card.next.isEnabled, timeout=PATIENCE_MS)
    window.repaint_now()
    return window.guide_card.text.text()


def framed(window: MainWindow) -> list[QWidget]:
    """What the frame is around: it touches no other part of the window."""
    frame = window.guiding.frame
    assert frame.isVisible()
    docks = [window.docks[pane.title] for pane in window.panes.all] + [window.docks["Options"]]
    parts = [*docks, *window.image_views.values()]
    seen = [part for part in parts if part.isVisible() and in_sight(part)]
    return [part for part in seen if frame.geometry().contains(QRect(part.mapTo(window, QPoint()), part.size()))]


def number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    assert found, text
    return float(found[1].replace("−", "-"))


@pytest.fixture
def a_short_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pairs of runs instead of twenty."""
    monkeypatch.setattr(jitter, "__defaults__", (no_progress, 3, 0))


@pytest.mark.usefixtures("a_short_jitter")
@pytest.mark.parametrize("case", range(len(CASES)), ids=[case.title for case in CASES])
def test_a_case_is_played_to_its_end_and_back(case: int, qtbot: QtBot, window: MainWindow) -> None:
    window.resize(1280, 800)
    begin(qtbot, window, case)
    texts = []
    for page in CASES[case].pages:
        texts.append(wait_for_page(qtbot, window))
        assert window.guide_card.title.text() == page.title
        assert window.guiding.page is page
        expected = {"photo": ["A"], "photos": ["A", "B"]}.get(page.look_at)
        parts = [window.docks[page.look_at]] if expected is None else [window.image_views[name] for name in expected]
        assert framed(window) == parts
        if page is not CASES[case].pages[-1]:
            click(qtbot, window.guide_card.next)
    assert len(set(texts)) == len(texts)
    check_story(CASES[case].title, texts)
    click(qtbot, window.guide_card.back)  # a page sets all it needs: back is the same page as before
    again = wait_for_page(qtbot, window)
    assert re.sub(r"[\d.e−+-]+", "", again) == re.sub(r"[\d.e−+-]+", "", texts[-2])
    click(qtbot, window.guide_card.next)
    wait_for_page(qtbot, window)
    assert window.guide_card.next.text() == "Done"
    click(qtbot, window.guide_card.next)
    assert window.guide_card.cases.isVisible() and not window.guiding.frame.isVisible()
    click(qtbot, window.guide_card.leave)


def check_story(title: str, texts: list[str]) -> None:
    """What the cases are told for, in their own numbers."""
    if title == "The normalization paradox":
        assert number(r"end ([\d.e+-]+) px apart", texts[1]) > 0.1
        assert "Yes: differences below" in texts[2]
        assert number(r"end ([\d.e+-]+) px apart", texts[3]) < 1e-9
        assert "kernel_centre_pixel_fraction" in texts[4]
        a, b = re.findall(r"([\d.]+) in [AB]", texts[5])
        assert a == b
    elif title == "A port is checked":
        assert number(r"end ([\d.e+-]+) px apart", texts[0]) > 1
        assert "transposed matrix" in texts[1] and "Everything else conforms" in texts[1]
        assert number(r"named ([\d.e+-]+) px", texts[3]) < 1e-3 < number(r"mistake it is ([\d.]+) px", texts[3])
    else:
        assert abs(number(r"turned by ([\d−]+)°", texts[0]) - 40) <= 10
        right, upright, better = (number(r" at (?:the end is )?(−?\d\.\d\d)", texts[k]) for k in (1, 1, 4))
        assert upright < 0 < better
        assert right == upright
        assert "Yes: " in texts[3]


def test_leaving_brings_back_what_was_open(qtbot: QtBot, window: MainWindow) -> None:
    session = window.session
    session.set_options(session.lane.options.with_text(["sigma=2"]))
    wait_for_fit(qtbot, session)
    before = session.document()
    assert before is not None
    ends = session.lane.numbers[-1].landmarks
    begin(qtbot, window, 2)
    wait_for_page(qtbot, window)
    assert session.image is not None and session.image.path != before.image
    click(qtbot, window.guide_card.leave)
    assert not window.guide_card.isVisible() and not window.guiding.frame.isVisible()
    qtbot.waitUntil(lambda: session.image.path.resolve() == before.image.resolve(), timeout=PATIENCE_MS)
    wait_for_fit(qtbot, session)
    assert session.model.path.resolve() == before.model.resolve()
    assert session.lane.options == before.choices.a.options
    assert (session.lane.numbers[-1].landmarks == ends).all()


def test_a_case_goes_on_after_something_else_was_opened(qtbot: QtBot, window: MainWindow) -> None:
    photo = window.session.image.path
    begin(qtbot, window, 2)
    wait_for_page(qtbot, window)
    window.session.open_image(photo)
    qtbot.waitUntil(lambda: "Something else" in window.guide_card.text.text(), timeout=PATIENCE_MS)
    click(qtbot, window.guide_card.next)
    assert "−" in wait_for_page(qtbot, window)
    assert window.session.image.path.name == "tilted.png"
    window.session.open_image(photo)
    qtbot.waitUntil(lambda: "Something else" in window.guide_card.text.text(), timeout=PATIENCE_MS)
    wait_for_fit(qtbot, window.session)
    click(qtbot, window.guide_card.leave)  # what a person has opened meanwhile stays
    assert not window.session.busy and window.session.image.path == photo


def test_whoever_looks_elsewhere_is_not_called_back(qtbot: QtBot, window: MainWindow) -> None:
    begin(qtbot, window, 0)
    told = wait_for_page(qtbot, window)
    dock = window.docks["Convergence"]
    for point in (dock.rect().center(), QPoint(1, 1)):  # the frame lets the mouse through
        assert window.childAt(dock.mapTo(window, point)) is not window.guiding.frame
    window.docks.raise_("Log")
    window.session.cursor.move_by_step(-1)
    window.session.set_options(window.session.lane.options.with_text(["sigma=2"]))
    wait_for_fit(qtbot, window.session)
    window.repaint_now()
    assert in_sight(window.docks["Log"]) and not in_sight(window.docks["Convergence"])
    assert window.guide_card.text.text() == told
    click(qtbot, window.guide_card.leave)
