"""The options of tracking a face through a video. It mirrors TrackOptions and emits intents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QFormLayout, QGroupBox, QLabel, QLineEdit, QSpinBox

from clnf_engine import ClnfError, TrackOptions
from clnf_engine.options import Source
from clnf_gui.session.choices import Way

_KINDS = {
    Source.PREVIOUS: "the frame before",
    Source.DETECTOR: "the detector, every frame",
    Source.BOX: "one box, every frame",
    Source.LANDMARKS: "one shape, every frame",
}


class TrackOptionsPanel(QGroupBox):
    """A form of four rows, and where tracking begins."""

    tracking_chosen = Signal(object)
    """TrackOptions."""
    refused = Signal(str)
    """Why what was entered is impossible."""

    def __init__(self) -> None:
        super().__init__("Tracking")
        self._tracking = TrackOptions()
        form = QFormLayout(self)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.initialization = QComboBox()
        self.initialization.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        for source, text in _KINDS.items():
            self.initialization.addItem(text, str(source))
        self.initialization.setToolTip(
            "Where the fit of a frame starts. A box or a shape is that of the frame shown when it is chosen."
        )
        self.initialization.activated.connect(lambda: self._emit(initialization=self.initialization.currentData()))
        self.interval = QSpinBox(maximum=1_000_000)
        self.interval.setSpecialValueText("never")
        self.interval.setPrefix("every ")
        self.interval.setSuffix(" frames")
        self.interval.setToolTip("How often the detector looks for a face that is lost; OpenFace: every 4 frames")
        self.interval.setKeyboardTracking(False)
        self.interval.valueChanged.connect(lambda value: self._emit(redetect_interval=value))
        self.threshold = QDoubleSpinBox(minimum=-1e6, maximum=1e6, decimals=3, singleStep=0.05)
        self.threshold.setToolTip("A fit with a lower log-likelihood has lost the face")
        self.threshold.setKeyboardTracking(False)
        self.threshold.valueChanged.connect(lambda value: self._emit(min_likelihood=value))
        self.windows = QLineEdit()
        self.windows.setPlaceholderText("all but the first")
        self.windows.setToolTip("Windows of a fit that starts from the frame before, such as 0, 9, 7, 5")
        self.windows.editingFinished.connect(self._emit_windows)
        self.begin = QLabel()
        self.begin.setWordWrap(True)
        for title, name, widget in (
            ("Start from", "Start of every frame's fit", self.initialization),
            ("Detect anew", "Interval of detection once the face is lost", self.interval),
            ("Lost below", "Likelihood below which the face is lost", self.threshold),
            ("Windows", "Windows once tracked", self.windows),
        ):
            widget.setAccessibleName(name)
            form.addRow(title, widget)
        form.addRow("Begins", self.begin)

    def show_way(self, way: Way) -> None:
        """Mirror how a lane tracks."""
        self._tracking, begin, first = way
        for widget in (self.interval, self.threshold):
            widget.blockSignals(True)
        self.initialization.setCurrentIndex(self.initialization.findData(str(self._tracking.initialization)))
        self.interval.setValue(self._tracking.redetect_interval)
        self.threshold.setValue(self._tracking.min_likelihood)
        for widget in (self.interval, self.threshold):
            widget.blockSignals(False)
        self.windows.setText(", ".join(map(str, self._tracking.tracked_windows)))
        given = "" if first is None else ", with a start of yours"
        self.begin.setText(f"at frame {begin + 1}{given}")

    def _emit_windows(self) -> None:
        try:
            changed = self._tracking.with_text([f"tracked_windows={self.windows.text()}"])
        except ClnfError as error:
            self.refused.emit(str(error))
            return
        if changed != self._tracking:
            self._emit(tracked_windows=changed.tracked_windows)

    def _emit(self, **changes: Any) -> None:
        self._tracking = replace(self._tracking, **changes)  # now: the next change may come before the mirror
        self.tracking_chosen.emit(self._tracking)
