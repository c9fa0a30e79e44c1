"""The bar that tells of a port that is followed, with what can be done about it."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy

from clnf_gui.commands import command
from clnf_gui.session.live import Live

_BUTTONS = {
    "hold_port": "Hold",
    "step_port": "Step",
    "run_port": "Run to stop",
    "let_port_go": "Let go",
    "follow_port": "Address…",
    "stop_following": "Stop following",
}
"""Commands and the short names they have here."""


class LiveBar(QFrame):
    """One line and buttons; hidden while nobody listens."""

    command_wanted = Signal(str)
    """Id of a command."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("liveBar")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 3)
        self.text = QLabel()
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        layout.addWidget(self.text, 1)
        self.buttons = {name: QPushButton(text) for name, text in _BUTTONS.items()}
        for name, button in self.buttons.items():
            button.setToolTip(command(name).tip)
            button.clicked.connect(partial(self.command_wanted.emit, name))
            layout.addWidget(button)
        self.hide()

    def show_live(self, live: Live, can: dict[str, bool]) -> None:
        """Tell of a port.

        Parameters
        ----------
        live : Live
        can : dict of str to bool
            Whether the command of an id can be given now.
        """
        self.setVisible(bool(live.address))
        self.text.setText(port_line(live))
        state = live.state
        self.text.setToolTip(state.folder)
        for name, button in self.buttons.items():
            button.setEnabled(can[name])


def port_line(live: Live) -> str:
    """What is known of the port that is followed."""
    state, shown = live.state, live.shown
    if not state.folder:
        return f"Listening for a port at {live.address.partition('#')[0]}"
    name = state.folder.rstrip("/").rpartition("/")[2]
    doing = "running"
    if not state.connected:
        doing = "the port has gone; what it wrote stays"
    elif live.running:
        doing = "running to a stop condition"
    elif live.held:
        doing = "held"
    elif live.holding:
        doing = "computing a step" if state.held else "to be held after its next step"
    steps = state.steps if shown is None or live.waiting is not None else max(state.steps, len(shown.steps))
    waits = "   ·   newer than what is shown: To the end shows it" if live.waiting is not None else ""
    return f"Port: {name}   ·   {steps} {'step' if steps == 1 else 'steps'}   ·   {doing}{waits}"
