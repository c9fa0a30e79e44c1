"""Trace files made by hand, for the tests of reading them."""

from __future__ import annotations

import io
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from clnf_engine import Trace
from clnf_engine.steps import MeanShift, ResponseMaps, Step

RESPONSE_ARRAYS = {field.name for field in fields(ResponseMaps)}
SHIFT_ARRAYS = {field.name for field in fields(MeanShift)}

folder = Path("the-fixture-trace_folder-sets-this")


def minimal() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The required arrays and the header of two moments of three landmarks and one mode."""
    arrays = {
        "image": np.zeros((5, 4), dtype=np.uint8),
        "initial_params": np.array([1.0, 0, 0, 0, 2, 2, 0]),
        "params": np.array([[1.0, 0, 0, 0, 2, 2, 0], [1.5, 0, 0, 0, 2, 2, 1]]),
        "landmarks": np.arange(12, dtype=float).reshape(2, 3, 2),
    }
    header = {
        "format": "clnf-trace",
        "version": 1,
        "model": "other",
        "options": {},
        "initial": {"source": "box", "box": [0, 0, 4, 5]},
        "stages": [],
        "steps": [{"phase": "initial"}, {"phase": "end"}],
    }
    return arrays, header


def pack(arrays: dict[str, np.ndarray], header: Any, compressed: bool = False) -> bytes:
    buffer = io.BytesIO()
    text = header if isinstance(header, np.ndarray) else np.array(json.dumps(header))
    (np.savez_compressed if compressed else np.savez)(buffer, header=text, **arrays)
    return buffer.getvalue()


def load_bytes(data: bytes) -> Trace:
    (folder / "t.npz").unlink(missing_ok=True)  # to overwrite a file is many times slower on some file systems
    (folder / "t.npz").write_bytes(data)
    return Trace.load(folder / "t.npz")


def assert_same(a: Any, b: Any, where: str = "") -> None:
    """Equal type, and every array equal in dtype, shape and bits."""
    assert type(a) is type(b), where
    if isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), where
        assert a.tobytes() == b.tobytes(), where
    elif isinstance(a, (Trace, Step, ResponseMaps, MeanShift)) or type(a).__name__ == "Initial":
        for field in fields(a):
            assert_same(getattr(a, field.name), getattr(b, field.name), f"{where}.{field.name}")
    elif isinstance(a, tuple):
        assert len(a) == len(b), where
        for k, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{k}]")
    else:
        assert a == b, where
