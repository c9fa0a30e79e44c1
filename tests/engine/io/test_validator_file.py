"""The validator's file: every kind of network by hand, what OpenFace ships byte for byte, and what is refused."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clnf_engine import Model, ModelFileError
from clnf_engine.io.openface import read_model, write_model
from clnf_engine.io.validator_file import read_validator, validator_bytes
from clnf_engine.validator import FullyConnected, Linear, Network, Validator, ValidatorView, Warp

from ..tiny_model import micro_model
from .model_tools import refused

FILE = "detection_validation/validator_general_68.txt"


def validator(network: Network) -> Validator:
    """Three landmarks, one triangle, a crop of 2×2 px of which three lie in it."""
    warp = Warp(
        low=np.array([-1.0, 2.0]),
        destination=np.array([[0.0, 0.0], [1, 0], [0, 1]]),
        triangles=np.array([[0, 1, 2]], dtype=np.int32),
        triangle_of=np.array([[0, 0], [0, -1]], dtype=np.int32),
        mask=np.array([[True, True], [True, False]]),
        alpha=np.array([[1.0, 1.0, 0.0]]),
        beta=np.array([[-2.0, 0.0, 1.0]]),
    )
    view = ValidatorView(np.array([0.1, 0.2, 0.3]), np.array([1.0, 2, 4]), network, warp)
    return Validator(np.zeros((1, 3)), (view,))


WEIGHTS = np.array([[0.5, 1.0, -2, 3]])
KINDS = {
    "svr": Linear(np.array([1.0, -2, 3]), 0.5),
    "logistic": FullyConnected((WEIGHTS,), True, True),
    "tanh": FullyConnected((np.tile(WEIGHTS, (2, 1)), np.array([[0.0, 1, 1]])), False, False),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_written_validator_decides_alike(kind: str, tmp_path: Path) -> None:
    made = validator(KINDS[kind])
    main = write_model(replace(micro_model(), validator=made), tmp_path)
    again = read_model(main).validator
    assert again is not None
    assert validator_bytes(again) == validator_bytes(made)
    values, mask = np.array([0.3, -0.7, 1.1]), made.views[0].warp.mask
    total = 0.5 + 0.3 + 1.4 + 3.3
    hidden = 1.7159 * np.tanh(2 / 3 * total)
    known = {
        "svr": total,
        "logistic": 2 / (1 + np.exp(-total)) - 1,
        "tanh": 2 * (1.7159 * np.tanh(2 / 3 * 2 * hidden) - 0.5),
    }
    assert again.views[0].network.decision(values, mask) == pytest.approx(known[kind], rel=1e-12)


def test_a_crop_by_hand() -> None:
    """Pixel (u, v) of the crop is P0 + (1 + u)·(P1 − P0) + (v − 2)·(P2 − P0), u from −1 and v from 2."""
    image = (10 * np.arange(8)[:, None] + np.arange(8)[None]).astype(np.uint8)
    landmarks = np.array([[2.0, 3.0], [4.5, 3.0], [2.0, 5.0]])
    crop = validator(KINDS["svr"]).views[0].warp.crop(image, landmarks)
    np.testing.assert_array_equal([crop[0, 0], crop[0, 1], crop[1, 0]], [32, 34.5, 52])


def test_openface_s_validator_is_written_byte_by_byte(shared: Path) -> None:
    path = shared / "openface" / FILE
    assert validator_bytes(read_validator(path)) == path.read_bytes()


def test_openface_s_model_has_it(openface_model: Model) -> None:
    assert openface_model.problems == ()
    assert openface_model.validator is not None
    expected = [(0, 0, 0), (0, -20, 0), (0, -45, 0), (0, 20, 0), (0, 45, 0)]
    np.testing.assert_array_equal(openface_model.validator.view_centres_degrees, expected)


GOOD = validator_bytes(validator(KINDS["logistic"]))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", ["kind of validator"]),
        (GOOD[:-8], ["beta", "left in the file"]),
        (GOOD + b"\0", ["end of the file"]),
        (struct.pack("<i", 3) + GOOD[4:], ["0 to 2"]),
        (GOOD.replace(struct.pack("<d", 4.0), struct.pack("<d", 0.0)), ["standard deviation is 0"]),
        (GOOD.replace(struct.pack("<d", 0.2), struct.pack("<d", np.nan)), ["mean", "not finite"]),
        (GOOD.replace(struct.pack("<iii", 1, 3, 4), struct.pack("<iii", 3, 1, 4)), ["triangles"]),
        (
            validator_bytes(validator(FullyConnected((np.ones((1, 5)),), True, True))),
            ["layers", "do not fit"],
        ),
    ],
    ids=["empty", "short", "long", "kind", "deviation", "nan", "triangles", "layers"],
)
def test_what_is_no_validator(data: bytes, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "validator.bin"
    path.write_bytes(data)
    refused(path, *words, read=read_validator)


@settings(max_examples=200)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_any_flipped_bits_load_or_are_refused(folder: Path, position: int, bits: int) -> None:
    raw = bytearray(GOOD)
    raw[position] ^= bits
    path = folder / "flipped.bin"
    path.write_bytes(raw)
    try:
        read_validator(path)
    except ModelFileError as error:
        assert "flipped.bin, byte" in str(error)
    finally:
        path.unlink()
