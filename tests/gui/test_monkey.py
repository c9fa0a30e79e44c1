"""Random actions do no harm, and the monkey that does them sees harm where there is any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QObject, QThread, Signal, qWarning

from clnf_gui.session import Session, fits
from clnf_gui.window import MainWindow

from .monkey import Monkey, Report

ACTIONS = 100
FEW = 2


def play(folder: Path, seed: int, actions: int = FEW) -> Report:
    return Monkey(seed, folder).run(actions)


@pytest.mark.usefixtures("qapp")
@pytest.mark.parametrize("seed", [1, 2])
def test_random_actions_do_no_harm(tmp_path: Path, seed: int) -> None:
    report = play(tmp_path, seed, ACTIONS)
    assert not report.problems, str(report)


class Keeper(QObject):
    """Outlives every window, and keeps what is connected to it by a lambda."""

    said = Signal()


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    made = Keeper()
    yield made
    for thread in made.findChildren(QThread):
        thread.quit()
        thread.wait()
    made.deleteLater()


def an_exception_in_a_slot(monkeypatch: pytest.MonkeyPatch, keeper: Keeper) -> None:
    def broken(_: MainWindow) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(MainWindow, "_show_selected", broken)


def a_warning_of_qt(monkeypatch: pytest.MonkeyPatch, keeper: Keeper) -> None:
    monkeypatch.setattr(MainWindow, "_show_selected", lambda _: qWarning("planted"))


def a_fault_of_a_thread(monkeypatch: pytest.MonkeyPatch, keeper: Keeper) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(fits, "fit_steps", broken)


def a_window_that_is_kept(monkeypatch: pytest.MonkeyPatch, keeper: Keeper) -> None:
    shut_down = Session.shut_down

    def keep(session: Session) -> None:
        keeper.said.connect(lambda: session)
        shut_down(session)

    monkeypatch.setattr(Session, "shut_down", keep)


def a_thread_that_runs_on(monkeypatch: pytest.MonkeyPatch, keeper: Keeper) -> None:
    thread = QThread(keeper)
    thread.setObjectName("planted")
    thread.start()


@pytest.mark.usefixtures("qapp")
@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (an_exception_in_a_slot, "ZeroDivisionError: planted"),
        (a_warning_of_qt, "Qt says: planted"),
        (a_fault_of_a_thread, "internal error: ZeroDivisionError('planted')"),
        (a_window_that_is_kept, "a closed window is still there"),
        (a_thread_that_runs_on, "threads run on after the window was closed: ['planted']"),
    ],
)
def test_what_is_planted_is_found(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    keeper: Keeper,
    plant: Callable[[pytest.MonkeyPatch, Keeper], None],
    words: str,
) -> None:
    plant(monkeypatch, keeper)
    report = play(tmp_path, seed=3)
    assert [problem for problem in report.problems if words in problem]
    text = str(report)
    assert text.startswith("seed 3: 2 actions")
    assert words in text


def test_a_problem_names_the_actions_before_it(qapp: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def command(_: Monkey) -> str:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(Monkey, "command", command)
    (problem,) = play(tmp_path, 3, 20).problems
    actions = problem.split("after:\n")[1].splitlines()
    assert actions[-1].split()[1] == "command"
    assert [int(action.split()[0]) for action in actions] == list(range(len(actions)))
