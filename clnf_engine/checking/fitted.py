"""Mistakes with a number of their own, which is fitted to what a trace recorded: "σ times 0.42", "the prior times 68".

A number is fitted to one moment, and must then reproduce all of them like any other mistake.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from clnf_engine.arrays import Array, Floats
from clnf_engine.checking.evidence import Hypothesis, Inputs, Reference
from clnf_engine.checking.known_of_equations import data_term, prior_term
from clnf_engine.checking.known_of_shifts import gaussian, kernel_parts, shift_of, tabled
from clnf_engine.checking.mistakes import Mistake, factor_text, row_pair
from clnf_engine.checking.rows import UNFITTING, Row
from clnf_engine.pdm import RIGID

Sample = tuple[Any, dict[str, Any]]
"""What an operation gives at a row, and what it reads there, by name."""

NEAR = 1e-4
"""Relative; a fit that leaves more is none."""


def fitted(
    operation: str, rows: Sequence[Row], reference: Reference, samples: Sequence[Sample], what: str
) -> Iterator[Mistake]:
    """Mistakes whose number fits the first rows.

    Parameters
    ----------
    operation : str
        That gives the rows' values.
    rows : sequence of Row
    reference : Reference
    samples : sequence of (out, arguments)
        Of the first rows.
    what : str
        The value in words.
    """
    try:
        if rows[0].operation == operation:
            yield from _linear(operation, rows, reference, what)
            yield from _bounds(operation, rows, reference, what)
            yield from _elements(operation, rows, samples, what)
        if operation in _SPECIAL:
            yield from _SPECIAL[operation](operation, rows, reference, samples)
    except UNFITTING:  # a trace of another program may hold anything
        return


def _linear(operation: str, rows: Sequence[Row], reference: Reference, what: str) -> Iterator[Mistake]:
    """A factor and a summand; for points, a matrix and a summand."""
    pair = row_pair(rows[0], reference)
    if pair is None or not np.isfinite(pair).all() or pair[0].size < 8:
        return
    right, recorded = pair
    known = (right != 0) | (recorded != 0)  # landmarks that are not visible are zero on both sides
    if np.ndim(rows[0].recorded) == 2 and np.shape(rows[0].recorded)[1] == 2:
        points, told = right.reshape(-1, 2), recorded.reshape(-1, 2)
        known = known.reshape(-1, 2).any(axis=1)
        design = np.column_stack([points[known], np.ones(known.sum())])
        solution, *_ = np.linalg.lstsq(design, told[known], rcond=None)
        if np.linalg.norm(design @ solution - told[known]) < NEAR * np.linalg.norm(told[known]):
            matrix, summand = solution[:2].T, solution[2]
            text = f"{what} is taken through the matrix {_matrix_text(matrix)} and moved by {_numbers(summand)}"
            yield Mistake("linear_map", operation, text, lambda v: _where_told(v.out, v.out @ matrix.T + summand))
        return
    right, recorded = right[known], recorded[known]
    spread = right - right.mean()
    factor = float(spread @ recorded / (spread @ spread))
    summand = float(recorded.mean() - factor * right.mean())
    left = np.linalg.norm(factor * right + summand - recorded)
    if factor and left < 1e-2 * np.linalg.norm(recorded - recorded.mean()):
        text = f"{what} times {factor_text(factor)} plus {summand:.6g}"
        yield Mistake(
            "scaled_and_offset", operation, text, lambda v: _where_told(v.out, np.multiply(v.out, factor) + summand)
        )


def _where_told(out: Any, changed: Array) -> Array:
    """Changed but where a landmark has nothing."""
    out = np.asarray(out)
    nothing = ~out.reshape(len(out), -1).any(axis=1) if out.ndim else np.asarray(False)
    return np.where(nothing.reshape(-1, *[1] * (out.ndim - 1)) if out.ndim else nothing, out, changed)


def _matrix_text(matrix: Floats) -> str:
    return "[" + "; ".join(_numbers(row) for row in matrix) + "]"


def _numbers(values: Floats) -> str:
    return ", ".join(f"{0.0 if abs(value) < 1e-6 else value:.4g}" for value in values)


def _bounds(operation: str, rows: Sequence[Row], reference: Reference, what: str) -> Iterator[Mistake]:
    """Limits that several values reach."""
    if operation in ("clamp", "delta") or np.ndim(rows[0].recorded) == 0:
        return
    columns = np.ndim(rows[0].recorded) == 2 and np.shape(rows[0].recorded)[1] == 2
    values = [np.asarray(row.recorded, dtype=np.float64).reshape(-1, 2 if columns else 1) for row in rows]
    told = np.concatenate([v[np.isfinite(v).all(axis=1)] for v in values])
    if not len(told):
        return
    low, high = told.min(axis=0), told.max(axis=0)
    if (told == low).sum() + (told == high).sum() < 2 * told.shape[1] + 1:
        return
    if not columns:
        low, high = low[0], high[0]
    text = f"{what} is held within {_numbers(np.atleast_1d(low))} and {_numbers(np.atleast_1d(high))}"
    yield Mistake("limited", operation, text, lambda v: np.clip(v.out, low, high))


def _elements(operation: str, rows: Sequence[Row], samples: Sequence[Sample], what: str) -> Iterator[Mistake]:
    """Elements of a vector of parameters that have a factor each, or are left zero."""
    pairs = [(row.recorded, out) for row, (out, _) in zip(rows, samples, strict=False) if np.ndim(row.recorded) == 1]
    whole = [pair for pair in pairs if len(pair[0]) == max(len(told) for told, _ in pairs)]
    if operation not in ("gradient", "delta", "clamp") or not whole:
        return
    told, right = (np.stack(values) for values in zip(*whole, strict=True))
    power = (right**2).sum(axis=0)
    factors = np.where(power > 0, (told * right).sum(axis=0) / np.where(power > 0, power, 1), 1.0)
    factors[np.abs(factors - 1) < NEAR] = 1.0
    changed_ones = np.flatnonzero(factors != 1)
    if not 0 < len(changed_ones) <= len(factors) // 2:
        return
    names = [*_NAMES, *(f"mode {k + 1}" for k in range(len(factors) - RIGID))]
    said = ", ".join(f"{names[k]} times {factor_text(float(factors[k]))}" for k in changed_ones[:6])
    yield Mistake("elements_scaled", operation, f"in {what}: {said}", lambda v: v.out * factors[: len(v.out)])


# --- kernels ----------------------------------------------------------------------------------------


def _kernel(operation: str, rows: Sequence[Row], reference: Reference, samples: Sequence[Sample]) -> Iterator[Mistake]:
    """A bandwidth of its own, with the table and without."""
    sigma = float(samples[0][1]["sigma"])
    for at, words in ((tabled, ""), (lambda p: p, ", evaluated where it stands")):

        def error(size: float, at: Callable[[Array], Array] = at) -> float:
            under = reference.under(operation, _with_sigma(operation, lambda v: size, at))
            return rows[0].error(under)

        found, left = _smallest(error, sigma)
        if not left < 1e-3:
            continue
        text = f"the kernel is taken with σ times {factor_text(found / sigma)}{words}"
        function = _with_sigma(operation, lambda v, by=found / sigma: by * v.sigma, at)  # type: ignore[misc]
        yield Mistake("sigma_scaled", operation, text, function)
        text = f"the kernel is taken with σ = {found:.4g} in all stages{words}"
        yield Mistake("sigma_constant", operation, text, _with_sigma(operation, lambda v, by=found: by, at))  # type: ignore[misc]


def _with_sigma(operation: str, sigma: Callable[[Inputs], float], at: Callable[[Array], Array]) -> Any:
    kernels = gaussian(sigma, at)
    if operation == "kernel_sum":
        return lambda v: kernel_parts(v, kernels)[0]
    return lambda v: shift_of(v, kernels)


def _smallest(error: Callable[[float], float], about: float) -> tuple[float, float]:
    """Where an error is smallest, from a tenth to ten times a value: a coarse search, then a finer one."""
    factors = np.geomspace(0.1, 10, 41)
    errors = [error(about * factor) for factor in factors]
    k = int(np.nanargmin(errors))
    low, high = factors[max(k - 1, 0)], factors[min(k + 1, len(factors) - 1)]
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(40):
        a, b = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, b) if error(about * a) < error(about * b) else (a, high)
    best = about * (low + high) / 2
    return best, error(best)


# --- equations --------------------------------------------------------------------------------------


def _nonrigid(rows: Sequence[Row], samples: Sequence[Sample]) -> Iterator[tuple[Row, Sample]]:
    return (pair for pair in zip(rows, samples, strict=False) if len(pair[0].recorded) > RIGID)


def _hessian(operation: str, rows: Sequence[Row], _: Reference, samples: Sequence[Sample]) -> Iterator[Mistake]:
    found = next(_nonrigid(rows, samples), None)
    if found is None:
        return
    row, (_out, given) = found
    v = _Given(given)
    data, prior = np.diagonal(data_term(v)), prior_term(v)
    told = np.diagonal(row.recorded)
    factor = float(np.median(told[:RIGID] / data[:RIGID]))
    of_prior = float(np.median((told[RIGID:] - factor * data[RIGID:]) / prior))
    text = f"the Hessian is {_terms(factor, 'JᵀWJ', of_prior)}"

    def changed(v: Inputs) -> Array:
        result = factor * data_term(v)
        if not v.rigid:
            np.einsum("ii->i", result)[RIGID:] += of_prior * prior_term(v)
        return result

    yield Mistake("terms_scaled", operation, text, changed)


def _gradient(operation: str, rows: Sequence[Row], _: Reference, samples: Sequence[Sample]) -> Iterator[Mistake]:
    pairs = _nonrigid(rows, samples)
    found = next((p for p in pairs if np.abs(p[1][1]["params_before"][RIGID:]).max() > 1e-6), None)
    if found is None:
        return
    row, (out, given) = found
    pull = prior_term(_Given(given)) * given["params_before"][RIGID:]
    told, right = row.recorded, out
    factor = float(np.median(told[:RIGID] / right[:RIGID]))
    some = np.abs(pull) > 1e-9
    of_prior = float(np.median(((factor * (right[RIGID:] + pull) - told[RIGID:]) / pull)[some]))
    text = f"the gradient is {_terms(factor, 'JᵀWv', -of_prior)}"

    def changed(v: Inputs) -> Array:
        result = factor * v.out
        if not v.rigid:
            result[RIGID:] += (factor - of_prior) * prior_term(v) * v.params_before[RIGID:]
        return np.asarray(result)

    yield Mistake("terms_scaled", operation, text, changed)


def _terms(factor: float, data: str, of_prior: float) -> str:
    """The sum of two terms in words."""
    first = data if math.isclose(factor, 1, rel_tol=1e-6) else f"{data} times {factor_text(factor)}"
    sign = "plus" if of_prior >= 0 else "minus"
    size = abs(of_prior)
    second = "the prior" if math.isclose(size, 1, rel_tol=1e-6) else f"the prior times {factor_text(size)}"
    return f"{first} {sign} {second}"


class _Given(Inputs):
    """The values that an operation reads at one row."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__(given.__getitem__, lambda: None, {})


def _delta(operation: str, rows: Sequence[Row], _: Reference, samples: Sequence[Sample]) -> Iterator[Mistake]:
    """A damping of any size, added to the diagonal or multiplied with it."""
    out, given = samples[0]
    hessian, told = given["hessian"], rows[0].recorded
    left = given["gradient"] - hessian @ told
    size = len(out)
    for name, weights in (("is added to the diagonal of", np.ones(size)), ("times is added", np.diagonal(hessian))):
        term = weights * told
        damping = float(left @ term / (term @ term))
        if damping and np.linalg.norm(left - damping * term) < 1e-3 * np.linalg.norm(left):
            added = name.startswith("is")
            text = (
                f"{factor_text(damping)} is added to the diagonal of the Hessian"
                if added
                else f"the diagonal of the Hessian is multiplied by {factor_text(1 + damping)}"
            )

            def damped(v: Inputs, by: float = damping, added: bool = added) -> Array:
                more = np.full(len(v.gradient), by) if added else by * np.diagonal(v.hessian)
                return np.linalg.solve(v.hessian + np.diag(more), v.gradient)

            yield Mistake("damped", operation, text, damped)

    previous = rows[0].moment.before
    told_before = None if previous is None else previous.delta
    if told_before is not None and told_before.shape == told.shape and told_before.any():
        share = float((told - out) @ told_before / (told_before @ told_before))
        text = f"the update has {factor_text(share)} of the one before added to it"
        yield Mistake("momentum", operation, text, lambda v: v.out + share * _before(v))


def _before(v: Inputs) -> Any:
    before = None if v.moment.before is None else v.moment.before.delta
    return before if before is not None and before.shape == v.out.shape else 0.0


# --- columns and parts ------------------------------------------------------------------------------

_NAMES = ("scale", "wx", "wy", "wz", "tx", "ty")


def _columns(operation: str, rows: Sequence[Row], _: Reference, samples: Sequence[Sample]) -> Iterator[Mistake]:
    """Columns that are others, or have factors: of the scale, of the modes' deviations, or constant ones."""
    row, (out, given) = next(_nonrigid(rows, samples), (rows[0], samples[0]))
    told = np.nan_to_num(row.recorded)
    scale, variances = float(given["params_before"][0]), given["pdm"].variances
    power = (out * out).sum(axis=0)
    overlap = out.T @ told / np.where(power > 0, power, 1)[:, None]
    left = np.linalg.norm(told[:, None, :] - out[:, :, None] * overlap[None], axis=0)
    sources: list[tuple[int, float, float, float]] = []
    for k in range(told.shape[1]):
        order = [k, *(j for j in range(out.shape[1]) if j != k)]
        least = NEAR * max(float(np.linalg.norm(told[:, k])), 1e-12)
        j = next((j for j in order if left[j, k] <= least), None)
        if j is None:
            return
        sources.append((j, *_factors(float(overlap[j, k]), scale, 1.0 if j < RIGID else float(variances[j - RIGID]))))
    text = _columns_text(sources)
    if not text:
        return

    def changed(v: Inputs) -> Array:
        size, variance = v.params_before[0], np.concatenate([np.ones(RIGID), v.pdm.variances])
        here = [source for source in sources if source[0] < v.out.shape[1]][: v.out.shape[1]]
        return np.stack(
            [c * size**of_scale * variance[j] ** of_variance * v.out[:, j] for j, c, of_scale, of_variance in here],
            axis=1,
        )

    yield Mistake("columns_changed", operation, f"of the Jacobian, {text}", changed)


def _factors(factor: float, scale: float, variance: float) -> tuple[float, float, float]:
    """A factor as a constant, a power of the scale and one of a variance: the simplest that it can be."""
    for of_scale, of_variance in ((0, 0), (-1, 0), (1, 0), (0, 0.5), (0, 1), (0, -0.5), (0, -1), (-1, 0.5), (1, 0.5)):
        rest = factor / (scale**of_scale * variance**of_variance)
        if math.isclose(abs(rest), 1, rel_tol=1e-4):
            return math.copysign(1.0, rest), of_scale, of_variance
    return factor, 0, 0


def _columns_text(sources: Sequence[tuple[int, float, float, float]]) -> str:
    parts: dict[str, list[str]] = {}
    for k, (j, constant, of_scale, of_variance) in enumerate(sources):
        words = [f"{factor_text(constant)}"] if constant != 1 else []
        words += {-1: ["one over the scale"], 1: ["the scale"]}.get(int(of_scale), [])
        words += [{0.5: "the deviation", 1: "the variance", -0.5: "one over the deviation"}.get(
            of_variance, "one over the variance")] if of_variance else []  # fmt: skip
        own = _NAMES[k] if k < RIGID else "the modes"
        source = _NAMES[j] if j < RIGID else own if j == k else f"mode {j - RIGID + 1}"
        if j == k and not words:
            continue
        said = (f"that of {source}" if j != k else "") + (" times " if words else "") + " times ".join(words)
        told = parts.setdefault(said.strip(), [])
        if own not in told:
            told.append(own)
    if len(parts) > len(_NAMES):
        return ""
    return "; ".join(f"{', '.join(names)} {said}" for said, names in parts.items())


_PARTS = (("scale", slice(0, 1)), ("translation", slice(4, 6)), ("modes", slice(RIGID, None)))


def _update(operation: str, rows: Sequence[Row], _: Reference, samples: Sequence[Sample]) -> Iterator[Mistake]:
    """One part of the parameters that is a multiple of what it was plus one of its step."""
    for name, place in _PARTS:
        steps = [given["delta"][place] for _, given in samples]
        before = [given["params_before"][place][: len(step)] for (_, given), step in zip(samples, steps, strict=True)]
        target = np.concatenate([row.recorded[place][: len(s)] for row, s in zip(rows, steps, strict=False)])
        design = np.column_stack([np.concatenate(before), np.concatenate(steps)])
        if len(target) < 3:
            continue
        (old, new), *_rest = np.linalg.lstsq(design, target, rcond=None)
        left = np.linalg.norm(design @ (old, new) - target)
        if left <= NEAR * np.linalg.norm(target) and not np.allclose([old, new], 1, rtol=1e-6):
            text = f"the {name} becomes {factor_text(old)} times itself plus {factor_text(new)} times its step"
            yield Mistake(f"{name}_combined", operation, text, _combined(place, old, new))


def _combined(place: slice, old: float, new: float) -> Hypothesis:
    def combined(v: Inputs) -> Floats:
        step = v.delta[place]
        result: Floats = v.out.copy()
        result[place][: len(step)] = old * v.params_before[place][: len(step)] + new * step
        return result

    return combined


_SPECIAL: dict[str, Callable[[str, Sequence[Row], Reference, Sequence[Sample]], Iterator[Mistake]]] = {
    "kernel_sum": _kernel,
    "mean_shift": _kernel,
    "hessian": _hessian,
    "gradient": _gradient,
    "delta": _delta,
    "jacobian": _columns,
    "update": _update,
}
