"""The options panel: how the fit starts and how it runs. It mirrors the Session and emits intents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from clnf_engine import FitOptions, Initial, Kernel, Normalization, Precision, preset
from clnf_engine.initial import Source
from clnf_engine.presets import PRESETS
from clnf_gui.theme import CHECKED_STYLE, LANE_COLOURS

_Choice = TypeVar("_Choice", bound=StrEnum)

_CUSTOM = "custom"
_NORMALIZATIONS = {
    Normalization.NONE: "none (OpenFace)",
    Normalization.PEAK: "peak: each map to 1",
    Normalization.MINMAX: "min–max: each map to [0, 1]",
    Normalization.SUM: "sum: each map to a probability",
    Normalization.GLOBAL_PEAK: "global peak: all by the largest",
}
_BOX_LIMIT = 100_000.0


class OptionsPanel(QWidget):
    """Initialization above, fit options below."""

    lane_chosen = Signal(str)
    """Name of the lane the panel is to apply to."""
    start_like_a_chosen = Signal()
    options_chosen = Signal(object)
    """FitOptions."""
    face_chosen = Signal(int)
    box_chosen = Signal(object)
    """(x, y, width, height), image px."""
    landmarks_wanted = Signal()
    result_chosen = Signal()
    perturbation_chosen = Signal(int, float)
    """Seed and amount; 0 takes the perturbation back."""

    def __init__(self) -> None:
        super().__init__()
        self._options = FitOptions()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addWidget(self._lane_switch())
        layout.addWidget(self._initialization())
        layout.addWidget(self._fit_options())
        layout.addStretch(1)

    # --- lanes --------------------------------------------------------------------------------

    def _lane_switch(self) -> QWidget:
        self.lane_row = QWidget()
        row = QHBoxLayout(self.lane_row)
        row.setContentsMargins(0, 0, 0, 0)
        self._lane_group = QButtonGroup(self)
        self.lane_buttons = {}
        for name in LANE_COLOURS:
            button = QPushButton(f"Lane {name}")
            button.setCheckable(True)
            button.setStyleSheet(CHECKED_STYLE)
            button.clicked.connect(partial(self.lane_chosen.emit, name))
            self._lane_group.addButton(button)
            self.lane_buttons[name] = button
            row.addWidget(button)
        self.lane_row.hide()
        return self.lane_row

    def show_lanes(self, comparing: bool, active: str) -> None:
        """Mirror whether two lanes are compared, and which of them the panel applies to."""
        self.lane_row.setVisible(comparing)
        self.lane_buttons[active].setChecked(True)
        self.like_a.setVisible(active == "B")

    # --- initialization -----------------------------------------------------------------------

    def _initialization(self) -> QGroupBox:
        group = QGroupBox("Initialization")
        form = QFormLayout(group)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.face = QComboBox()
        self.face.setAccessibleName("Detected face")
        self.face.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.face.activated.connect(self.face_chosen)
        form.addRow("Face", self.face)
        self.box = [QDoubleSpinBox() for _ in range(4)]
        for label, first in (("Box x, y", 0), ("Box w, h", 2)):
            row = QHBoxLayout()
            for spin, name in zip(
                self.box[first : first + 2], ("x", "y") if first == 0 else ("width", "height"), strict=True
            ):
                spin.setRange(-_BOX_LIMIT if first == 0 else 1.0, _BOX_LIMIT)
                spin.setDecimals(1)
                spin.setAccessibleName(f"Box {name}, image px")
                spin.setKeyboardTracking(False)
                spin.valueChanged.connect(self._emit_box)
                row.addWidget(spin)
            form.addRow(label, row)
        self.seed, self.amount = QSpinBox(), QDoubleSpinBox()
        self.seed.setRange(0, 999_999)
        self.seed.setAccessibleName("Perturbation seed")
        self.seed.setPrefix("seed ")
        self.amount.setRange(0.0, 50.0)
        self.amount.setDecimals(1)
        self.amount.setSuffix(" %")
        self.amount.setAccessibleName("Perturbation of position and scale")
        row = QHBoxLayout()
        for perturbation in (self.amount, self.seed):
            perturbation.valueChanged.connect(self._emit_perturbation)
            row.addWidget(perturbation)
        form.addRow("Perturb", row)
        landmarks, result = QPushButton("Landmarks…"), QPushButton("This result")
        landmarks.setToolTip("Start from the landmarks of a .pts file")
        result.setToolTip("Start from where this fit ended, as video tracking does")
        landmarks.clicked.connect(self.landmarks_wanted)
        result.clicked.connect(self.result_chosen)
        row = QHBoxLayout()
        row.addWidget(landmarks)
        row.addWidget(result)
        form.addRow("Or from", row)
        self.like_a = QPushButton("Start like lane A")
        self.like_a.clicked.connect(self.start_like_a_chosen)
        form.addRow("", self.like_a)
        self.source = QLabel()
        self.source.setWordWrap(True)
        self.source.setMinimumHeight(2 * self.source.fontMetrics().lineSpacing())
        form.addRow("Now", self.source)
        return group

    def show_initial(
        self, initial: Initial | None, base: Initial | None, faces: tuple[Initial, ...], like_a: bool = False
    ) -> None:
        """Mirror a lane's start; `like_a` when it is that of lane A."""
        self.like_a.setEnabled(not like_a)
        self._quietly(self.face, lambda: self._fill_faces(base, faces))
        if base is not None:
            for spin, value in zip(self.box, base.box, strict=True):
                self._quietly(spin, partial(spin.setValue, value))
        if initial is not None:
            perturbed = initial.seed is not None
            if not perturbed:
                self._quietly(self.amount, lambda: self.amount.setValue(0.0))
            names = {
                Source.BOX: "a box given by hand",
                Source.DETECTOR: "the face detector",
                Source.LANDMARKS: "landmarks of a file",
                Source.PREVIOUS: "the result of a fit",
            }
            text = names[initial.source] + (f", perturbed with seed {initial.seed}" if perturbed else "")
            self.source.setText(f"as lane A: {text}" if like_a else text)

    def _fill_faces(self, base: Initial | None, faces: tuple[Initial, ...]) -> None:
        self.face.clear()
        for k, face in enumerate(faces):
            self.face.addItem(f"{k + 1}: {face.box[2]:.0f} × {face.box[3]:.0f} px")
        if not faces:
            self.face.addItem("none found")
        self.face.setEnabled(bool(faces))
        self.face.setCurrentIndex(next((k for k, face in enumerate(faces) if face is base), -1 if faces else 0))

    def _emit_box(self) -> None:
        self.box_chosen.emit(tuple(spin.value() for spin in self.box))

    def _emit_perturbation(self) -> None:
        self.perturbation_chosen.emit(self.seed.value(), self.amount.value() / 100)

    # --- options ------------------------------------------------------------------------------

    def _fit_options(self) -> QGroupBox:
        group = QGroupBox("Fit")
        form = QFormLayout(group)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.preset = QComboBox()
        self.preset.setAccessibleName("Preset")
        self.preset.addItems([*PRESETS, _CUSTOM])
        self.preset.textActivated.connect(self._emit_preset)
        form.addRow("Preset", self.preset)
        self.normalization = self._choice("normalization", _NORMALIZATIONS)
        form.addRow("Normalization", self.normalization)
        self.sigma_transform = QCheckBox("apply Sigma")
        self.sigma_transform.toggled.connect(lambda on: self._emit(sigma_transform=on))
        form.addRow("Responses", self.sigma_transform)
        self.kernel = self._choice("kernel", {Kernel.TABLE: "table (OpenFace)", Kernel.EXACT: "exact"})
        form.addRow("Kernel", self.kernel)
        self.precision = self._choice("precision", {choice: str(choice) for choice in Precision})
        form.addRow("Precision", self.precision)
        self.iterations = QSpinBox()
        self.iterations.setRange(1, 1000)
        self.iterations.setKeyboardTracking(False)
        self.iterations.valueChanged.connect(lambda value: self._emit(max_iterations=value))
        form.addRow("Iterations", self.iterations)
        self.numbers = {
            "sigma": self._number(form, "Kernel σ", "sigma", 0.1, 100.0, 0.25, " px"),
            "reg_factor": self._number(form, "Regularisation", "reg_factor", 0.0, 1e6, 5.0, ""),
            "weight_factor": self._number(form, "Weight factor", "weight_factor", 0.0, 1e6, 0.5, ""),
        }
        return group

    def _choice(self, name: str, texts: Mapping[_Choice, str]) -> QComboBox:
        combo = QComboBox()
        combo.setAccessibleName(name.capitalize())
        combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        combo.setMinimumContentsLength(14)
        for value, text in texts.items():
            combo.addItem(text, str(value))
        combo.activated.connect(lambda: self._emit(**{name: combo.currentData()}))
        return combo

    def _number(
        self, form: QFormLayout, label: str, name: str, low: float, high: float, step: float, suffix: str
    ) -> QDoubleSpinBox:
        spin = QDoubleSpinBox()
        spin.setRange(low, high)
        spin.setSingleStep(step)
        spin.setDecimals(2)
        spin.setSuffix(suffix)
        spin.setKeyboardTracking(False)
        spin.setAccessibleName(label)
        spin.valueChanged.connect(lambda value: self._emit(**{name: value}))
        form.addRow(label, spin)
        return spin

    def show_options(self, options: FitOptions) -> None:
        """Mirror the lane's options."""
        self._options = options
        name = next((name for name, values in PRESETS.items() if values == options), _CUSTOM)
        self._quietly(self.preset, lambda: self.preset.setCurrentText(name))
        for combo, value in (
            (self.normalization, options.normalization),
            (self.kernel, options.kernel),
            (self.precision, options.precision),
        ):
            self._quietly(combo, partial(combo.setCurrentIndex, combo.findData(str(value))))
        self._quietly(self.sigma_transform, lambda: self.sigma_transform.setChecked(options.sigma_transform))
        self._quietly(self.iterations, lambda: self.iterations.setValue(options.max_iterations))
        for name, spin in self.numbers.items():
            self._quietly(spin, partial(spin.setValue, getattr(options, name)))

    def _emit(self, **changes: Any) -> None:
        self.options_chosen.emit(replace(self._options, **changes))

    def _emit_preset(self, name: str) -> None:
        if name != _CUSTOM:
            self.options_chosen.emit(preset(name))

    @staticmethod
    def _quietly(widget: QWidget, change: Callable[[], object]) -> None:
        """Change a widget to mirror the Session without emitting an intent."""
        blocked = widget.blockSignals(True)
        change()
        widget.blockSignals(blocked)
