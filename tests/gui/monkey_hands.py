"""Random keys, clicks, drags and entries into a window's widgets."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from pyqtgraph import SpinBox
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QKeySequence, QMouseEvent, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QLineEdit,
    QListWidget,
    QMenu,
    QPlainTextEdit,
    QSpinBox,
    QWidget,
)

BUTTONS = (Qt.MouseButton.LeftButton,) * 4 + (Qt.MouseButton.RightButton, Qt.MouseButton.MiddleButton)
_EDITORS = (QAbstractSpinBox, QComboBox, QCheckBox, QLineEdit, QListWidget, QPlainTextEdit)
_TEXTS = (
    "",
    "0",
    "11, 9, 7",
    "7",
    "abc",
    "-1",
    "1e9",
    "11, 9, 7, 5, 3",
    "update_norm grows",
    "ü∂\t",
    "update_norm < 1",
)
_NUMBERS = (0.0, -1.0, 1e-9, 0.5, 1.0, 3.0, 100.0, 1e9)
_KEYS = (
    *(Qt.Key.Key_Tab, Qt.Key.Key_Return, Qt.Key.Key_Escape, Qt.Key.Key_Space, Qt.Key.Key_Left, Qt.Key.Key_Right),
    *(Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Home, Qt.Key.Key_End, Qt.Key.Key_Delete, Qt.Key.Key_Backspace),
    *(Qt.Key.Key_A, Qt.Key.Key_1, Qt.Key.Key_F10),
)


def places(top: QWidget) -> list[QWidget]:
    """Where one can click."""
    found = [widget for widget in top.findChildren(QWidget) if widget.isVisible() and not widget.size().isEmpty()]
    return [widget for widget in found if not isinstance(widget, QMenu)] or [top]


def editors(top: QWidget) -> list[QWidget]:
    """Where one can enter something."""
    found = [widget for widget in top.findChildren(QWidget) if isinstance(widget, _EDITORS)]
    return [widget for widget in found if widget.isVisible() and widget.isEnabled()]


def edit(random: Random, widget: QWidget) -> str:
    """Enter something, also what is at the limits or beyond; tells what."""
    value: object = None
    if isinstance(widget, SpinBox):
        value = random.choice((*_NUMBERS, *(bound for bound in widget.opts["bounds"] if bound is not None)))
        widget.setValue(value)
        widget.editingFinishedEvent()
    elif isinstance(widget, (QSpinBox, QDoubleSpinBox)):
        low, high = widget.minimum(), widget.maximum()
        value = random.choice((low, high, type(low)(random.uniform(low, min(high, low + 100)))))
        widget.setValue(value)
    elif isinstance(widget, QComboBox):
        value = random.randrange(widget.count()) if widget.count() else -1
        widget.setCurrentIndex(value)
        widget.activated.emit(value)
    elif isinstance(widget, QCheckBox):
        widget.click()
    elif isinstance(widget, QLineEdit):
        value = random.choice(_TEXTS)
        widget.setText(value)
        widget.editingFinished.emit()
    elif isinstance(widget, QListWidget):
        value = random.randrange(max(widget.count(), 1))
        widget.setCurrentRow(value)
    elif isinstance(widget, QPlainTextEdit):
        value = random.choice(_TEXTS)
        widget.setPlainText(value)
    return f"{widget.accessibleName() or type(widget).__name__} {value!r}"


def type_keys(random: Random, widget: QWidget, shortcuts: Sequence[str]) -> str:
    """Press a key, or the keys of a shortcut."""
    if random.random() < 0.6:
        keys = random.choice(shortcuts)
        combination = QKeySequence(keys)[0]
        QTest.keyClick(widget, combination.key(), combination.keyboardModifiers())
        return f"{keys} to {type(widget).__name__}"
    key = random.choice(_KEYS)
    QTest.keyClick(widget, key)
    return f"{key.name} to {type(widget).__name__}"


def press(random: Random, widget: QWidget, button: Qt.MouseButton, moves: int = 0) -> str:
    """Click somewhere, or drag from there."""
    at = _place(random, widget)
    keys = random.choice((Qt.KeyboardModifier.NoModifier,) * 3 + (Qt.KeyboardModifier.ShiftModifier,))
    QTest.mouseMove(widget, at)
    _send(widget, QEvent.Type.MouseButtonPress, at, button, button, keys)
    for _ in range(moves):
        at = _place(random, widget)
        _send(widget, QEvent.Type.MouseMove, at, Qt.MouseButton.NoButton, button, keys)
        QApplication.processEvents()
    _send(widget, QEvent.Type.MouseButtonRelease, at, button, Qt.MouseButton.NoButton, keys)
    return f"{button.name} on {type(widget).__name__} {widget.accessibleName()} at {at.x()}, {at.y()}"


def turn_wheel(random: Random, widget: QWidget) -> str:
    at, turn = QPointF(_place(random, widget)), QPoint(0, random.choice((-1200, -120, 120, 1200)))
    keys = random.choice((Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ControlModifier))
    phase, none = Qt.ScrollPhase.NoScrollPhase, Qt.MouseButton.NoButton
    QApplication.sendEvent(widget, QWheelEvent(at, widget.mapToGlobal(at), turn, turn, none, keys, phase, False))
    return f"{turn.y()} on {type(widget).__name__}"


def _place(random: Random, widget: QWidget) -> QPoint:
    return QPoint(random.randrange(max(widget.width(), 1)), random.randrange(max(widget.height(), 1)))


def _send(
    widget: QWidget,
    kind: QEvent.Type,
    at: QPoint,
    button: Qt.MouseButton,
    buttons: Qt.MouseButton,
    keys: Qt.KeyboardModifier,
) -> None:
    position = QPointF(at)
    QApplication.sendEvent(widget, QMouseEvent(kind, position, widget.mapToGlobal(position), button, buttons, keys))
