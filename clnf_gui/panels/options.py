"""The options panel: how the fit starts and how it runs. It mirrors the Session and emits intents."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QButtonGroup,
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

from clnf_engine import DetectionOptions, FitOptions, Initial, preset
from clnf_engine.initial import Box, Rotation
from clnf_engine.options import Source
from clnf_engine.presets import PRESETS, PROGRAMS
from clnf_gui.option_titles import preset_name, program_name
from clnf_gui.panels.detection_bar import VIDEO_ALONE
from clnf_gui.panels.editor_keys import EditorKeys
from clnf_gui.panels.option_tree import OptionTree
from clnf_gui.panels.track_options import TrackOptionsPanel
from clnf_gui.session.choices import Start
from clnf_gui.theme import CHECKED_STYLE, LANE_COLOURS

_CUSTOM = "custom"
_BOX_LIMIT = 100_000.0
_FIELD_PX = 70
"""Room for "1234.5": what Qt would keep for the largest number is better given to the photo."""
_PADDING_PX = 12
"""Around the word on a button."""
_CONVENTION = "R = Rx·Ry·Rz, about the centre of the face; a fit keeps every angle within ±90°."
_ANGLES = {
    "roll": (2, 180.0, "rz: in the image, clockwise where positive."),
    "yaw": (1, 90.0, "ry: to the left of the image where positive."),
    "pitch": (0, 90.0, "rx: down where positive."),
}
"""Of every angle: its place in (rx, ry, rz), the largest, degrees, and what it does."""


class OptionsPanel(QWidget):
    """Initialization above, fit options below."""

    lane_chosen = Signal(str)
    """Name of the lane the panel is to apply to."""
    start_like_a_chosen = Signal()
    options_chosen = Signal(object)
    """FitOptions."""
    preset_chosen = Signal(object, object)
    """DetectionOptions or None, and FitOptions."""
    face_chosen = Signal(int)
    box_chosen = Signal(object)
    """(x, y, width, height), image px."""
    rotation_chosen = Signal(object)
    """(rx, ry, rz) of the head, radians."""
    landmarks_wanted = Signal()
    result_chosen = Signal()
    perturbation_chosen = Signal(int, float)
    """Seed and amount; 0 takes the perturbation back."""
    focus_released = Signal()
    """Enter, Esc or a choice has ended the editing of a value."""

    def __init__(self) -> None:
        super().__init__()
        self._base = FitOptions()
        self._shown: tuple[FitOptions, DetectionOptions | None] = (self._base, None)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addWidget(self._lane_switch())
        layout.addWidget(self._initialization())
        self.track = TrackOptionsPanel()
        self.track.refused.connect(self._show_problem)
        self.track.hide()
        layout.addWidget(self.track)
        layout.addWidget(self._fit_options())
        layout.addStretch(1)
        for field in (*self.findChildren(QAbstractSpinBox), *self.findChildren(QComboBox)):
            field.setMinimumWidth(_FIELD_PX)
        for button in self.findChildren(QPushButton):
            button.setMinimumWidth(self.fontMetrics().horizontalAdvance(button.text()) + _PADDING_PX)
        EditorKeys(self).done.connect(self.focus_released)

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

    def show_video(self, on: bool) -> None:
        """Show the options of tracking, which only a video has; what programs do around fits, only a photo has."""
        self.track.setVisible(on)
        items = self.preset.model()
        assert isinstance(items, QStandardItemModel)
        for name in PROGRAMS:
            tip = VIDEO_ALONE if on else "What OpenFace's program does: its fits, and what is around them (see Fits)"
            item = items.item(self.preset.findText(name))
            item.setToolTip(tip)
            item.setEnabled(not on)

    # --- initialization -----------------------------------------------------------------------

    def _initialization(self) -> QGroupBox:
        group = QGroupBox("Initialization")
        form = QFormLayout(group)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.face = QComboBox()
        self.face.setAccessibleName("Detected face")
        self.face.setPlaceholderText("none of those detected")
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
        self._add_rotation(form)
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
            perturbation.setKeyboardTracking(False)
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

    def _add_rotation(self, form: QFormLayout) -> None:
        """Rows of the three angles, and a button that puts them to 0."""
        self._rotation: Rotation = (0.0, 0.0, 0.0)
        self.rotation = {name: QDoubleSpinBox() for name in _ANGLES}
        for name, (index, limit, tip) in _ANGLES.items():
            spin = self.rotation[name]
            spin.setRange(-limit, limit)
            spin.setDecimals(1)
            spin.setSuffix("°")
            spin.setAccessibleName(f"{name.capitalize()} of the start, degrees")
            spin.setToolTip(f"{tip} {_CONVENTION}")
            spin.setKeyboardTracking(False)
            spin.valueChanged.connect(partial(self._emit_rotation, index))
        self.upright = QPushButton("Upright")
        self.upright.setToolTip("Start with the face upright and frontal")
        self.upright.clicked.connect(lambda: self.rotation_chosen.emit((0.0, 0.0, 0.0)))
        for label, widgets in (
            ("Roll", (self.rotation["roll"], self.upright)),
            ("Yaw, pitch", (self.rotation["yaw"], self.rotation["pitch"])),
        ):
            row = QHBoxLayout()
            for widget in widgets:
                row.addWidget(widget, 1)
            form.addRow(label, row)

    def show_initial(
        self,
        start: Start | None,
        faces: tuple[Initial, ...],
        like_a: bool = False,
        box: Box | None = None,
        given: bool = True,
    ) -> None:
        """Mirror a lane's start and its upright box; `like_a` when it is lane A's, `given` when a person chose it."""
        base, initial = (None, None) if start is None else (start.base, start.initial)
        self.like_a.setEnabled(not like_a)
        self._quietly(self.face, lambda: self._fill_faces(base, faces))
        if box is not None:
            for spin, value in zip(self.box, box, strict=True):
                self._quietly(spin, partial(spin.setValue, value))
        if initial is not None:
            self._rotation = initial.rotation
            for name, (index, _, _) in _ANGLES.items():
                spin = self.rotation[name]
                self._quietly(spin, partial(spin.setValue, math.degrees(self._rotation[index])))
            self.upright.setEnabled(any(self._rotation))
            perturbed = initial.seed is not None
            if not perturbed:
                self._quietly(self.amount, lambda: self.amount.setValue(0.0))
            names = {
                Source.BOX: "a box given by hand" if given else "a box in the middle: no face was found",
                Source.DETECTOR: "the face detector",
                Source.LANDMARKS: "landmarks of a file",
                Source.PREVIOUS: "the result of a fit",
            }
            text = names[initial.source]
            text += ", turned" if initial.source in (Source.BOX, Source.DETECTOR) and any(self._rotation) else ""
            text += f", perturbed with seed {initial.seed}" if perturbed else ""
            self.source.setText(f"as lane A: {text}" if like_a else text)

    def _fill_faces(self, base: Initial | None, faces: tuple[Initial, ...]) -> None:
        self.face.clear()
        for k, face in enumerate(faces):
            self.face.addItem(f"{k + 1}: {face.box[2]:.0f} × {face.box[3]:.0f} px")
        if not faces:
            followed = base is not None and base.source in (Source.PREVIOUS, Source.DETECTOR)
            self.face.addItem("not looked for" if followed else "none found")
        self.face.setEnabled(bool(faces))
        self.face.setCurrentIndex(
            next((k for k, face in enumerate(faces) if _same_start(face, base)), -1 if faces else 0)
        )

    def _emit_box(self) -> None:
        self.box_chosen.emit(tuple(spin.value() for spin in self.box))

    def _emit_rotation(self, index: int, degrees: float) -> None:
        """The other angles stay as they are, not as the fields round them."""
        rx, ry, rz = (math.radians(degrees) if k == index else angle for k, angle in enumerate(self._rotation))
        self._rotation = rx, ry, rz  # now: the next change may come before the mirror
        self.rotation_chosen.emit(self._rotation)

    def _emit_perturbation(self) -> None:
        self.perturbation_chosen.emit(self.seed.value(), self.amount.value() / 100)

    # --- options ------------------------------------------------------------------------------

    def _fit_options(self) -> QGroupBox:
        group = QGroupBox("Fit")
        layout = QVBoxLayout(group)
        layout.setContentsMargins(6, 6, 6, 6)
        row = QHBoxLayout()
        row.addWidget(QLabel("Preset"))
        self.preset = QComboBox()
        self.preset.setAccessibleName("Preset")
        self.preset.addItems([*PRESETS, *PROGRAMS, _CUSTOM])
        self.preset.textActivated.connect(self._emit_preset)
        row.addWidget(self.preset, 1)
        layout.addLayout(row)
        self.problem = QLabel()
        self.problem.setWordWrap(True)
        self.problem.setStyleSheet("color: #d0452f")
        self.problem.hide()
        layout.addWidget(self.problem)
        self.tree = OptionTree()
        self.tree.options_chosen.connect(self._emit_options)
        self.tree.refused.connect(self._show_problem)
        layout.addWidget(self.tree)
        return group

    def show_options(self, options: FitOptions, detection: DetectionOptions | None) -> None:
        """Mirror a lane's options; what differs from the preset carries a dot and can be put back."""
        name = preset_name(options, detection) or _CUSTOM
        if name != _CUSTOM:
            self._base = preset(name)
        self._shown = options, detection
        self._quietly(self.preset, lambda: self.preset.setCurrentText(name))
        self.problem.hide()
        self.tree.show_options(options, self._base)

    def _emit_options(self, options: FitOptions) -> None:
        self.problem.hide()
        self.options_chosen.emit(options)

    def _show_problem(self, problem: str) -> None:
        self.problem.setText(problem)
        self.problem.show()

    def _emit_preset(self, name: str) -> None:
        if name != _CUSTOM:
            # A preset of fits leaves what is around them alone, but what a program does goes with that.
            around = None if program_name(*self._shown) else self._shown[1]
            self.preset_chosen.emit(PROGRAMS[name].detection if name in PROGRAMS else around, preset(name))

    @staticmethod
    def _quietly(widget: QWidget, change: Callable[[], object]) -> None:
        """Change a widget to mirror the Session without emitting an intent."""
        blocked = widget.blockSignals(True)
        change()
        widget.blockSignals(blocked)


def _same_start(face: Initial, base: Initial | None) -> bool:
    """Whether a start is that of a face, detected now or when it was saved."""
    return base is not None and base.source is face.source and np.array_equal(base.params, face.params)
