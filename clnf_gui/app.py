"""Builds Session and MainWindow and wires them; no logic."""

from __future__ import annotations

import gc
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QEventLoop, QObject, QSize, QTimer, SignalInstance
from PySide6.QtWidgets import QApplication

from clnf_engine.commandline.arguments import complain
from clnf_engine.errors import ClnfError
from clnf_engine.io.files import reason, replacing
from clnf_engine.library import DEFAULT_MODEL
from clnf_engine.samples import sample_path
from clnf_gui.opening import open_file, open_model
from clnf_gui.qt_setup import bare_application, has_display, make_application, show_uncaught
from clnf_gui.session import Session
from clnf_gui.session.aspect import Aspect
from clnf_gui.settings import layout, remember_layout, theme

if TYPE_CHECKING:
    from clnf_gui.window import MainWindow

_SCREENSHOT_TIMEOUT_MS = 60_000
_SETTLED_MS = 1500
"""By then the window is made, which stays as long as the program: looking through it for garbage takes 30 ms."""

_FRAME = QSize(8, 40)
"""What the frame and title of a window take of the screen, which nobody knows before it is shown."""


def run(arguments: Namespace) -> int:
    """Open the window as the command line asks, and return the exit code.

    Raises
    ------
    ClnfError
        When nobody could see the window.
    """
    if not arguments.screenshot and not has_display():
        raise ClnfError(
            "there is no display, DISPLAY and WAYLAND_DISPLAY are not set; --screenshot OUT.png and clnf need none"
        )
    app = bare_application()
    session = Session()
    show_uncaught(session.failed.emit)
    open_model(session, arguments.model or DEFAULT_MODEL)  # now: threads read while the window is made
    open_file(session, arguments.image or str(sample_path()))
    window = _window(session, arguments.theme or theme())
    width, height = arguments.size
    if not arguments.screenshot:
        room = app.primaryScreen().availableSize() - _FRAME
        width, height = min(width, room.width()), min(height, room.height())
    window.resize(width, height)
    window.show()
    window.docks.share_out()
    if not arguments.fresh and not arguments.screenshot and (kept := layout()) is not None:
        window.restoreGeometry(kept[0])
        window.restoreState(kept[1])
    if arguments.screenshot:
        code = _screenshot(window, session, arguments.screenshot)
        window.close()
        window.deleteLater()
        return code
    QTimer.singleShot(_SETTLED_MS, gc.freeze)
    code = app.exec()
    remember_layout(window.saveGeometry(), window.saveState())
    return code


def _window(session: Session, theme: str) -> MainWindow:
    """The window of a Session that opens files already; what is said about them meanwhile is said when it is there."""
    said: list[tuple[SignalInstance, tuple[str, ...]]] = []
    signals = (session.told, session.failed)
    heard = [signal.connect(lambda *words, signal=signal: said.append((signal, words))) for signal in signals]
    make_application(theme)
    from clnf_gui.window import MainWindow

    QApplication.processEvents()  # what has been read: faces are looked for while the window is made
    window = MainWindow(session)
    for connection in heard:
        QObject.disconnect(connection)

    def say() -> None:
        window.repaint_now()  # which ends what was said of an earlier photo
        for signal, words in said:
            signal.emit(*words)

    if said:
        QTimer.singleShot(0, window, say)
    return window


def _screenshot(window: MainWindow, session: Session, path: str) -> int:
    """Wait for the fit and grab the window to a file; returns the exit code, with the reason on stderr."""
    loop = QEventLoop()

    def go_on(_: Aspect) -> None:
        if not session.busy:
            loop.quit()

    session.failed.connect(lambda message, _: sys.stderr.write(f"clnf-gui: {message}\n"))
    session.changed.connect(go_on)
    QTimer.singleShot(0, window, lambda: go_on(Aspect.BUSY))  # nothing may be under way any more
    QTimer.singleShot(_SCREENSHOT_TIMEOUT_MS, loop.quit)
    loop.exec()
    session.changed.disconnect(go_on)  # which would keep the session
    if not session.lanes["A"].complete:
        sys.stderr.write("clnf-gui: there is no finished fit to take a picture of\n")
        return 1
    if session.video is None:
        session.cursor.move_cursor(len(session.lane.steps) - 2)
    window.repaint_now()
    QApplication.processEvents()
    try:
        with replacing(path) as temporary:
            if not window.grab().save(str(temporary), Path(path).suffix.removeprefix(".") or "png"):
                raise OSError("expected the extension of a kind of picture, such as .png")
    except (OSError, ValueError) as error:
        return complain(f"{path}: cannot be written ({reason(error)})", program="clnf-gui")
    return 0
