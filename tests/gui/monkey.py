"""Does random things with a window, and tells what went wrong: `python -m gui.monkey --actions 2000 --seed 7`."""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from unittest.mock import patch

import numpy as np
from engine.detector_tools import FIND_FACES, finds
from engine.tiny_model import start, tiny_image
from PySide6.QtCore import QEventLoop, QMimeData, QPointF, QSettings, Qt, QTimer, QUrl
from PySide6.QtGui import QColor, QDropEvent, QPalette
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDockWidget, QFileDialog, QInputDialog, QWidget

import clnf_engine.reports.figures  # noqa: F401  loaded by the first report, and kept: that is no leak
from clnf_gui.commands import COMMANDS
from clnf_gui.qt_setup import make_application
from clnf_gui.session import Session
from clnf_gui.session.lab import TOOLS
from clnf_gui.window import MainWindow

from .closing import bury, close, survivors, traces_of
from .monkey_files import make_files
from .monkey_hands import BUTTONS, edit, editors, places, press, turn_wheel, type_keys
from .monkey_watch import Heart, Problems, memory_mb, peak_mb, running_threads, share_heaps, watching

_BLOCK_SECONDS = 0.5
_MEMORY_MB = 50.0
_HANG_SECONDS = 120
_SETTLE_SECONDS = 2.0
_SIZES = ((1280, 720), (640, 480), (320, 240), (1920, 1080), (2560, 400))
_FACES = {tiny_image().shape: [start().box], (600, 512): [(162.4, 153.0, 206.1, 200.4)]}
"""What the detector finds in the tiny picture and, for the guided cases, in the sample portrait."""

_COLOURS = ("#f0f0f0", "#2d3033", "#800080")
_COMMANDS = tuple(command.id for command in COMMANDS if command.id != "quit")
_SAID = tuple(command.shortcut for command in COMMANDS if command.shortcut and command.id != "quit")


@dataclass(frozen=True)
class Report:
    """What came of it.

    Attributes
    ----------
    seed, actions : int
    problems : list of str
    block : float
        The longest time the window did not answer, seconds.
    culprit : str
        What was under way then.
    memory : tuple of two float
        Before and after, MB.
    """

    seed: int
    actions: int
    problems: list[str]
    block: float
    culprit: str
    memory: tuple[float, float]

    def __str__(self) -> str:
        before, after = self.memory
        lines = [f"seed {self.seed}: {self.actions} actions, {len(self.problems)} problems"]
        lines += [f"\nproblem {k}: {problem}" for k, problem in enumerate(self.problems, start=1)]
        lines.append(f"longest block: {self.block:.2f} s, {_judged(self.block <= _BLOCK_SECONDS)}: {self.culprit}")
        lines.append(
            f"memory: {before:.0f} MB before, {after:.0f} MB after, peak {peak_mb():.0f} MB, "
            f"{_judged(after - before <= _MEMORY_MB)}"
        )
        return "\n".join(lines)


def _judged(well: bool) -> str:
    return "ok" if well else "over"


class Monkey:
    """Plays with windows, one after the other. What it does depends on the seed alone, but for what threads do when.

    Parameters
    ----------
    seed : int
    folder : Path
        For the files that it opens and writes.
    """

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.random = seed, Random(seed)
        self.files = make_files(folder)
        self.problems, self.heart = Problems(), Heart()
        self.window = self._opened()
        self.deeds: dict[Callable[[], str], int] = {
            self.command: 20,
            self.key: 10,
            self.click: 16,
            self.double_click: 4,
            self.drag: 8,
            self.wheel: 6,
            self.edit_any: 10,
            self.edit_option: 10,
            self.undo_or_redo: 6,
            self.drop: 5,
            self.move_dock: 6,
            self.change_colours: 2,
            self.resize: 3,
            self.compare_or_swap: 4,
            self.use_lab: 4,
            self.use_video: 8,
            self.select: 3,
            self.reopen: 1,
            self.wait: 6,
        }

    def run(self, actions: int, each: Callable[[], None] = lambda: None) -> Report:
        """Do so many things, close the window, and tell what went wrong; `each` is called before every action."""
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        palette = app.palette()
        with watching(self.problems), self._answering():
            self.heart.skip()
            self._settle()
            before = self._memory()
            for k in range(actions):
                each()
                self._act(k)
            self._close()
            app.setPalette(palette)
            bury()
            after = self._memory()
        self.heart.deleteLater()
        problems = list(self.problems.found.values())
        return Report(self.seed, actions, problems, self.heart.longest, self.heart.culprit, (before, after))

    def _memory(self) -> float:
        found = memory_mb()
        self.heart.skip()
        return found

    def _act(self, number: int) -> None:
        """One action; each has random numbers of its own, so that one that came out otherwise changes no other."""
        self.random = Random(f"{self.seed} {number}")
        deed = self.random.choices(list(self.deeds), list(self.deeds.values()))[0]
        self.heart.doing = f"{number} {deed.__name__}"
        self.problems.recent.append(self.heart.doing)
        try:
            self.problems.recent[-1] = self.heart.doing = f"{number} {deed.__name__}: {deed()}"
        except Exception as error:
            self.problems.add_error(error)
        self._spin(self.random.choice((0, 0, 2, 20)))
        if not self.window.isVisible():
            self.reopen()

    def _spin(self, milliseconds: int) -> None:
        loop = QEventLoop()
        QTimer.singleShot(milliseconds, loop.quit)
        loop.exec()

    def _settle(self) -> None:
        """Wait until nothing is under way, but not for ever."""
        session, end = self.window.session, time.monotonic() + _SETTLE_SECONDS
        while (session.busy or session.tracker.tracking or session.lab.busy) and time.monotonic() < end:
            self._spin(5)

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        """Answer the dialogs that would wait for a person, and let the detector find what it should."""

        def chosen(*_: object) -> tuple[str, str]:
            return str(self.random.choice((*self.files.to_open, ""))), ""

        def named(*_: object) -> tuple[str, str]:
            return str(self.random.choice((*self.files.to_write, ""))), ""

        def folder(*_: object) -> str:
            return str(self.random.choice(self.files.folders))

        def item(_: object, __: str, ___: str, items: list[str], *____: object) -> tuple[str, bool]:
            return self.random.choice(items), self.random.random() < 0.8

        def detected(gray: np.ndarray) -> list[object]:
            return _FACES.get(gray.shape, [])

        with (
            patch.object(QFileDialog, "getOpenFileName", chosen),
            patch.object(QFileDialog, "getSaveFileName", named),
            patch.object(QFileDialog, "getExistingDirectory", folder),
            patch.object(QInputDialog, "getItem", item),
            patch(FIND_FACES, finds(detected)),
        ):
            yield

    # --- windows ------------------------------------------------------------------------------

    def _opened(self) -> MainWindow:
        session = Session()
        session.failed.connect(self.problems.add_failure)
        window = MainWindow(session)
        window.resize(1280, 720)
        window.show()
        window.dialogs.open_model(str(self.files.model))
        window.dialogs.open_file(str(self.files.photo))
        return window

    def _close(self) -> None:
        """Close the window and see that nothing is left of it."""
        traces = traces_of(self.window)
        close(self.window)
        del self.window
        bury()
        if left := sorted(survivors(traces)):
            self.problems.add(f"a closed window is still there: {len(left)} things such as {left[:5]}")
        if running := running_threads():
            self.problems.add(f"threads run on after the window was closed: {running}")

    def reopen(self) -> str:
        self._close()
        self.window = self._opened()
        self.heart.skip()
        return "closed and opened again"

    # --- what a person does -------------------------------------------------------------------

    def _widget(self) -> QWidget:
        """Any widget in sight, of the window or of a dialog."""
        tops = [self.window, *(top for top in self.window.findChildren(QWidget) if top.isWindow() and top.isVisible())]
        return self.random.choice(places(self.random.choice((self.window, *tops))))

    def command(self) -> str:
        name = self.random.choice(_COMMANDS)
        self.window.actions_by_id[name].trigger()
        return name

    def key(self) -> str:
        widget = QApplication.focusWidget() or self.window
        return type_keys(self.random, self.random.choice((widget, self.window)), _SAID)

    def click(self) -> str:
        return press(self.random, self._widget(), self.random.choice(BUTTONS))

    def double_click(self) -> str:
        widget = self._widget()
        QTest.mouseDClick(widget, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, widget.rect().center())
        return type(widget).__name__

    def drag(self) -> str:
        return press(self.random, self._widget(), self.random.choice(BUTTONS), self.random.randint(1, 6))

    def wheel(self) -> str:
        return turn_wheel(self.random, self._widget())

    def edit_any(self) -> str:
        found = editors(self.window)
        return edit(self.random, self.random.choice(found)) if found else "nothing"

    def edit_option(self) -> str:
        name = self.random.choice(list(self.window.options.tree.rows))
        item = next(iter(self.window.options.tree.rows[name].items))
        return f"{name} {edit(self.random, item.widget)}"

    def undo_or_redo(self) -> str:
        name, count = self.random.choice(("undo", "undo", "redo")), self.random.randint(1, 5)
        for _ in range(count):
            self.window.actions_by_id[name].trigger()
        return f"{count} times {name}"

    def drop(self) -> str:
        files = self.random.choices(self.files.to_open, k=self.random.choice((1, 1, 1, 2, 3)))
        data = QMimeData()
        data.setUrls([QUrl.fromLocalFile(str(path)) for path in files])
        button, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        self.window.dropEvent(QDropEvent(QPointF(50, 50), Qt.DropAction.CopyAction, data, button, keys))
        return ", ".join(path.name for path in files)

    def move_dock(self) -> str:
        dock = self.random.choice(self.window.findChildren(QDockWidget))
        what = self.random.choice(("raise", "float", "hide", "show", "move"))
        if what == "raise":
            dock.show()
            dock.raise_()
        elif what == "float":
            dock.setFloating(not dock.isFloating())
        elif what == "move":
            area = self.random.choice(("LeftDockWidgetArea", "RightDockWidgetArea", "BottomDockWidgetArea"))
            self.window.addDockWidget(Qt.DockWidgetArea[area], dock)
        else:
            dock.setVisible(what == "show")
        return f"{what} {dock.objectName()}"

    def change_colours(self) -> str:
        colour = self.random.choice(_COLOURS)
        QApplication.setPalette(QPalette(QColor(colour)))
        return colour

    def resize(self) -> str:
        size = self.random.choice(_SIZES)
        self.window.resize(*size)
        return "{} × {}".format(*size)

    def compare_or_swap(self) -> str:
        session = self.window.session
        what = self.random.choice(("compare", "swap", "other"))
        if what == "swap":
            session.swap_lanes()
        else:
            self.window.actions_by_id["compare" if what == "compare" else "other_lane"].trigger()
        return what

    def use_lab(self) -> str:
        session = self.window.session
        what = self.random.choice(("choose", "run", "cancel"))
        if what == "choose":
            session.lab.choose(self.random.choice(list(TOOLS)))
        else:
            self.window.actions_by_id["run_tool" if what == "run" else "cancel_tools"].trigger()
        return what

    def use_video(self) -> str:
        session = self.window.session
        what = self.random.choice(("open", "track", "play_video", "scrub", "chase", "track_from_here"))
        if what == "open":
            self.window.dialogs.open_file(str(self.files.photo.parent / "clip.mp4"))
        elif what == "scrub":
            session.frames.go_to(self.random.randint(-2, 20))
        elif what == "chase":
            session.tracker.set_chasing(self.random.random() < 0.5)
        else:
            self.window.actions_by_id[what].trigger()
        return what

    def select(self) -> str:
        landmark = self.random.choice((None, 0, 30, 36, 67))
        self.window.session.select(landmark)
        return str(landmark)

    def wait(self) -> str:
        self._settle()
        return "until nothing is under way"


def main() -> int:
    """Play for as long as the command line says; 1 when anything went wrong."""
    parser = argparse.ArgumentParser(prog="make monkey", description="Does random things with a window.")
    parser.add_argument("--actions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    share_heaps()
    make_application()
    with tempfile.TemporaryDirectory() as folder:
        QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, f"{folder}/settings")
        report = Monkey(arguments.seed, Path(folder)).run(
            arguments.actions, lambda: faulthandler.dump_traceback_later(_HANG_SECONDS, exit=True)
        )
        faulthandler.cancel_dump_traceback_later()
    print(report)
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
