"""A strip of a finding: a row per thing, a cell per step, coloured by what the step says of it; a click goes there."""

from __future__ import annotations

from collections import Counter

from PySide6.QtCore import QEvent, QPoint, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QBrush,
    QColor,
    QFont,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QPen,
    QPixmap,
    QResizeEvent,
)
from PySide6.QtWidgets import QFrame, QLabel, QScrollArea, QSizePolicy, QToolTip, QVBoxLayout, QWidget

from clnf_engine.diagnostics.finding import State, Strip
from clnf_engine.steps import Place, place_text
from clnf_gui.theme import BLUE, SELECTION, VERMILION, is_dark, readable

_HEAD_PX = 14
_MARGIN = 4
_SMALL = 0.85
"""Size of names and legend, of the window's font."""
_GAP = 0.5
_TURNS = {int(Qt.Key.Key_Up): -1, int(Qt.Key.Key_Down): 1}
_NOT_RECORDED = "not recorded"
_COLOURS = {State.CONFORMS: BLUE, State.FAILS: VERMILION, State.FOLLOWS: VERMILION, State.UNTESTED: BLUE}
"""Blue and vermilion are told apart by everyone."""
_HATCHED, _PALE = State.FOLLOWS, State.UNTESTED
_PALENESS = 0.65
_HATCHES = Qt.BrushStyle.BDiagPattern


class StripView(QWidget):
    """Paints a `Strip` under its legend.

    Attributes
    ----------
    legend : QLabel
    cells : _Cells
    """

    cell_clicked = Signal(str, object)
    """Row and place."""

    def __init__(self, strip: Strip) -> None:
        super().__init__()
        self.legend = QLabel(wordWrap=True)
        self.legend.setFont(smaller(self.legend.font()))
        self.legend.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._shown = [state for state in State if state in strip.states.values()]
        self.cells = _Cells(strip)
        self.cells.cell_clicked.connect(self.cell_clicked)
        self._scroll = QScrollArea()
        self._scroll.setWidget(self.cells)
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._row = ""
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.legend)
        layout.addWidget(self._scroll, 1)
        self._write_legend()

    def show_cursor(self, row: str, place: Place) -> None:
        """Mark the row that is looked at and the step of the cursor; a row that was chosen comes into sight."""
        self.cells.show_cursor(row, place)
        if row != self._row and row:
            self._row = row
            self._bring_into_sight(row)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Until a row is chosen, the first that fails is in sight."""
        super().resizeEvent(event)
        failing = {row for (row, _), state in self.cells.strip.states.items() if state is State.FAILS}
        first = next((row for row in self.cells.strip.rows if row in failing), "")
        if self._row or first:
            self._bring_into_sight(self._row or first)

    def _bring_into_sight(self, row: str) -> None:
        rectangle = self.cells.row_rectangle(row).toRect()
        self._scroll.ensureVisible(0, rectangle.center().y(), 0, 2 * rectangle.height())

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._write_legend()

    def _write_legend(self) -> None:
        colours = _colours(self.palette())
        entries = [("▨" if s is _HATCHED else "■", colours[s].name(), s.value) for s in self._shown]
        entries.append(("–", "gray", _NOT_RECORDED))
        self.legend.setText(
            " &nbsp; ".join(f'<span style="color:{colour}">{sign}</span> {words}' for sign, colour, words in entries)
        )


def smaller(font: QFont) -> QFont:
    """A font for what need not be read from afar."""
    result = QFont(font)
    result.setPointSizeF(_SMALL * font.pointSizeF())
    return result


def _colours(palette: QPalette) -> dict[State, QColor]:
    """The colour of every state on this ground."""
    found = {state: QColor(readable(colour, is_dark(palette))) for state, colour in _COLOURS.items()}
    ground, full = palette.color(QPalette.ColorRole.Window), found[_PALE]
    pairs = zip(full.getRgb()[:3], ground.getRgb()[:3], strict=True)  # type: ignore[index]  # stubs of PySide
    return found | {_PALE: QColor(*(round(a + (b - a) * _PALENESS) for a, b in pairs))}


class _Cells(QWidget):
    """The names of the rows and the cells."""

    cell_clicked = Signal(str, object)

    def __init__(self, strip: Strip) -> None:
        super().__init__()
        self.setAccessibleName(strip.title)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.strip = strip
        self._columns = {place: k for k, place in enumerate(strip.places)}
        self._rows = {row: k for k, row in enumerate(strip.rows)}
        self._chosen: tuple[str, Place | None] = ("", None)
        self._picture = QPixmap()
        """Everything but the cursor; null when it has to be painted anew."""
        self.setFont(smaller(self.font()))
        self._height = self.fontMetrics().height() + 1
        self._left = max(self.fontMetrics().horizontalAdvance(row) for row in strip.rows) + 2 * _MARGIN

    def sizeHint(self) -> QSize:
        return QSize(300, _HEAD_PX + self._height * len(self.strip.rows) + _MARGIN)

    def minimumSizeHint(self) -> QSize:
        return QSize(self._left + 2 * len(self.strip.places), self.sizeHint().height())

    def row_rectangle(self, row: str) -> QRectF:
        """Where a row is painted."""
        return QRectF(0, _HEAD_PX + self._rows[row] * self._height, self.width(), self._height)

    def cell(self, row: str, place: Place) -> QRectF:
        """Where a cell is painted."""
        width = (self.width() - self._left - _MARGIN) / max(len(self._columns), 1)
        top = self.row_rectangle(row).top()
        return QRectF(self._left + self._columns[place] * width, top, width, self._height)

    def show_cursor(self, row: str, place: Place) -> None:
        """Mark a row and a step."""
        if (row, place) != self._chosen:
            self._chosen = row, place
            self.update()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._picture = QPixmap()

    # --- painting -----------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        ratio, text = self.devicePixelRatioF(), self.palette().color(QPalette.ColorRole.WindowText)
        if self._picture.size() != self.size() * ratio:
            self._picture = QPixmap(self.size() * ratio)
            self._picture.setDevicePixelRatio(ratio)
            self._picture.fill(Qt.GlobalColor.transparent)
            self._paint_cells(text)
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self._picture)
        self._paint_cursor(painter, text)

    def _paint_cells(self, text: QColor) -> None:
        painter = QPainter(self._picture)
        painter.setFont(self.font())
        self._paint_stages(painter, text)
        grey = QColor(text)
        grey.setAlpha(70)
        brushes = {
            state: QBrush(colour, _HATCHES if state is _HATCHED else Qt.BrushStyle.SolidPattern)
            for state, colour in _colours(self.palette()).items()
        }
        for row in self.strip.rows:
            painter.setPen(text)
            box = self.row_rectangle(row).adjusted(_MARGIN, 0, 0, 0)
            painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, row)
            for place in self.strip.places:
                cell = self.cell(row, place)
                state = self.strip.states.get((row, place))
                if state is None:
                    painter.fillRect(QRectF(cell.left() + 1, cell.center().y(), max(cell.width() - 2, 1), 1), grey)
                else:
                    painter.fillRect(cell.adjusted(_GAP, 1, -_GAP, -1), brushes[state])

    def _paint_stages(self, painter: QPainter, text: QColor) -> None:
        """The number of a stage above its first step, after the word if there is room; a line where a phase begins."""
        before: Place | None = None
        lengths = Counter(stage for stage, *_ in self.strip.places if stage is not None)
        room = min(lengths.values(), default=0) * self.cell(self.strip.rows[0], self.strip.places[0]).width()
        word = "stage " if painter.fontMetrics().horizontalAdvance("stage 0 ") <= room else ""
        faint = QColor(text)
        faint.setAlpha(60)
        for place in self.strip.places:
            left = self.cell(self.strip.rows[0], place).left()
            if before is None or place[:2] != before[:2]:
                painter.setPen(faint)
                painter.drawLine(round(left), _HEAD_PX, round(left), self.height())
            if place[0] is not None and (before is None or place[0] != before[0]):
                painter.setPen(text)
                painter.drawText(QPoint(round(left) + 1, _HEAD_PX - 3), f"{word}{place[0] + 1}")
            before = place

    def _paint_cursor(self, painter: QPainter, text: QColor) -> None:
        row, place = self._chosen
        if place in self._columns:
            column = self.cell(self.strip.rows[0], place)
            painter.setPen(QPen(text, 1))
            painter.drawRect(QRectF(column.left(), _HEAD_PX, column.width(), self._height * len(self.strip.rows)))
        if row in self._rows:
            painter.setPen(QPen(QColor(SELECTION), 2))
            painter.drawRect(self.row_rectangle(row).adjusted(1, 0, -1, 0))

    # --- pointing -----------------------------------------------------------------------------

    def _at(self, position: QPoint) -> tuple[str, Place] | None:
        """The row and the place at a position; at a name, those of the row's first cell that fails, or first of all."""
        rows, k = self.strip.rows, (position.y() - _HEAD_PX) // self._height
        if not 0 <= k < len(rows) or not self.strip.places:
            return None
        if position.x() < self._left:
            return rows[k], self._first(rows[k])
        width = self.cell(rows[k], self.strip.places[0]).width()
        column = int((position.x() - self._left) / width)
        return rows[k], self.strip.places[min(column, len(self.strip.places) - 1)]

    def _first(self, row: str) -> Place:
        here = [place for place in self.strip.places if (row, place) in self.strip.states]
        failing = [place for place in here if self.strip.states[row, place] is State.FAILS]
        return (failing or here or list(self.strip.places))[0]

    def mousePressEvent(self, event: QMouseEvent) -> None:
        found = self._at(event.position().toPoint())
        if event.button() == Qt.MouseButton.LeftButton and found is not None:
            self.cell_clicked.emit(*found)

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            found = self._at(event.pos())
            if found is not None:
                QToolTip.showText(event.globalPos(), self._words(*found), self)
            return True
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.ShortcutOverride and event.key() in _TURNS:
            event.accept()  # else they move by phases
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """↑ and ↓ look at the row above or below, at the same step."""
        turn = _TURNS.get(event.key())
        row, place = self._chosen
        if turn is None or place is None:
            super().keyPressEvent(event)
            return
        k = self._rows[row] + turn if row in self._rows else 0
        self.cell_clicked.emit(self.strip.rows[min(max(k, 0), len(self._rows) - 1)], place)

    def _words(self, row: str, place: Place) -> str:
        state = self.strip.states.get((row, place))
        more = self.strip.words.get((row, place), "")
        return "\n".join(filter(None, (f"{row}, {place_text(place)}: {state or _NOT_RECORDED}", more)))
