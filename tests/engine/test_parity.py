"""Parity with the C++ program on every trace in the shared folder's ``golden`` (its README names the arrays).

The C++ keeps maps, shifts, Jacobian and Hessian in float32. So every piece is compared on its own, given the inputs
the C++ had there, and the whole fit is compared end to end where float32 cannot add up: landmarks, parameters,
counts and likelihoods.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from clnf_engine import FitOptions, Model, Phase, ResponseMaps, Step, Trace, fit, initial_from_box
from clnf_engine.experts import FLAT_STD, MIN_ALPHA, correlate, neuron_outputs
from clnf_engine.initial import Initial
from clnf_engine.mean_shift import LIKELIHOOD_FLOOR, map_positions
from clnf_engine.moments import iterate, response_maps
from clnf_engine.operations import Functions
from clnf_engine.pdm import landmarks
from clnf_engine.response import shift_to_positive
from clnf_engine.sigma import sigma_matrices, sigma_transform
from clnf_engine.steps import Stage

SHARED = Path(os.environ.get("CLNF_SHARED") or Path(__file__).resolve().parents[2].parent / "shared")
GOLDENS = sorted((SHARED / "golden").glob("*.npz"))
DETAILED_LANDMARKS = (30, 36, 48)
if not GOLDENS:
    pytest.skip(f"{SHARED / 'golden'} holds no traces", allow_module_level=True)

BOUNDARY = 1e-4
"""Cells: a position this close to the middle between two table entries may round to either in float32."""


class Golden:
    """One trace of the C++ program; ``golden("s0/", "area")`` is the array ``s0/area``."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as archive:
            self._arrays = {name: archive[name] for name in archive.files}

    def __call__(self, *names: str) -> np.ndarray:
        return self._arrays["".join(names)]

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def params(self, prefix: str, which: str, row: Any = ()) -> np.ndarray:
        """``prefix + "global_" + which`` and its local companion as one vector."""
        both = (self(prefix, f"global_{which}")[row], self(prefix, f"local_{which}")[row])
        return np.concatenate(both).astype(np.float64)

    def stage_params(self, prefix: str, when: str) -> np.ndarray:
        return np.concatenate([self(prefix, f"{when}_global"), self(prefix, f"{when}_local")]).astype(np.float64)

    @property
    def options(self) -> FitOptions:
        return FitOptions(
            windows=tuple(int(w) for w in self("settings/window_sizes")),
            max_iterations=int(self("settings/num_optimisation_iteration")),
            sigma=float(self("settings/sigma")),
            reg_factor=float(self("settings/reg_factor")),
            weight_factor=float(self("settings/weight_factor")),
        )

    def initial(self, model: Model) -> Initial:
        return initial_from_box(model, tuple(self("bbox").tolist()), tuple(self("init_rotation").tolist()))

    def stage(self, prefix: str) -> Stage:
        return Stage(
            index=int(self(prefix, "scale_index")),
            scale=float(self(prefix, "patch_scaling")),
            window=int(self(prefix, "window_size")),
            view=int(self(prefix, "view_id")),
            sigma=float(self(prefix, "sigma")),
            reg_factor=float(self(prefix, "reg_factor")),
            weight_factor=float(self(prefix, "weight_factor")),
            skipped="",
            patch_scale=int(self(prefix, "scale_index")),
            sigma_transform=True,
        )

    def maps(self, prefix: str) -> ResponseMaps:
        """The stage's response maps as the C++ computed them."""
        final = self(prefix, "resp_final").astype(np.float64)
        none = np.zeros((final.shape[0], 0, *final.shape[1:]))
        return ResponseMaps(
            base_shape=self(prefix, "base_shape"),
            reference_shape=self(prefix, "reference_shape"),
            image_to_reference=self(prefix, "sim_img_to_ref"),
            reference_to_image=self(prefix, "sim_ref_to_img").astype(np.float64),
            visible=self(prefix, "visibility") != 0,
            area=self(prefix, "area"),
            neuron_ncc=none,
            neuron_output=none,
            raw=self(prefix, "resp_raw").astype(np.float64),
            after_sigma=self(prefix, "resp_sigma").astype(np.float64),
            shifted=final,
            final=final,
        )


@cache
def load(path: Path) -> Golden:
    return Golden(path)


def _stages() -> Iterator[Any]:
    for path in GOLDENS:
        with np.load(path) as archive:
            prefixes = sorted({name.split("/")[0] for name in archive.files if name.endswith("/skipped")})
            for prefix in prefixes:
                if not archive[f"{prefix}/skipped"]:
                    yield pytest.param(path, f"{prefix}/", id=f"{path.stem}-{prefix}")


def _phases() -> Iterator[Any]:
    for stage in _stages():
        for phase in (Phase.RIGID, Phase.NONRIGID):
            yield pytest.param(*stage.values, phase, id=f"{stage.id}-{phase}")


def each_case(function: Any) -> Any:
    return pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in GOLDENS])(function)


def each_stage(function: Any) -> Any:
    return pytest.mark.parametrize(("path", "prefix"), list(_stages()))(function)


def each_phase(function: Any) -> Any:
    return pytest.mark.parametrize(("path", "prefix", "phase"), list(_phases()))(function)


@pytest.fixture(scope="module")
def live(openface_model: Model) -> Any:
    """The engine's own fit of a golden, from its image, box, rotation and settings alone."""

    @cache
    def run(path: Path) -> Trace:
        golden = load(path)
        return fit(golden("gray"), openface_model, golden.initial(openface_model), golden.options)

    return run


def of_stage(trace: Trace, prefix: str, phase: Phase) -> list[Step]:
    index = int(prefix[1:-1])
    return [step for step in trace.steps if step.phase is phase and step.stage and step.stage.index == index]


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference, as a fraction of the largest value of each map (or vector)."""
    ours, theirs = np.atleast_2d(ours).astype(np.float64), np.atleast_2d(theirs).astype(np.float64)
    axes = tuple(range(1, ours.ndim))
    return float((np.abs(ours - theirs).max(axis=axes) / np.abs(theirs).max(axis=axes)).max())


@each_case
def test_initial_parameters(path: Path, openface_model: Model) -> None:
    golden = load(path)
    params = golden.initial(openface_model).params
    np.testing.assert_allclose(params, golden.stage_params("", "init"), rtol=0, atol=1e-9)
    np.testing.assert_allclose(landmarks(openface_model.pdm, params), golden("init_shape"), rtol=0, atol=1e-9)


@each_case
def test_final_landmarks_end_to_end(path: Path, live: Any) -> None:
    golden, trace = load(path), live(path)
    assert np.linalg.norm(trace.landmarks - golden("final_shape"), axis=1).max() <= 1e-3
    np.testing.assert_allclose(trace.params_global, golden("final_global"), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(trace.params_local, golden("final_local"), rtol=1e-4, atol=1e-4)
    assert trace.success == bool(golden("fit_success"))
    assert trace.likelihood == pytest.approx(float(golden("final_model_likelihood")), abs=1e-5)


@each_case
def test_final_landmarks_in_float32(path: Path, openface_model: Model) -> None:
    golden = load(path)
    options = golden.options.with_text(["precision=float32"])
    trace = fit(golden("gray"), openface_model, golden.initial(openface_model), options)
    assert np.linalg.norm(trace.landmarks - golden("final_shape"), axis=1).max() <= 0.05


@each_case
def test_schedule(path: Path, live: Any) -> None:
    """The stages, which of them are skipped, their views and adapted options, and the iteration counts."""
    golden, trace = load(path), live(path)
    summaries = trace.stages
    assert len(summaries) == sum(f"s{k}/skipped" in golden for k in range(10))
    for summary in summaries:
        prefix = f"s{summary.stage.index}/"
        assert bool(summary.stage.skipped) == bool(golden(prefix, "skipped"))
        assert summary.stage.scale == float(golden(prefix, "patch_scaling"))
        assert summary.stage.window == int(golden(prefix, "window_size"))
        if summary.stage.skipped:
            assert (summary.rigid_iterations, summary.nonrigid_iterations) == (0, 0)
            continue
        assert summary.stage.view == int(golden(prefix, "view_id")) == int(golden(prefix, "nurlms_view_id"))
        for name in ("sigma", "reg_factor", "weight_factor"):
            expected = float(golden(prefix, name))
            assert getattr(summary.stage, name) == pytest.approx(expected, rel=1e-6, abs=1e-12)
        assert summary.rigid_iterations == int(golden(prefix, "rigid/n_iter"))
        assert summary.nonrigid_iterations == int(golden(prefix, "nonrigid/n_iter"))


@each_stage
def test_live_stage_boundaries(path: Path, prefix: str, live: Any) -> None:
    golden, trace = load(path), live(path)
    (responses,) = of_stage(trace, prefix, Phase.RESPONSES)
    np.testing.assert_allclose(responses.params, golden.stage_params(prefix, "init"), rtol=1e-4, atol=1e-4)
    assert np.abs(responses.landmarks - golden(prefix, "base_shape")).max() <= 1e-3
    end = of_stage(trace, prefix, Phase.NONRIGID)[-1]
    np.testing.assert_allclose(end.params, golden.stage_params(prefix, "end"), rtol=1e-4, atol=1e-4)
    assert np.abs(end.landmarks - golden(prefix, "end_shape")).max() <= 1e-3
    assert end.likelihood == pytest.approx(float(golden(prefix, "model_likelihood")), abs=1e-5)


@each_phase
def test_live_iterations(path: Path, prefix: str, phase: Phase, live: Any) -> None:
    golden, steps = load(path), of_stage(live(path), prefix, phase)
    inner = f"{prefix}{phase}/"
    for k, step in enumerate(steps):
        assert step.iteration == k + 1
        np.testing.assert_allclose(step.params, golden.params(inner, "after", k), rtol=1e-4, atol=1e-4)
    changes = golden(inner, "conv_norms")
    np.testing.assert_allclose([s.shape_change for s in steps[: len(changes)]], changes, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(steps[-1].params, golden.stage_params(inner, "end"), rtol=1e-4, atol=1e-4)
    assert steps[-1].likelihood == pytest.approx(float(golden(inner, "loglhood")), abs=1e-5)


# From here on, every piece gets what the C++ had as its input.


@each_stage
def test_experts_as_read(path: Path, prefix: str, openface_model: Model) -> None:
    golden, stage = load(path), load(path).stage(prefix)
    scale = openface_model.scales[stage.index]
    experts = scale.views[stage.view]
    visible = golden(prefix, "visibility") != 0
    np.testing.assert_array_equal(experts.visible, visible)
    np.testing.assert_allclose(scale.view_centres[stage.view], golden(prefix, "view_center"), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(experts.neurons[visible], golden(prefix, "num_neurons")[visible])
    np.testing.assert_array_equal(experts.patch_confidence[visible], golden(prefix, "patch_confidence")[visible])
    np.testing.assert_allclose(experts.sum_alphas[visible], golden(prefix, "sum_alphas")[visible], rtol=1e-6)
    if stage.window in scale.sigma_components:
        np.testing.assert_array_equal(experts.betas[visible], golden(prefix, "betas")[visible])
    for i in DETAILED_LANDMARKS:
        if visible[i]:
            for name in ("alpha", "norm_weights", "bias"):
                values = getattr(experts, name)[i, : experts.neurons[i]]
                np.testing.assert_array_equal(values, golden(prefix, f"neuron_{name}_lm{i}"))


@each_stage
def test_nearest_view(path: Path, prefix: str, openface_model: Model) -> None:
    golden, stage = load(path), load(path).stage(prefix)
    assert openface_model.scales[stage.index].nearest_view(golden(prefix, "init_global")[1:4]) == stage.view


@each_stage
def test_responses(path: Path, prefix: str, openface_model: Model) -> None:
    """From the parameters of the stage's start to its final maps, in one go."""
    golden, stage = load(path), load(path).stage(prefix)
    maps = response_maps(
        golden("gray"),
        openface_model,
        Functions(golden.options),
        stage,
        golden.stage_params(prefix, "init"),
    )
    for ours, name in (
        (maps.base_shape, "base_shape"),
        (maps.base_shape, "landmark_locations"),
        (maps.reference_shape, "reference_shape"),
        (maps.image_to_reference, "sim_img_to_ref"),
        (np.linalg.inv(maps.image_to_reference), "sim_ref_to_img_d"),
    ):
        np.testing.assert_allclose(ours, golden(prefix, name), rtol=0, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(maps.reference_to_image, golden(prefix, "sim_ref_to_img"), rtol=1e-7, atol=1e-9)
    assert np.abs(maps.area - golden(prefix, "area")).max() <= 0.02
    usable = comparable(golden(prefix, "area"), maps.visible, golden("gray"))
    for ours, name in ((maps.raw, "resp_raw"), (maps.after_sigma, "resp_sigma"), (maps.final, "resp_final")):
        assert relative(ours[usable], golden(prefix, name)[usable]) <= 1e-5, name
    for ours in (maps.area, maps.raw, maps.after_sigma, maps.final):
        assert not ours[~maps.visible].any()


def comparable(area: np.ndarray, visible: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Landmarks without a flat patch: there the C++ leaves rounding noise, by the stated rule not compared."""
    spread = sliding_window_view(area, (11, 11), axis=(1, 2)).std(axis=(3, 4), dtype=np.float64).min(axis=(1, 2))
    usable = visible & (spread > 2 * FLAT_STD)
    if image.std() > 10:
        assert usable.sum() > len(usable) / 2, "too little left to compare"
    return usable


@each_stage
def test_neurons(path: Path, prefix: str, openface_model: Model) -> None:
    golden, stage = load(path), load(path).stage(prefix)
    experts = openface_model.scales[stage.index].views[stage.view]
    usable = comparable(golden(prefix, "area"), experts.visible, golden("gray"))
    ncc = correlate(golden(prefix, "area"), experts)
    outputs = neuron_outputs(ncc, experts)
    assert relative(outputs.sum(axis=1)[usable], golden(prefix, "resp_raw")[usable]) <= 1e-5
    for i in DETAILED_LANDMARKS:
        if usable[i]:
            idx = golden(prefix, f"neuron_idx_lm{i}")
            np.testing.assert_allclose(ncc[i, idx], golden(prefix, f"neuron_ncc_lm{i}"), rtol=0, atol=1e-6)
            theirs = golden(prefix, f"neuron_out_lm{i}")
            assert np.abs(outputs[i, idx] - theirs).max() <= 1e-5 * np.abs(golden(prefix, "resp_raw")[i]).max()
            silent = np.setdiff1d(np.arange(experts.neurons[i]), idx)
            assert (experts.alpha[i, silent] <= MIN_ALPHA).all() and not outputs[i, silent].any()


@each_stage
def test_sigma(path: Path, prefix: str, openface_model: Model) -> None:
    golden, stage = load(path), load(path).stage(prefix)
    scale = openface_model.scales[stage.index]
    visible = golden(prefix, "visibility") != 0
    transformed = sigma_transform(golden(prefix, "resp_raw").astype(np.float64), scale, stage.view)
    assert relative(transformed[visible], golden(prefix, "resp_sigma")[visible]) <= 1e-5
    sigma = sigma_matrices(scale, stage.view, stage.window)
    if sigma is None:  # no components for this window: diagonal
        sigma = np.eye(stage.window**2) / (2 * scale.views[stage.view].sum_alphas[:, None, None])
    means = sigma.diagonal(axis1=1, axis2=2).mean(axis=1)
    np.testing.assert_allclose(means[visible], golden(prefix, "Sigma_diag_mean")[visible], rtol=1e-5)
    for i in DETAILED_LANDMARKS:
        if visible[i]:
            theirs = golden(prefix, f"Sigma_lm{i}")
            assert np.abs(sigma[i] - theirs).max() <= 1e-5 * np.abs(theirs).max()


@each_stage
def test_shift_to_positive(path: Path, prefix: str) -> None:
    golden = load(path)
    ours = shift_to_positive(golden(prefix, "resp_sigma"))
    np.testing.assert_allclose(ours, golden(prefix, "resp_final"), rtol=1e-6, atol=1e-9)
    minima = golden(prefix, "resp_sigma").min(axis=(1, 2))
    visible = golden(prefix, "visibility") != 0
    np.testing.assert_allclose(minima[visible], golden(prefix, "resp_min")[visible], rtol=1e-6, atol=1e-12)


@each_phase
def test_iterations(path: Path, prefix: str, phase: Phase, openface_model: Model) -> None:
    """Every iteration from the C++'s own maps and parameters before it."""
    golden, stage, maps = load(path), load(path).stage(prefix), load(path).maps(prefix)
    inner = f"{prefix}{phase}/"
    at = range(int(golden(inner, "n_iter")))
    before = [Step(phase, golden.params(inner, "before", k), golden(inner, "shape_before")[k]) for k in at]
    steps = [iterate(openface_model, Functions(golden.options), stage, maps, before[k], phase, k + 1) for k in at]
    seen = maps.visible
    largest_delta = np.linalg.norm(golden(inner, "delta"), axis=1).max()
    tables_agree = 0
    for k, step in enumerate(steps):
        shift = step.mean_shift
        free = map_positions(before[k].landmarks, maps, np.float64)
        theirs = np.stack([golden(inner, "dxs")[k], golden(inner, "dys")[k]], axis=1)
        np.testing.assert_allclose(free, theirs, rtol=0, atol=1e-5)
        np.testing.assert_allclose(free - (stage.window - 1) / 2, golden(inner, "offsets")[k], rtol=0, atol=1e-5)
        np.testing.assert_allclose(shift.position[seen], golden(inner, "dxdy_clamped")[k][seen], rtol=0, atol=1e-5)
        agree = same_table_entry(shift.position, golden(inner, "kde_idx")[k], stage.window) | ~seen
        tables_agree += agree.sum()
        np.testing.assert_allclose(shift.kernel_sum[seen & agree], golden(inner, "kde_sum")[k][seen & agree], rtol=1e-5)
        for ours, name in ((shift.reference, "ms_ref"), (shift.image, "ms_img")):
            np.testing.assert_allclose(ours[agree], golden(inner, name)[k][agree], rtol=0, atol=1e-4)
        assert not shift.empty.any()
        np.testing.assert_allclose(np.tile(step.weights, 2), golden(inner, "W_diag"), rtol=1e-6)
        masked = golden(inner, "J_masked")[k]
        assert relative(step.jacobian, masked) <= 1e-6
        columns = np.abs(step.jacobian - masked).max(axis=0) / np.abs(masked).max(axis=0)
        assert columns.max() <= 1e-5
        assert relative(step.hessian.ravel(), golden(inner, "H")[k].ravel()) <= 1e-5
        if not agree.all():
            continue
        # The C++ sums J'Wv in float32: its error scales with the summands, not with what they cancel to.
        summands = np.abs(golden(inner, "J_w_t")[k]) @ np.abs(golden(inner, "ms_img")[k]).T.ravel()
        assert (np.abs(step.gradient - golden(inner, "rhs")[k]) <= 1e-5 * summands).all()
        # A last delta near convergence is as small as the float32 noise of the shifts that make it, so its
        # scale is the largest of the phase.
        error = np.linalg.norm(step.delta - golden(inner, "delta")[k])
        assert error <= 1e-4 * max(np.linalg.norm(golden(inner, "delta")[k]), 0.1 * largest_delta)
        np.testing.assert_allclose(step.params, golden.params(inner, "after", k), rtol=1e-5, atol=1e-4)
        held = golden.params(inner, "preclamp", k) != golden.params(inner, "after", k)
        np.testing.assert_array_equal(step.clamped, held)
    assert tables_agree >= 0.99 * len(steps) * len(seen)
    changes = golden(inner, "conv_norms")
    np.testing.assert_allclose([s.shape_change for s in steps[: len(changes)]], changes, rtol=1e-4, atol=1e-4)
    assert not any(step.converged for step in steps[:-1])
    assert steps[-1].converged or not golden(inner, "stopped_early")
    lhoods = steps[-1].likelihoods[seen] - LIKELIHOOD_FLOOR
    np.testing.assert_allclose(lhoods, golden(inner, "landmark_lhoods")[seen], rtol=1e-5)
    assert steps[-1].likelihood == pytest.approx(float(golden(inner, "loglhood")), abs=1e-5)
    data_term = (np.tile(steps[0].weights, 2)[:, None] * steps[0].jacobian ** 2).sum(axis=0)
    prior = np.diag(steps[0].hessian) - data_term
    tolerance = 1e-6 * golden(inner, "regTerm_diag") + 1e-12 * data_term
    assert (np.abs(prior - golden(inner, "regTerm_diag")) <= tolerance).all()


def same_table_entry(position: np.ndarray, kde_idx: np.ndarray, window: int) -> np.ndarray:
    """Whether the C++ rounded a position to the same table entry; if not, it must lie on the boundary."""
    tenths = position * 10 + 0.5
    ix, iy = np.floor(tenths).astype(int).T
    same = kde_idx == ix * 10 * window + iy
    off = np.abs(tenths - np.rint(tenths)).min(axis=1) / 10
    assert (same | (off < BOUNDARY) | (kde_idx < 0)).all(), "another table entry far from a rounding boundary"
    return same
