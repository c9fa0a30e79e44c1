"""What is done with the frames of a video: go to one, play, track, and choose the curves."""

from __future__ import annotations

from PySide6.QtCore import QSize, Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLabel, QSizePolicy, QSpinBox, QToolButton, QWidget

from clnf_gui.commands import command
from clnf_gui.icons import icon
from clnf_gui.look import FrameCurves
from clnf_gui.panels.look_choice import LookChoice
from clnf_gui.session import Session
from clnf_gui.session.frames import SPEEDS

_CURVES = {
    FrameCurves.ALL: "all curves",
    FrameCurves.LIKELIHOOD: "log-likelihood",
    FrameCurves.UPDATE_NORM: "update norm",
    FrameCurves.JUMP: "jumps",
    FrameCurves.APART: "A − B",
}
_BUTTONS = {
    "first_frame": "first",
    "frame_back": "step-back",
    "play_video": "play",
    "frame": "step",
    "last_frame": "last",
}
"""Icons by command."""


class FrameBar(QWidget):
    """A row of controls; it mirrors the Session and emits intents."""

    command_wanted = Signal(str)
    """Id of a command."""
    frame_wanted = Signal(int)
    speed_chosen = Signal(float)
    chasing_chosen = Signal(bool)
    look_chosen = Signal(object)
    """Look."""

    def __init__(self) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 2, 6, 2)
        row.setSpacing(4)
        self.buttons = {}
        for name in _BUTTONS:
            self.buttons[name] = button = QToolButton()
            button.setIconSize(QSize(18, 18))
            button.setAutoRaise(True)
            button.setToolTip(command(name).tip)
            button.setAccessibleName(command(name).text)
            button.clicked.connect(lambda _, name=name: self.command_wanted.emit(name))
            row.addWidget(button)
        self.buttons["play_video"].setCheckable(True)
        self.speed = QComboBox()
        self.speed.setAccessibleName("Speed of the video")
        self.speed.setToolTip("Speed of the video")
        for speed in SPEEDS:
            self.speed.addItem(f"{speed:g}×", speed)
        self.speed.activated.connect(lambda: self.speed_chosen.emit(self.speed.currentData()))
        row.addWidget(self.speed)
        self.number = QSpinBox()
        self.number.setAccessibleName("Frame")
        self.number.setToolTip(command("go_to_frame").tip)
        self.number.setKeyboardTracking(False)
        self.number.setMinimum(1)
        self.number.valueChanged.connect(lambda value: self.frame_wanted.emit(value - 1))
        row.addWidget(QLabel("Frame"))
        row.addWidget(self.number)
        self.time = QLabel()
        self.time.setMinimumWidth(self.fontMetrics().horizontalAdvance("of 20000, 0:00:00.00"))
        row.addWidget(self.time)
        self.track = QToolButton()
        self.track.clicked.connect(lambda: self.command_wanted.emit("track"))
        self.track.setToolTip(command("track").tip)
        self.track.setMinimumWidth(self.fontMetrics().horizontalAdvance("Track on") + 24)
        row.addWidget(self.track)
        self.chasing = QCheckBox("Show as tracked")
        self.chasing.setToolTip("Show every frame when it has been tracked")
        self.chasing.clicked.connect(self.chasing_chosen)
        row.addWidget(self.chasing)
        self.state = QLabel()
        self.state.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        row.addSpacing(4)
        row.addWidget(self.state, 1)
        self.curves = LookChoice("frame_curves", _CURVES, "Curves of the frames")
        self.curves.look_chosen.connect(self.look_chosen)
        row.addWidget(self.curves)
        self.draw_icons()

    def draw_icons(self) -> None:
        """Draw every icon in the colours of the palette."""
        for name, button in self.buttons.items():
            playing = name == "play_video" and button.isChecked()
            button.setIcon(icon("pause" if playing else _BUTTONS[name]))

    def show_session(self, session: Session) -> None:
        """Mirror the Session."""
        count = len(session.scene.times)
        for widget in (*self.buttons.values(), self.speed, self.number, self.curves):
            widget.setEnabled(count > 0)
        self.buttons["play_video"].setChecked(session.frames.playback.on)
        self.buttons["play_video"].setIcon(icon("pause" if session.frames.playback.on else "play"))
        self.speed.setCurrentIndex(self.speed.findData(session.frames.speed))
        blocked = self.number.blockSignals(True)
        self.number.setMaximum(max(count, 1))
        self.number.setValue(session.frames.wanted + 1)
        self.number.blockSignals(blocked)
        self.time.setText(f"of {count}, {_clock(session.scene.times[session.frames.wanted])}" if count else "")
        begun = session.tracker.tracked > min(
            (results.begin for results in session.tracker.all_results().values()), default=0
        )
        self.track.setText(
            "Stop" if session.tracker.tracking else "Track on" if begun and session.tracker.can_track else "Track"
        )
        self.track.setEnabled(session.tracker.tracking or session.tracker.can_track)
        self.chasing.setEnabled(session.tracker.tracking)
        self.chasing.setChecked(session.tracker.chasing)
        self.state.setText(state_text(session))
        self.curves.show_look(session.look)


def state_text(session: Session) -> str:
    """How far the tracking is."""
    if session.video is None:
        return f"No video. {command('open_image').keys} opens one."
    done, count = session.tracker.tracked, len(session.scene.times)
    if session.tracker.tracking:
        return f"{100 * done // count} %, {session.tracker.rate:.0f} frames/s"
    if not session.tracker.can_track:
        return "all tracked"
    if any(results.end > results.begin for results in session.tracker.all_results().values()):
        return f"stopped at frame {done}"
    return f"not tracked yet: {command('track').keys}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:05.2f}" if hours else f"{minutes}:{rest:05.2f}"
