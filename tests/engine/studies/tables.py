"""Columns of made-up studies."""

from __future__ import annotations

import numpy as np

from clnf_engine.studies.columns import Columns
from clnf_engine.studies.words import Agreement


def columns(error: np.ndarray, options: list[dict], starts: int = 1, failed: np.ndarray | None = None) -> Columns:
    """A study of errors, (variants, faces × starts) in %, of faces whose outer eye corners are 100 px apart."""
    n_variants, n_pairs = error.shape
    variant, pair = (array.ravel() for array in np.meshgrid(np.arange(n_variants), np.arange(n_pairs), indexing="ij"))
    failed = np.zeros(error.shape, bool) if failed is None else failed
    values = np.where(failed, np.nan, error).ravel()
    n, zeros = len(variant), np.zeros(len(variant))
    names = [" ".join(f"{key}={value}" for key, value in row.items()) for row in options]
    return Columns(
        variants=tuple(names),
        options=tuple(options),
        starts=tuple(f"box:0.1#{k}" for k in range(starts)),
        photos=tuple(f"{k}.png" for k in range(n_pairs // starts)),
        failures=("no face found",),
        baseline=names[0],
        part=np.zeros(n, np.int32),
        position=np.arange(n, dtype=np.int32),
        variant=variant,
        start=pair % starts,
        photo=pair // starts,
        face=pair // starts,
        number=np.zeros(n, np.int32),
        frame=np.zeros(n, np.int32),
        failure=np.where(failed.ravel(), 0, -1),
        likelihood=zeros,
        seconds=zeros,
        error=values,
        error_px=values,
    )


def agreeing(farthest: float = 2e-13, identical: int = 0):
    """What measures landmarks: all that are asked about end so far from each other."""

    def measure(references: dict[int, int], pairs) -> dict[int, Agreement]:
        fits = pairs.rows.shape[1]
        return {
            k: Agreement(other, fits, fits, identical, farthest, farthest, farthest) for k, other in references.items()
        }

    return measure
