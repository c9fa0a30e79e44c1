"""The Session's objects mind their own business: none uses or writes what is another's."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import clnf_gui.session

MODULES = sorted(Path(clnf_gui.session.__file__).parent.glob("*.py"))


def is_own(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_borders_of_the_session(module: Path) -> None:
    found = []
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Attribute) and not is_own(node.value):
            private = node.attr.startswith("_") and not node.attr.startswith("__")
            written = isinstance(node.ctx, (ast.Store, ast.Del))
            if private or written:
                found.append(f"{module.name}:{node.lineno}: {ast.unparse(node)}")
        if isinstance(node, ast.Raise) and node.exc is not None and "NotImplementedError" in ast.unparse(node.exc):
            found.append(f"{module.name}:{node.lineno}: a hook left open")
    assert not found
