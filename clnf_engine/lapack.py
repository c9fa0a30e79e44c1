"""LAPACK's solvers by Cholesky, as SciPy wraps them.

`scipy.linalg` runs a hundred modules when it is imported, which takes longer than several fits. The wrappers are in an
extension module that needs none of them.
"""

from __future__ import annotations

from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Any


def _wrappers() -> Any:
    """The module of the wrappers; SciPy's public one where the extension is not where it has always been."""
    package = find_spec("scipy.linalg")
    places = None if package is None else package.submodule_search_locations
    spec = PathFinder.find_spec("scipy.linalg._flapack", places)
    if spec is None or spec.loader is None:
        from scipy.linalg import lapack

        return lapack
    wrappers = module_from_spec(spec)
    spec.loader.exec_module(wrappers)
    return wrappers


_found = _wrappers()
sposv, dposv = _found.sposv, _found.dposv
"""``c, x, info = posv(a, b)`` solves ``a·x = b`` for a positive definite a, in float32 and float64."""
