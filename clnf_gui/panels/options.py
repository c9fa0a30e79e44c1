"""The options panel: how the fit starts and how it runs. It mirrors the Session and emits intents."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Any

from pyqtgraph.parametertree import Parameter, ParameterTree
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
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

from clnf_engine import ClnfError, FitOptions, Initial, preset
from clnf_engine.deviations import DEVIATIONS
from clnf_engine.options import Source, option_defaults
from clnf_engine.presets import PRESETS
from clnf_gui.theme import CHECKED_STYLE, LANE_COLOURS

_CUSTOM = "custom"
_ROW_PX = 22
_TITLES = {
    "normalization": "normalization",
    "sigma_off": "Sigma off",
    "windows": "windows",
    "max_iterations": "iterations",
    "sigma": "kernel σ, px",
    "kernel": "kernel",
    "reg_factor": "regularisation",
    "weight_factor": "weight factor",
    "adapt_per_scale": "adapt per scale",
    "precision": "precision",
    "convergence_px": "stop below, px",
    "clamp_sigmas": "clamp modes at, σ",
    "response_gain": "response gain",
}
"""Every option of the fit, in the order it is shown."""
_TIPS = {
    "normalization": "Done to the final maps; OpenFace does nothing. Only minmax can change a fit.",
    "sigma_off": DEVIATIONS["sigma_off"].breaks,
    "windows": "Side of the response maps, reference px, one per patch scale from coarse to fine; 0 skips a scale.",
    "max_iterations": "Of each phase, rigid and non-rigid, of every stage.",
    "sigma": "Bandwidth of the mean-shift kernel, reference px.",
    "kernel": "OpenFace's table at 0.1 px steps, or the kernel evaluated where it stands.",
    "reg_factor": "Weight of the shape prior; more keeps the shape nearer to the mean.",
    "weight_factor": "Weight of the patch confidences; 0 weights all landmarks alike.",
    "adapt_per_scale": "Adapt regularisation, σ and weight factor to each patch scale.",
    "precision": "Arithmetic of maps, mean-shifts and normal equations; OpenFace's is float32.",
    "convergence_px": "A phase stops when the whole shape moves less, image px.",
    "clamp_sigmas": "Bound on every shape mode, standard deviations.",
    "response_gain": "Factor on the final maps; a fit must not depend on it.",
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
        self._options = self._base = FitOptions()
        self._mirroring = False
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
        layout = QVBoxLayout(group)
        layout.setContentsMargins(6, 6, 6, 6)
        row = QHBoxLayout()
        row.addWidget(QLabel("Preset"))
        self.preset = QComboBox()
        self.preset.setAccessibleName("Preset")
        self.preset.addItems([*PRESETS, _CUSTOM])
        self.preset.textActivated.connect(self._emit_preset)
        row.addWidget(self.preset, 1)
        layout.addLayout(row)
        self.parameters = Parameter.create(name="options", type="group", children=[_child(name) for name in _TITLES])
        self.parameters.sigTreeStateChanged.connect(self._emit_parameters)
        self.tree = ParameterTree(showHeader=False)
        self.tree.setAccessibleName("Options of the fit")
        self.tree.setParameters(self.parameters, showTop=False)
        self.tree.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.tree.setMinimumHeight(_ROW_PX * len(_TITLES))
        layout.addWidget(self.tree)
        self.problem = QLabel()
        self.problem.setWordWrap(True)
        self.problem.setStyleSheet("color: #d0452f")
        self.problem.hide()
        layout.addWidget(self.problem)
        return group

    def show_options(self, options: FitOptions) -> None:
        """Mirror a lane's options; what differs from the preset carries a dot and can be put back."""
        self._options = options
        name = next((name for name, values in PRESETS.items() if values == options), _CUSTOM)
        if name != _CUSTOM:
            self._base = PRESETS[name]
        self._quietly(self.preset, lambda: self.preset.setCurrentText(name))
        self.problem.hide()
        self._mirroring = True
        with self.parameters.treeChangeBlocker():
            for field, title in _TITLES.items():
                parameter = self.parameters.child(field)
                value, default = (_shown(getattr(source, field)) for source in (options, self._base))
                parameter.setValue(value)
                parameter.setDefault(default)
                parameter.setOpts(title=f"● {title}" if value != default else title)
        self._mirroring = False

    def _emit_parameters(self, *_: object) -> None:
        if self._mirroring:
            return
        try:
            changed = self._options.with_text(f"{name}={self.parameters[name]}" for name in _TITLES)
        except ClnfError as error:
            self.problem.setText(str(error))
            self.problem.show()
            return
        self.problem.hide()
        self.options_chosen.emit(changed)

    def _emit_preset(self, name: str) -> None:
        if name != _CUSTOM:
            self.options_chosen.emit(preset(name))

    @staticmethod
    def _quietly(widget: QWidget, change: Callable[[], object]) -> None:
        """Change a widget to mirror the Session without emitting an intent."""
        blocked = widget.blockSignals(True)
        change()
        widget.blockSignals(blocked)


def _shown(value: Any) -> Any:
    """An option's value as the tree holds it."""
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    return str(value) if isinstance(value, StrEnum) else value


def _child(name: str) -> dict[str, Any]:
    """How the tree shows an option, by the type of its default."""
    default = option_defaults()[name]
    child: dict[str, Any] = {"name": name, "title": _TITLES[name], "value": _shown(default), "tip": _TIPS[name]}
    if isinstance(default, StrEnum):
        return child | {"type": "list", "limits": [str(choice) for choice in type(default)]}
    if isinstance(default, bool):
        return child | {"type": "bool"}
    if isinstance(default, tuple):
        return child | {"type": "str"}
    if isinstance(default, int):
        return child | {"type": "int", "limits": (1, 1000)}
    return child | {"type": "float", "decimals": 6, "dec": True, "minStep": 0.01, "step": 0.1, "compactHeight": False}
