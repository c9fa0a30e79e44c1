"""The tree of fit options and deviations: it mirrors FitOptions and emits what a person makes of them."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from html import escape
from typing import Any

import shiboken6
from pyqtgraph.parametertree import Parameter, ParameterTree
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFont
from PySide6.QtWidgets import QTreeWidget

from clnf_engine import ClnfError, FitOptions
from clnf_engine.deviations import DEVIATIONS, Deviation, active
from clnf_engine.options import option_defaults

_ROW_PX = 22
_INDENT_PX = 10
_TITLES = {
    "normalization": "normalization",
    "windows": "windows",
    "max_iterations": "iterations",
    "sigma": "kernel σ, px",
    "kernel": "kernel",
    "reg_factor": "regularisation",
    "weight_factor": "weight factor",
    "adapt_per_scale": "adapt per scale",
    "precision": "precision",
    "convergence_px": "stop below, px",
    "convergence_update": "stop below, ‖Δp‖",
    "clamp_sigmas": "clamp modes at, σ",
    "response_gain": "response gain",
}
"""Every option but the deviations, in the order it is shown."""
_TIPS = {
    "normalization": "Done to the final maps; OpenFace does nothing. Only minmax can change a fit.",
    "windows": "Side of the response maps, reference px, one per patch scale from coarse to fine; 0 skips a scale.",
    "max_iterations": "Of each phase, rigid and non-rigid, of every stage.",
    "sigma": "Bandwidth of the mean-shift kernel, reference px.",
    "kernel": "OpenFace's table at 0.1 px steps, or the kernel evaluated where it stands.",
    "reg_factor": "Weight of the shape prior; more keeps the shape nearer to the mean.",
    "weight_factor": "Weight of the patch confidences; 0 weights all landmarks alike.",
    "adapt_per_scale": "Adapt regularisation, σ and weight factor to each patch scale.",
    "precision": "Arithmetic of maps, mean-shifts and normal equations; OpenFace's is float32.",
    "convergence_px": "A phase stops when the whole shape moves less, image px.",
    "convergence_update": "A phase also stops when the norm of the update is less; with 0, OpenFace's, it never does.",
    "clamp_sigmas": "Bound on every shape mode, standard deviations.",
    "response_gain": "Factor on the final maps; a fit must not depend on it.",
}
_DEVIATION_TITLES = {name: deviation.title for name, deviation in DEVIATIONS.items()}
_GROUP = "deviations"
_GROUP_TITLE = "Deviations from OpenFace"


class OptionTree(ParameterTree):
    """A row per option, and a group of deviations below; what differs from the preset carries a dot."""

    options_chosen = Signal(object)
    """FitOptions."""
    refused = Signal(str)
    """Why what was entered is impossible."""

    def __init__(self) -> None:
        super().__init__(showHeader=False)
        # Qt frees the root item with the tree and tells nobody; pyqtgraph keeps its wrapper, which PySide would then
        # take for whatever comes to lie at that address.
        root = QTreeWidget.invisibleRootItem(self)
        self.destroyed.connect(partial(shiboken6.invalidate, root))
        self._options = FitOptions()
        self._mirroring = False
        children = [_child(name, _TITLES[name], escape(_TIPS[name])) for name in _TITLES]
        deviations = [_child(name, _DEVIATION_TITLES[name], _tip(DEVIATIONS[name])) for name in DEVIATIONS]
        group = {"name": _GROUP, "title": _GROUP_TITLE, "type": "group", "children": deviations}
        self.parameters = Parameter.create(name="options", type="group", children=[*children, group])
        self.rows = {name: self.parameters.child(name) for name in _TITLES}
        self.deviations = self.parameters.child(_GROUP)
        self.rows |= {name: self.deviations.child(name) for name in DEVIATIONS}
        self.parameters.sigTreeStateChanged.connect(self._emit_options)
        self.setAccessibleName("Options of the fit")
        self.setParameters(self.parameters, showTop=False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setIndentation(_INDENT_PX)
        for row in self.rows.values():
            for item in row.items:
                item.setToolTip(0, row.opts["tip"])
        bold = QFont(self.font())
        bold.setBold(True)
        for item in self.deviations.items:
            item.setFont(0, bold)
        self.setMinimumHeight(_ROW_PX * (len(self.rows) + 2))

    def show_options(self, options: FitOptions, base: FitOptions) -> None:
        """Mirror options; those that differ from `base` carry a dot and can be put back."""
        self._options = options
        self._mirroring = True
        with self.parameters.treeChangeBlocker():
            for name, title in (_TITLES | _DEVIATION_TITLES).items():
                value, default = (_shown(getattr(source, name)) for source in (options, base))
                self.rows[name].setValue(value)
                self.rows[name].setDefault(default)
                self.rows[name].setOpts(title=f"● {title}" if value != default else title)
                for item in self.rows[name].items:  # pyqtgraph lights it for every value that was ever set
                    item.defaultBtn.setVisible(value != default)
            count = len(active(options))
            self.deviations.setOpts(title=f"{_GROUP_TITLE}: {count} on" if count else _GROUP_TITLE)
        self._mirroring = False

    def _emit_options(self, *_: object) -> None:
        if self._mirroring:
            return
        try:
            changed = self._options.with_text(f"{name}={row.value()}" for name, row in self.rows.items())
        except ClnfError as error:
            self.refused.emit(str(error))
        else:
            self.options_chosen.emit(changed)


def _shown(value: Any) -> Any:
    """An option's value as the tree holds it."""
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    return str(value) if isinstance(value, StrEnum) else value


def _tip(deviation: Deviation) -> str:
    """What a deviation breaks and how that shows."""
    name, breaks, shows = (escape(text) for text in (deviation.name, deviation.breaks, deviation.shows))
    return f"<p><b>{name}</b></p><p>{breaks}</p><p><i>How it shows:</i> {shows}</p>"


def _child(name: str, title: str, tip: str) -> dict[str, Any]:
    """How the tree shows an option, by the type of its default."""
    default = option_defaults()[name]
    child: dict[str, Any] = {"name": name, "title": title, "value": _shown(default), "tip": tip}
    if isinstance(default, StrEnum):
        return child | {"type": "list", "limits": [str(choice) for choice in type(default)]}
    if isinstance(default, bool):
        return child | {"type": "bool"}
    if isinstance(default, tuple):
        return child | {"type": "str"}
    if isinstance(default, int):
        return child | {"type": "int", "limits": (1, 1000)}
    return child | {"type": "float", "decimals": 6, "dec": True, "minStep": 0.01, "step": 0.1, "compactHeight": False}
