"""What guided cases are played on: the sample portrait, upright and tilted, and the recorded run of a faulty port."""

from __future__ import annotations

import tempfile
from enum import StrEnum
from pathlib import Path

import cv2

from clnf_engine import FitOptions, Trace, fit, initials_from_detector, load_model, sample
from clnf_engine.io.files import write_file
from clnf_engine.samples import sample_path

TILT_DEGREES = 40.0

MISTAKES = FitOptions(euler_transposed=True, sigma_off=True)
"""What is wrong in the port."""


class Picture(StrEnum):
    """What a case is played on."""

    PORTRAIT = "portrait"
    TILTED = "tilted"
    PORT = "port"


class Material:
    """Makes what is needed when it is first asked for, in a folder that goes with this object."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="clnf-guide-", ignore_cleanup_errors=True)

    def path(self, picture: Picture) -> Path:
        """The file of a picture or run."""
        if picture is Picture.PORTRAIT:
            return sample_path()
        name, make = {Picture.TILTED: ("tilted.png", _tilted), Picture.PORT: ("port.npz", _port)}[picture]
        path = Path(self._folder.name) / name
        if not path.exists():
            make(path)
        return path

    @property
    def session_path(self) -> Path:
        """Where to keep what was open before."""
        return Path(self._folder.name) / "before.json"

    def close(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()


def _tilted(path: Path) -> None:
    """The portrait, turned clockwise about its middle."""
    rgb = sample().rgb
    height, width = rgb.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -TILT_DEGREES, 1)
    tilted = cv2.warpAffine(rgb, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    _, data = cv2.imencode(".png", tilted[..., ::-1])
    write_file(path, data.tobytes())


def _port(path: Path) -> None:
    """A run with two mistakes that its file does not tell of, as an author who does not know of them would write it."""
    model, gray = load_model(), sample().gray
    start = initials_from_detector(model, gray)[0]
    steps = fit(gray, model, start, MISTAKES).steps
    Trace(gray, model.name, start, FitOptions(), steps, model.fingerprint).save(path)
