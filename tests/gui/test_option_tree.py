"""The tree of options as a Qt object."""

from __future__ import annotations

import shiboken6
from PySide6.QtWidgets import QTreeWidget
from pytestqt.qtbot import QtBot

from clnf_engine import FitOptions
from clnf_gui.panels.option_tree import OptionTree


def test_no_wrapper_outlives_the_tree(qapp: object) -> None:
    """A wrapper of the freed root item would be taken for another object at its address: wrong types, then a crash."""
    tree = OptionTree()
    root = QTreeWidget.invisibleRootItem(tree)
    assert shiboken6.isValid(root)
    shiboken6.delete(tree)
    assert not shiboken6.isValid(root)


def test_only_what_differs_can_be_put_back(qtbot: QtBot) -> None:
    tree = OptionTree()
    qtbot.addWidget(tree)
    for options in (FitOptions(sigma=2, euler_transposed=True), FitOptions(), FitOptions(sigma=3)):
        tree.show_options(options, FitOptions())
        lit = {name for name, row in tree.rows.items() for item in row.items if not item.defaultBtn.isHidden()}
        assert lit == {name for name in tree.rows if getattr(options, name) != getattr(FitOptions(), name)}
