"""The compiled kernels: one arithmetic in every form, whatever compiles it, wherever it is kept."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clnf_engine import FitOptions, Kernel, Precision, fit, fit_many
from clnf_engine.arrays import read_only
from clnf_engine.errors import ClnfError
from clnf_engine.experts import neuron_outputs, sample_areas
from clnf_engine.kernels import compiling, shifts
from clnf_engine.kernels.compiling import CACHE_FOLDER, COMPILING
from clnf_engine.kernels.machine_code import MachineCode, link
from clnf_engine.model import PatchScale
from clnf_engine.operations import OPERATIONS, Function
from clnf_engine.sigma import sigma_matrices, sigma_transform

from .tiny_model import start, tiny_image, tiny_model

OF_A_STEP = (
    "landmarks",
    "params",
    "jacobian",
    "hessian",
    "gradient",
    "delta",
    "weights",
    "landmarks_before",
    "clamped",
)


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("kernel", Kernel)
def test_the_rows_one_by_one_give_the_bits_of_one_kernel_for_all(precision: Precision, kernel: Kernel) -> None:
    options = FitOptions(precision=precision, kernel=kernel, weight_factor=2.5)
    weights: Function = OPERATIONS["weights"].function
    whole = fit(tiny_image(), tiny_model(), start(), options)
    by_rows = fit(tiny_image(), tiny_model(), start(), options, replace={"weights": weights})
    assert len(whole.steps) == len(by_rows.steps) > 10
    for one, other in zip(whole.steps, by_rows.steps, strict=True):
        for name in OF_A_STEP:
            assert np.array_equal(getattr(one, name), getattr(other, name)), (one.place, name)
        if one.mean_shift is not None and other.mean_shift is not None:
            for name, value in vars(one.mean_shift).items():
                assert np.array_equal(value, getattr(other.mean_shift, name)), (one.place, name)
        assert (one.shape_change, one.update_norm, one.converged) == (
            other.shape_change,
            other.update_norm,
            other.converged,
        )


@pytest.mark.parametrize(
    "options",
    [
        FitOptions(),
        FitOptions(precision=Precision.FLOAT32, weight_factor=2.5),
        FitOptions(convergence_px=5.0),
        FitOptions(responses_every_iteration=True),
        FitOptions(euler_transposed=True),
    ],
    ids=str,
)
def test_many_fits_without_steps_end_where_a_fit_does(options: FitOptions) -> None:
    trace = fit(tiny_image(), tiny_model(), start(), options)
    (row,) = fit_many([tiny_image()], tiny_model(), [start()], options)
    iterations = [step for step in trace.steps if step.iteration is not None]
    assert np.array_equal(row.path, [*(step.landmarks for step in iterations), trace.landmarks])
    assert np.array_equal(row.params, trace.steps[-1].params)
    assert (row.update_norm, row.shape_change) == (iterations[-1].update_norm, iterations[-1].shape_change)
    assert (row.likelihood, row.success, row.message) == (trace.likelihood, trace.success, trace.message)


def test_options_can_be_given_for_each_of_many_fits() -> None:
    options = [FitOptions(sigma=1.0), FitOptions(sigma=2.0)]
    rows = fit_many([tiny_image()] * 2, tiny_model(), [start()] * 2, options)
    for row, chosen in zip(rows, options, strict=True):
        assert np.array_equal(row.landmarks, fit(tiny_image(), tiny_model(), start(), chosen).landmarks)


# --- the mathematics --------------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 4e-16), ("float32", 3e-7)])
def test_neurons_know_the_exponential_of_every_number(precision: str, tolerance: float) -> None:
    experts = tiny_model().scales[0].views[0]
    n, neurons = experts.alpha.shape
    ones = np.ones((n, neurons))
    logistic = replace(experts, norm_weights=ones, bias=0 * ones, alpha=0.5 * ones)
    exponents = np.concatenate([np.linspace(-800, 800, 1001), np.linspace(-2, 2, 1001), [1e30, -1e30, np.nan]])
    side = 45
    x = np.zeros((n, neurons, side, side), precision)
    x[:, :] = np.resize(exponents, (side, side))
    found = neuron_outputs(x, logistic)
    with np.errstate(over="ignore"):
        expected = 1 / (1 + np.exp(-x.astype(np.float64)))
    assert found.dtype == precision
    assert np.allclose(found, expected, rtol=0, atol=tolerance, equal_nan=True)
    assert (found[x < -720] == 0).all() and (found[x > 720] == 1).all()


@pytest.mark.parametrize("symmetric", [True, False])
def test_sigma_is_the_inverse_with_blocks_and_without(symmetric: bool) -> None:
    scale = tiny_model().scales[0]
    experts, window = scale.views[1], 7
    y, x = np.divmod(np.arange(window**2), window)
    distance = (y[:, None] - y) ** 2 + (x[:, None] - x) ** 2
    components = np.stack([np.exp(-distance / 4.0), 1.0 * (distance <= 2)]).astype(np.float32)
    if not symmetric:
        components[1] += np.diag(np.linspace(0, 1, window**2)).astype(np.float32)
    betas = np.linspace(0.1, 0.4, 2 * len(experts.visible)).reshape(-1, 2)
    views = (scale.views[0], replace(experts, betas=betas))
    changed = PatchScale(scale.patch_scaling, scale.view_centres_degrees, views, {window: components})
    raw = np.random.default_rng(1).random((len(experts.visible), window, window))
    transformed, matrices = sigma_transform(raw, changed, 1), sigma_matrices(changed, 1, window)
    assert matrices is not None
    for i in range(len(raw)):
        if not experts.visible[i]:
            assert not transformed[i].any() and not matrices[i].any()
            continue
        precision = experts.sum_alphas[i] * np.eye(window**2) + np.tensordot(betas[i], components.astype(float), 1)
        expected = np.linalg.inv(2 * precision)
        assert np.allclose(matrices[i], expected, rtol=1e-10, atol=1e-14)
        assert np.allclose(transformed[i].ravel(), expected @ raw[i].ravel(), rtol=1e-10, atol=1e-14)


def test_a_singular_sigma_is_one_clear_sentence() -> None:
    scale = tiny_model().scales[0]
    view = scale.views[0]
    flat = replace(view, alpha=0 * view.alpha, betas=np.ones((len(view.visible), 1)))
    singular = PatchScale(scale.patch_scaling, scale.view_centres_degrees, (flat,), {7: np.zeros((1, 49, 49), "f4")})
    with pytest.raises(ClnfError, match="window 7: the model's Sigma components give a singular matrix"):
        sigma_transform(np.ones((len(view.visible), 7, 7)), singular, 0)


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"image_shifts: found an array of shape \(4, 2\); expected \(3, 2\)"):
        shifts.image_shifts(np.zeros((3, 2)), np.eye(2), np.zeros((4, 2)))


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("dtype", ["float64", "float32", "int32"])
def test_what_a_kernel_reads_may_have_any_order_and_type(order: Any, dtype: str) -> None:
    shift, turn = np.arange(6.0).reshape(3, 2), np.arange(1.0, 5.0).reshape(2, 2)
    turned = np.empty((3, 2))
    shifts.image_shifts(np.array(shift, dtype, order=order), np.array(turn, dtype, order=order), turned)
    assert np.array_equal(turned, shift @ turn.T)


def test_what_a_kernel_fills_must_be_an_array_that_it_can_fill() -> None:
    turned = np.empty((3, 2))
    for unfit in (turned.astype(int), np.asfortranarray(turned), read_only(turned.copy()), turned[::-1]):
        with pytest.raises(TypeError, match="image_shifts: no writable, contiguous array of float64 to fill"):
            shifts.image_shifts(np.zeros((3, 2)), np.eye(2), unfit)


def test_a_function_in_the_place_of_an_operation_may_give_its_result_in_any_order() -> None:
    def normalise(shifted: np.ndarray) -> np.ndarray:
        return np.asfortranarray(shifted)

    trace = fit(tiny_image(), tiny_model(), start())
    other = fit(tiny_image(), tiny_model(), start(), replace={"normalise": normalise})
    assert np.array_equal(trace.landmarks, other.landmarks)


# --- compiling and keeping --------------------------------------------------------------------------

_SMALL = """
import sys
import numpy as np
from clnf_engine.kernels import compiling, shifts
table = np.empty((1, 2, 3))
shifts.gaussians(np.ones(1), 1.0, table)
assert abs(table[0, 0, 2] - np.exp(-0.5)) < 1e-15
print("numba" in sys.modules)
"""


def _python(code: str, cache: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, CACHE_FOLDER: str(cache), **environment}
    words = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


def test_a_kernel_is_compiled_once_and_linked_without_numba_thereafter(tmp_path: Path) -> None:
    first, second = _python(_SMALL, tmp_path), _python(_SMALL, tmp_path)
    assert (first.returncode, first.stdout, first.stderr) == (0, "True\n", f"{COMPILING}\n")
    assert (second.returncode, second.stdout, second.stderr) == (0, "False\n", "")


@pytest.mark.parametrize("damage", [b"", b"not a kernel", None])
def test_a_damaged_kernel_is_compiled_anew_and_replaced(tmp_path: Path, damage: bytes | None) -> None:
    _python(_SMALL, tmp_path)
    (kept,) = _kept(tmp_path)
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if damage is None else damage)
    damaged, after = _python(_SMALL, tmp_path), _python(_SMALL, tmp_path)
    assert (damaged.returncode, damaged.stderr) == (0, f"{COMPILING}\n")
    assert (after.returncode, after.stdout, after.stderr) == (0, "False\n", "")


def test_a_kernel_that_needs_what_this_numba_does_not_have_is_not_linked(tmp_path: Path) -> None:
    _python(_SMALL, tmp_path)
    (kept,) = _kept(tmp_path)
    code = MachineCode.read(kept)
    with pytest.raises(ClnfError, match="needs nobody_has_this"):
        link(replace(code, needs=(*code.needs, "nobody_has_this")), "gaussians")


def test_a_cache_that_can_only_be_read_is_read(tmp_path: Path) -> None:
    _python(_SMALL, tmp_path)
    folders = [tmp_path, *(folder for folder in tmp_path.rglob("*") if folder.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    told = _python(_SMALL, tmp_path)
    for folder in folders:
        folder.chmod(0o755)
    assert (told.returncode, told.stdout, told.stderr) == (0, "False\n", "")


def test_processes_compile_at_once_and_leave_one_cache(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as at_once:
        for told in at_once.map(lambda _: _python(_SMALL, tmp_path), range(2)):
            assert told.returncode == 0 and told.stderr in (f"{COMPILING}\n", ""), told.stderr
    after = _python(_SMALL, tmp_path)
    assert (after.returncode, after.stderr) == (0, "")
    assert [kept.name for kept in _kept(tmp_path)] == ["clnf_engine.kernels.shifts.gaussians"]


def _kept(cache: Path) -> list[Path]:
    return [kept for kept in cache.rglob("*") if kept.is_file()]


def test_on_a_full_disk_kernels_are_compiled_and_not_kept(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="only POSIX limits how much a process may write")
    full = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    told = _python(full + _SMALL, tmp_path)
    assert told.returncode == 0, told.stderr
    assert told.stderr.count("compiled kernels cannot be kept") == 1
    assert not _kept(tmp_path)


def test_what_other_versions_left_in_the_cache_goes_after_a_month(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, recent, foreign = tmp_path / "0123456789abcdef", tmp_path / "fedcba9876543210", tmp_path / "of somebody else"
    for folder in (old, recent, foreign):
        (folder / "float64").mkdir(parents=True)
    long_ago = time.time() - 31 * 86400
    os.utime(old, (long_ago, long_ago))
    os.utime(foreign, (long_ago, long_ago))
    monkeypatch.setenv(CACHE_FOLDER, str(tmp_path))
    compiling._cache_folder.__wrapped__()
    assert not old.exists() and recent.is_dir() and foreign.is_dir()


def test_where_nothing_can_be_kept_that_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told = _python(_SMALL, tmp_path / "file" / "below")
    assert told.returncode == 0
    assert told.stderr.count("compiled kernels cannot be kept") == 1


def test_without_compiling_the_same_functions_run_as_python(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from engine.tiny_model import start, tiny_image, tiny_model\n"
        "from clnf_engine import FitOptions, fit\n"
        "trace = fit(tiny_image(), tiny_model(), start(), FitOptions(windows=(3, 0), max_iterations=1))\n"
        "assert 'numba' not in sys.modules\n"
        "print(trace.landmarks.tobytes().hex())\n"
    )
    tests = str(Path(__file__).parents[1])
    path = os.pathsep.join([str(Path(__file__).parents[2]), tests])
    ran = _python(code, tmp_path, NUMBA_DISABLE_JIT="1", PYTHONPATH=path)
    assert ran.returncode == 0, ran.stderr
    slow = np.frombuffer(bytes.fromhex(ran.stdout)).reshape(-1, 2)
    trace = fit(tiny_image(), tiny_model(), start(), FitOptions(windows=(3, 0), max_iterations=1))
    assert np.allclose(slow, trace.landmarks, rtol=0, atol=1e-9)


@pytest.mark.parametrize("wild", [np.nan, np.inf, -np.inf, 1e300, -1e300])
def test_no_number_leads_out_of_an_array(wild: float) -> None:
    image = tiny_image()
    centres = np.array([[wild, 5.0], [5.0, wild], [wild, wild]])
    for reference_to_image in (np.eye(2), np.full((2, 2), wild)):
        areas = sample_areas(image, centres, reference_to_image, (21, 21))
        read = areas[np.isfinite(areas)]
        assert read.size == (0 if not np.isfinite(wild) else areas.size)
        assert ((image.min() <= read) & (read <= image.max())).all()
