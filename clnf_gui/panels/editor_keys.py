"""Enter and Esc end the editing of a value, so that the next key is for the fit again."""

from __future__ import annotations

import pyqtgraph as pg
from PySide6.QtCore import QCoreApplication, QEvent, QObject, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QFocusEvent, QKeyEvent
from PySide6.QtWidgets import QAbstractSpinBox, QComboBox, QDoubleSpinBox, QLineEdit, QSpinBox, QWidget

_EDITORS = (QAbstractSpinBox, QComboBox, QLineEdit)


class EditorKeys(QObject):
    """Watches the editors in some widgets: what a person types is applied by Enter, and put back by Esc."""

    done = Signal()
    """A person is through with an editor; the focus should go where the keys of the fit are."""

    def __init__(self, *roots: QWidget) -> None:
        """`roots` are editors, or hold editors; those that are made later are to be watched when they are."""
        super().__init__(roots[0])
        self._handling = False
        for root in roots:
            self.watch(root)

    @Slot(QWidget)
    def watch(self, root: QWidget) -> None:
        """Watch an editor, or all that a widget holds."""
        for editor in (root, *root.findChildren(QWidget)):
            if isinstance(editor, _EDITORS) and not isinstance(editor.parent(), _EDITORS):
                editor.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Let the editor do what it does with a key, then leave it."""
        if self._handling:
            return False
        if isinstance(event, QFocusEvent) and isinstance(watched, QComboBox) and _closes_list(event):
            QTimer.singleShot(0, self.done.emit)  # Qt is about to give the box the focus
        if not isinstance(event, QKeyEvent) or not isinstance(watched, _EDITORS):
            return False
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if not enter and event.key() != Qt.Key.Key_Escape:
            return False
        if event.type() == QEvent.Type.ShortcutOverride:  # the key is not one of the window's
            event.accept()
            return True
        if event.type() == QEvent.Type.KeyPress:
            if enter:
                self._handling = True
                QCoreApplication.sendEvent(watched, event)
                self._handling = False
            else:
                _put_back(watched)
            self.done.emit()
            return True
        return False


def _closes_list(event: QFocusEvent) -> bool:
    """Whether a combo box gets the focus back from the list that it had opened."""
    return event.gotFocus() and event.reason() == Qt.FocusReason.PopupFocusReason


def _put_back(editor: QObject) -> None:
    """Show the value again that an editor has, in place of what was typed."""
    if isinstance(editor, pg.SpinBox):
        editor.updateText()
    elif isinstance(editor, QSpinBox | QDoubleSpinBox):
        editor.setValue(editor.value())  # type: ignore[arg-type]
    elif isinstance(editor, QLineEdit):
        while editor.isUndoAvailable():
            editor.undo()
