"""Find a model by path or by name."""

from __future__ import annotations

import os
from dataclasses import replace
from importlib import resources
from pathlib import Path

from clnf_engine.errors import ModelFileError
from clnf_engine.io.calibration_file import find_calibration
from clnf_engine.io.openface import read_model
from clnf_engine.model import Model

DEFAULT_MODEL = "portrait68"
"""The shipped model that is loaded when none is named."""

_MAIN_NAMES = ("main.txt", "main_clnf_general.txt")


def load_model(path_or_name: str | os.PathLike[str] | None = None) -> Model:
    """Load a CLNF model, with its calibration where there is one.

    Parameters
    ----------
    path_or_name : path-like or str, optional
        A model's main file, a folder that holds one, or the name of a shipped model; `DEFAULT_MODEL` by default.

    Returns
    -------
    Model

    Raises
    ------
    ModelFileError
        When there is no such model or its files cannot be used.

    Examples
    --------
    >>> from clnf_engine import load_model
    >>> model = load_model()  # the one that ships
    >>> model.name, model.n_landmarks, [scale.patch_scaling for scale in model.scales]
    ('main_portrait68', 68, [0.18, 0.35, 0.5])
    """
    model = read_model(find_model(path_or_name))
    return replace(model, calibration=find_calibration(model))


def find_model(path_or_name: str | os.PathLike[str] | None = None) -> Path:
    """The main file of the model that `load_model` would load.

    Raises
    ------
    ModelFileError
        When there is no such model.
    """
    if path_or_name is None:
        if DEFAULT_MODEL not in shipped_models():
            raise ModelFileError(DEFAULT_MODEL, "", "this installation lacks the model it should have; name another")
        return main_file(shipped_models()[DEFAULT_MODEL])
    path = Path(path_or_name)
    if os.path.isdir(path):
        return main_file(path)
    if os.path.exists(path):  # a name too long to be one is False here, but an OSError of Path's
        return path
    if path.name == str(path_or_name) and path.name in shipped_models():
        return main_file(shipped_models()[path.name])
    if path.suffix:
        raise ModelFileError(path, "", "no such file")
    names = ", ".join(shipped_models()) or "none"
    raise ModelFileError(path, "", f"no such file, folder or shipped model (shipped: {names})")


def main_file(folder: Path) -> Path:
    """The main file of a model folder.

    Raises
    ------
    ModelFileError
        When the folder has none, or several and none of a usual name.
    """
    for name in _MAIN_NAMES:
        if (folder / name).is_file():
            return folder / name
    found = sorted(folder.glob("main*.txt"))
    if len(found) == 1:
        return found[0]
    if found:
        raise ModelFileError(
            folder, "", f"holds {len(found)} main files; name one of {', '.join(f.name for f in found)}"
        )
    raise ModelFileError(folder, "", "holds no main file; expected main.txt or one main_*.txt")


def shipped_models() -> dict[str, Path]:
    """Name and folder of every model shipped with this program, from a checkout or an installed wheel."""
    packaged = Path(str(resources.files("clnf_engine"))) / "models"
    checkout = Path(str(resources.files("clnf_engine"))).parent / "models"
    root = packaged if packaged.is_dir() else checkout
    if not root.is_dir():
        return {}
    return {folder.name: folder for folder in sorted(root.iterdir()) if any(folder.glob("main*.txt"))}
