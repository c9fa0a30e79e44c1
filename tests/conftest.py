"""What every test shares: Qt without a display, reproducible properties, and the optional folder of reference data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from clnf_engine import Model

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # pytest-qt imports Qt after this file

os.environ["CLNF_CALIBRATIONS"] = os.devnull  # not those of the person who runs the tests

settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    max_examples=60,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _kernels() -> None:
    """Compile every kernel before the first test: a test would wait for it, and its processes would tell of it."""
    import numpy as np

    from clnf_engine.kernels.ready import OF_A_FIT, OF_ROWS, make_ready

    for precision in (np.float64, np.float32):
        make_ready(np.dtype(precision), (*OF_A_FIT, *OF_ROWS))


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's top folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The optional folder of reference data: models, golden traces, photos."""
    folder = Path(os.environ.get("CLNF_SHARED") or ROOT.parent / "shared")
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    return folder


@pytest.fixture(scope="session")
def openface_model(shared: Path) -> Model:
    """OpenFace's general CLNF model, three scales and seven views."""
    from clnf_engine import load_model

    return load_model(shared / "openface" / "main_clnf_general.txt")
