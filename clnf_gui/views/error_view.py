"""How far landmarks are from the truth: the whole face and its regions, and every landmark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QSplitter

from clnf_engine import Step
from clnf_engine.accuracy import Accuracy, accuracy
from clnf_engine.arrays import Floats
from clnf_gui.views.hint import Hint
from clnf_gui.views.number_table import NumberTable


class ErrorView(QSplitter):
    """Paints the errors of one lane, or of two beside each other, at the cursor."""

    landmark_clicked = Signal(int)

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Vertical)
        self.regions = NumberTable("Errors of the face and its regions")
        self.landmarks = NumberTable("Errors of the landmarks")
        self.landmarks.row_clicked.connect(self.landmark_clicked)
        for table in (self.regions, self.landmarks):
            self.addWidget(table)
        self.setSizes([190, 400])
        self.setChildrenCollapsible(False)
        self.hint = Hint(self.landmarks)

    def show_errors(self, steps: Mapping[str, Step | None], truth: Floats | None, selection: int | None) -> None:
        """Paint the errors of the lanes' Steps.

        Parameters
        ----------
        steps : mapping of str to Step or None
            By lane.
        truth : (n, 2) float64 or None
            True landmarks, image px.
        selection : int or None
            The landmark that is selected.
        """
        found = {
            name: accuracy(step.landmarks, truth)
            for name, step in steps.items()
            if step is not None and truth is not None and truth.shape == step.landmarks.shape
        }
        self.regions.show_columns(_regions(found))
        self.landmarks.show_columns(_landmarks(found))
        self.landmarks.show_row(selection if found else None)
        if found:
            self.hint.show_text("")
        elif truth is None:
            self.hint.show_text("No ground truth: Ctrl+T opens the true landmarks (.pts) of this image")
        else:
            self.hint.show_text(f"The ground truth has {len(truth)} landmarks; the fit has another number")


def _regions(found: Mapping[str, Accuracy]) -> dict[str, list[Any]]:
    """The mean over all landmarks, and over those of every region."""
    if not found:
        return {}
    names = list(next(iter(found.values())).regions)
    columns: dict[str, list[Any]] = {"region": ["all", *names]}
    for lane, errors in found.items():
        columns[f"{lane}, px"] = [errors.mean, *(None for _ in names)]
        columns[f"{lane}, % of eye distance"] = [errors.mean_percent, *errors.regions.values()]
    return columns


def _landmarks(found: Mapping[str, Accuracy]) -> dict[str, list[Any]]:
    """The distance of every landmark, and how much farther it is in A than in B."""
    if not found:
        return {}
    columns: dict[str, list[Any]] = {"landmark": list(range(len(next(iter(found.values())).distances)))}
    for lane, errors in found.items():
        columns[f"{lane}, px"] = errors.distances.tolist()
        if errors.percent is not None:
            columns[f"{lane}, %"] = errors.percent.tolist()
    if len(found) == 2:
        a, b = found.values()
        columns["A−B, px"] = (a.distances - b.distances).tolist()
    return columns
