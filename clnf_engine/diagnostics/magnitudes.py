"""What the response maps are like, per landmark: raw, after Sigma, shifted and normalized."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Array, Floats, read_only_fields
from clnf_engine.diagnostics.finding import Finding, Plot, Style, Table
from clnf_engine.model import Model
from clnf_engine.options import Normalization
from clnf_engine.response import normalize
from clnf_engine.sigma import sigma_matrices
from clnf_engine.steps import Phase, ResponseMaps, Stage, Step
from clnf_engine.trace import Trace

PERCENTILES = (25, 50, 75, 95, 99)


@dataclass(frozen=True)
class MapKind:
    """What a response map is called, and what it is."""

    title: str
    meaning: str


MAP_KINDS = {
    "raw": MapKind("raw", "sum of the neurons"),
    "after_sigma": MapKind("after Sigma", "Sigma times raw"),
    "shifted": MapKind("shifted", "after Sigma, less a negative minimum"),
    "final": MapKind("final", "shifted, then normalized: what the mean-shift sees"),
}
"""Fields of `ResponseMaps`, in the order the fit computes them."""

_PEAKED = MapKind("each map ÷ its peak", "shifted, under normalization peak")

_MOST = 12
"""Landmarks that a verdict names."""

WEAK_FRACTION = 0.1
"""A landmark is weak when its map after Sigma peaks below this fraction of the median peak of all visible ones."""


@dataclass(frozen=True, eq=False)
class Magnitudes:
    """Magnitudes of the response maps of one stage, (n,) per landmark; NaN where a landmark is not visible.

    Attributes
    ----------
    raw_max, raw_mean, after_sigma_max, after_sigma_mean, final_max : (n,) float64
    attenuation : (n,) float64
        ``raw_max / after_sigma_max``.
    sigma_diagonal_mean : (n,) float64
        Mean of Sigma's diagonal; NaN when Sigma is not applied.
    peak_offset : (n,) float64
        Distance of the final map's peak from its centre, reference px.
    sharpness : (n,) float64
        Peak over mean of the final map.
    dynamic_range : (n,) float64
        Largest over smallest raw response; NaN where the smallest is zero.
    patch_confidence : (n,) float64
    weak : (n,) bool
        See `WEAK_FRACTION`.
    """

    raw_max: Floats
    raw_mean: Floats
    after_sigma_max: Floats
    after_sigma_mean: Floats
    final_max: Floats
    attenuation: Floats
    sigma_diagonal_mean: Floats
    peak_offset: Floats
    sharpness: Floats
    dynamic_range: Floats
    patch_confidence: Floats
    weak: NDArray[np.bool_]


def magnitudes(step: Step, model: Model) -> Magnitudes | None:
    """Magnitudes of the maps that a Step carries.

    Parameters
    ----------
    step : Step
    model : Model
        The one the fit used; for Sigma and the patch confidences.

    Returns
    -------
    Magnitudes or None
        None for a Step without maps, or with some that were not recorded, or of another model.
    """
    maps, stage = step.responses, step.stage
    if maps is None or stage is None or stage.view is None or not maps.has(*MAP_KINDS, "visible"):
        return None
    if any(np.isnan(getattr(maps, kind)).all() for kind in MAP_KINDS):
        return None
    scales = model.scales[stage.patch_scale : stage.patch_scale + 1] if stage.patch_scale >= 0 else ()
    if not scales or not 0 <= stage.view < len(scales[0].views) or len(maps.visible) != model.n_landmarks:
        return None
    n, window = maps.final.shape[0], maps.window
    raw_max, after_max, final_max = (
        _visible(m.max(axis=(1, 2)), maps) for m in (maps.raw, maps.after_sigma, maps.final)
    )
    raw_mean, after_mean, final_mean = (
        _visible(m.mean(axis=(1, 2)), maps) for m in (maps.raw, maps.after_sigma, maps.final)
    )
    cells = maps.final.reshape(n, -1).argmax(axis=1)
    centre = (window - 1) / 2
    offset = np.hypot(cells % window - centre, cells // window - centre)
    diagonal = np.full(n, np.nan)
    if stage.sigma_transform:
        sigma = sigma_matrices(model.scales[stage.patch_scale], stage.view, window, maps.raw.dtype)
        if sigma is None:
            total = 2 * model.scales[stage.patch_scale].views[stage.view].sum_alphas
            np.divide(1.0, total, out=diagonal, where=total > 0)
        else:
            diagonal = sigma.diagonal(axis1=1, axis2=2).mean(axis=1).astype(np.float64)
    limit = WEAK_FRACTION * (np.nanmedian(after_max) if maps.visible.any() else 0.0)
    return read_only_fields(
        Magnitudes(
            raw_max=raw_max,
            raw_mean=raw_mean,
            after_sigma_max=after_max,
            after_sigma_mean=after_mean,
            final_max=final_max,
            attenuation=_ratio(raw_max, after_max),
            sigma_diagonal_mean=_visible(diagonal, maps),
            peak_offset=_visible(offset, maps),
            sharpness=_ratio(final_max, final_mean),
            dynamic_range=_ratio(raw_max, _visible(maps.raw.min(axis=(1, 2)), maps)),
            patch_confidence=_visible(model.scales[stage.patch_scale].views[stage.view].patch_confidence, maps),
            weak=maps.visible & (after_max < limit),
        )
    )


def percentiles(maps: ResponseMaps) -> dict[str, Floats]:
    """Distribution of all cells of all visible maps.

    Parameters
    ----------
    maps : ResponseMaps

    Returns
    -------
    dict
        Per kind of map (`MAP_KINDS`) that was recorded: minimum, `PERCENTILES`, maximum, mean and standard deviation,
        (9,).
    """
    return {kind: _distribution(_seen(getattr(maps, kind), maps)) for kind in MAP_KINDS if maps.has(kind)}


def _seen(values: Array, maps: ResponseMaps) -> Array:
    """The maps of visible landmarks; where that is not recorded, of those that have one."""
    visible = maps.visible if maps.has("visible") else np.ones(len(values), dtype=bool)
    return values[visible & ~np.isnan(values).all(axis=(1, 2))]


def _distribution(values: Array) -> Floats:
    if values.size == 0:
        return np.full(len(PERCENTILES) + 4, np.nan)
    quantiles = np.percentile(values, PERCENTILES)
    return np.array([values.min(), *quantiles, values.max(), values.mean(), values.std()], dtype=np.float64)


def _visible(values: Array, maps: ResponseMaps) -> Floats:
    return np.where(maps.visible, values.astype(np.float64), np.nan)


def _ratio(a: Floats, b: Floats) -> Floats:
    return np.divide(a, b, out=np.full_like(a, np.nan), where=np.nan_to_num(b) != 0)


# --- the magnitudes of a whole run ------------------------------------------------------------------

_COLUMNS = {
    "raw max": "raw_max",
    "raw mean": "raw_mean",
    "after Sigma max": "after_sigma_max",
    "after Sigma mean": "after_sigma_mean",
    "attenuation": "attenuation",
    "Sigma diagonal mean": "sigma_diagonal_mean",
    "final max": "final_max",
    "peak offset, px": "peak_offset",
    "sharpness": "sharpness",
    "dynamic range": "dynamic_range",
    "patch confidence": "patch_confidence",
}


@dataclass(frozen=True, eq=False)
class MagnitudesFinding(Finding):
    """Magnitudes of the response maps at every stage of a run.

    Attributes
    ----------
    stages : tuple of Stage
        Those that were run.
    magnitudes : tuple of Magnitudes
        Per stage.
    distributions : tuple of dict
        Per stage, as `percentiles`, and under "each map ÷ its peak" that of the maps so normalized.
    """

    question: ClassVar[str] = "Are some landmarks' responses weak?"
    wanted: ClassVar[bool | None] = False
    provenance: ClassVar[str] = "The maps that the fit's own mean-shifts saw, at the start of every stage."

    stages: tuple[Stage, ...]
    magnitudes: tuple[Magnitudes, ...]
    distributions: tuple[dict[str, Floats], ...]

    @property
    def answer(self) -> bool | None:
        """Whether a landmark is weak at the last stage."""
        return bool(self.magnitudes[-1].weak.any()) if self.stages else None

    @property
    def verdict(self) -> str:
        """Which are weak, and how large the maps are."""
        if not self.stages:
            return "It cannot be told: no stage was run, or none was recorded with all its maps."
        last = self.magnitudes[-1]
        weak = np.flatnonzero(last.weak)
        raw, after, attenuation = (np.nanmedian(v) for v in (last.raw_max, last.after_sigma_max, last.attenuation))
        sizes = (
            f"at the last stage the raw maps peak at {raw:.3g}, after Sigma at {after:.3g}, an attenuation of "
            f"{attenuation:.3g} (medians); none of this weights a landmark"
        )
        if weak.size == 0:
            return f"No: {sizes}."
        names = _listed(weak.tolist())
        return f"Yes: {weak.size} peak below {100 * WEAK_FRACTION:g} % of the median (landmarks {names}); {sizes}."

    def tables(self) -> tuple[Table, ...]:
        """All cells per stage; every landmark at the last stage."""
        heads = ("map", "min", *(f"{p} %" for p in PERCENTILES), "max", "mean", "standard deviation", "what it is")
        found = [
            Table(
                f"All cells, {stage}",
                heads,
                tuple(_distribution_row(MAP_KINDS.get(kind, _PEAKED), values) for kind, values in overall.items()),
            )
            for stage, overall in zip(self.stages, self.distributions, strict=True)
        ]
        if self.stages:
            last = self.magnitudes[-1]
            columns = [getattr(last, field).tolist() for field in _COLUMNS.values()]
            rows = tuple(zip(range(len(last.weak)), *columns, last.weak.tolist(), strict=True))
            title = f"Landmarks, {self.stages[-1]}"
            found.append(Table(title, ("landmark", *_COLUMNS, "weak"), rows, tuple(range(len(rows)))))
        return tuple(found)

    def plots(self) -> tuple[Plot, ...]:
        """Maxima per landmark, before and after Sigma, at the last stage."""
        if not self.stages:
            return ()
        last = self.magnitudes[-1]
        series = {"raw": last.raw_max, "after Sigma": last.after_sigma_max}
        x = np.arange(len(last.weak), dtype=np.float64)
        title = f"Largest response, {self.stages[-1]}"
        return (Plot(title, "landmark", "response", x, series, tuple(map(str, range(len(x)))), True, Style.BARS),)


def run_magnitudes(trace: Trace, model: Model) -> MagnitudesFinding:
    """Magnitudes of the response maps at every stage.

    Parameters
    ----------
    trace : Trace
    model : Model
        The one the fit used.

    Returns
    -------
    MagnitudesFinding
    """
    stages, found, distributions = [], [], []
    for step in trace.select(lambda step: step.phase is Phase.RESPONSES):
        one = magnitudes(step, model)
        if one is not None and step.stage is not None and step.responses is not None:
            peaked = normalize(step.responses.shifted, Normalization.PEAK)
            stages.append(step.stage)
            found.append(one)
            overall = percentiles(step.responses)
            overall[_PEAKED.title] = _distribution(peaked[step.responses.visible])
            distributions.append(overall)
    return MagnitudesFinding(tuple(stages), tuple(found), tuple(distributions))


def _listed(items: list[int]) -> str:
    return ", ".join(map(str, items[:_MOST])) + (", …" if len(items) > _MOST else "")


def _distribution_row(kind: MapKind, values: Floats) -> tuple[str | float, ...]:
    return kind.title, *values.tolist(), kind.meaning
