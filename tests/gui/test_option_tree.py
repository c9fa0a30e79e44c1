"""The tree of options as a Qt object."""

from __future__ import annotations

import shiboken6
from PySide6.QtWidgets import QTreeWidget

from clnf_gui.panels.option_tree import OptionTree


def test_no_wrapper_outlives_the_tree(qapp: object) -> None:
    """A wrapper of the freed root item would be taken for another object at its address: wrong types, then a crash."""
    tree = OptionTree()
    root = QTreeWidget.invisibleRootItem(tree)
    assert shiboken6.isValid(root)
    shiboken6.delete(tree)
    assert not shiboken6.isValid(root)
