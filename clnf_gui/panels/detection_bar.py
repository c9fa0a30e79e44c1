"""The options of what is done around a fit: parts, eyes, hypotheses, validation. It mirrors them and emits intents."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QDoubleSpinBox, QHBoxLayout, QWidget

from clnf_engine import DetectionOptions, Model
from clnf_engine.detection.parts import EYES
from clnf_gui.session.choices import LaneChoices, detection_or_none

NOTHING = DetectionOptions(parts=False, validate=False)
"""What a fit alone has around it."""

SWITCHES = {
    "parts": ("Parts", "After the main fit, fit the model's parts (the inner face) and the whole to what they found."),
    "eye_parts": ("Eyes", "Fit the model's eyes too, 28 landmarks each: OpenFace's -gaze."),
    "hypotheses": ("Hypotheses", "Fit from five rotations and keep the likeliest: OpenFace's -multi_view."),
    "validate": ("Validate", "Let the model's validator say whether the result is a face."),
    "mend_slips": ("Mend slips", "Start eyes in the box of their own landmarks, and keep parts of the face chosen."),
}
"""Title and tip of every switch, by the name of its option."""

VIDEO_ALONE = "The window tracks a video by main fits alone; clnf track --preset openface-video does it all."


class DetectionBar(QWidget):
    """A switch per option, those that the model has nothing for disabled, with the reason in the tip."""

    detection_chosen = Signal(object)
    """DetectionOptions, or None when nothing is to be done around a fit."""

    def __init__(self) -> None:
        super().__init__()
        self._detection = NOTHING
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 3, 6, 3)
        row.setSpacing(12)
        self.switches = {name: QCheckBox(title) for name, (title, _) in SWITCHES.items()}
        for name, switch in self.switches.items():
            switch.setAccessibleName(f"Detection: {SWITCHES[name][0].lower()}")
            switch.clicked.connect(partial(self._switch, name))
            row.addWidget(switch)
        self.margin = QDoubleSpinBox(minimum=0.0, maximum=1e6, decimals=2, singleStep=0.05)
        self.margin.setPrefix("margin ")
        self.margin.setAccessibleName("Margin of the hypotheses")
        self.margin.setToolTip("By how much a hypothesis must be likelier than the first; 0 in OpenFace")
        self.margin.setKeyboardTracking(False)
        self.margin.valueChanged.connect(lambda value: self._emit(replace(self._detection, hypothesis_margin=value)))
        row.insertWidget(list(SWITCHES).index("hypotheses") + 1, self.margin)
        row.addStretch(1)

    def show_lane(self, lane: LaneChoices, model: Model | None, video: bool) -> None:
        """Mirror a lane's options; offer what the model has anything for, and nothing where fits are made alone."""
        self._detection = lane.detection or NOTHING
        for name, switch in self.switches.items():
            switch.setChecked(getattr(self._detection, name) and (name != "eye_parts" or self._detection.parts))
        self.margin.blockSignals(True)
        self.margin.setValue(self._detection.hypothesis_margin)
        self.margin.blockSignals(False)
        missing, alone = _missing(model), VIDEO_ALONE if video else ""
        if lane.functions is not None:
            alone = f"The functions of {lane.functions.name} make fits alone."
        for name, switch in self.switches.items():
            reason = alone or missing.get(name, "")
            switch.setEnabled(not reason)
            switch.setToolTip(f"{SWITCHES[name][1]} {reason}".strip())
        self.margin.setEnabled(self._detection.hypotheses and not alone)

    def _switch(self, name: str) -> None:
        on = self.switches[name].isChecked()
        changed = {name: on}
        if name == "eye_parts" and on:
            changed["parts"] = True
        if name == "parts" and not on:
            changed["eye_parts"] = False
        self._emit(replace(self._detection, **changed))

    def _emit(self, detection: DetectionOptions) -> None:
        self._detection = detection  # now: the next change may come before the mirror
        self.detection_chosen.emit(detection_or_none(detection))


def _missing(model: Model | None) -> dict[str, str]:
    """Why an option would change nothing with a model, by its name."""
    if model is None:
        return dict.fromkeys(SWITCHES, "No model is open.")
    parts = {part.name for part in model.parts}
    missing: dict[str, str] = {}
    if not parts:
        missing |= dict.fromkeys(("parts", "mend_slips"), f"{model.name} has no parts.")
    if not parts & set(EYES):
        missing["eye_parts"] = f"{model.name} has no parts for the eyes."
    if model.validator is None:
        missing["validate"] = f"{model.name} has no validator."
    return missing
