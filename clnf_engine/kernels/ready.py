"""Which kernels a fit calls, so that they can be compiled before one waits for them."""

from collections.abc import Callable

from clnf_engine.arrays import DType
from clnf_engine.kernels import equations, iteration, responses, shape, shifts
from clnf_engine.kernels.compiling import Kernel

OF_A_FIT = (
    shape.landmarks,
    responses.similarity,
    responses.sample_areas,
    responses.correlate,
    responses.neuron_outputs,
    responses.add_neurons,
    responses.folded_sigma,
    responses.shift_to_positive,
    shifts.gaussians,
    iteration.iterate,
    shifts.free_positions,
    shifts.likelihoods,
    shape.rotation_matrix,
    shape.euler_angles,
    shape.unposed_shape,
    shifts.kernels_at,
)
"""The kernels of a fit with OpenFace's options, in the order it calls them; then what placing and showing it needs."""

OF_ROWS = (
    shape.jacobian,
    shape.update,
    shape.clamp,
    shifts.hold_in_map,
    shifts.kernel_sums,
    shifts.shifts,
    shifts.image_shifts,
    equations.hessian,
    equations.gradient,
    equations.solve,
    iteration.shape_change,
    iteration.update_norm,
    responses.dense_sigma,
)
"""The others, for a table of operations with another function in it, for checks, diagnostics and starts."""


def make_ready(
    precision: DType,
    kernels: tuple[Kernel, ...] = OF_A_FIT,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Compile kernels, or read them from the cache, which takes a few hundredths of a second.

    Parameters
    ----------
    precision : dtype
        float64 or float32.
    kernels : tuple of Kernel
    progress : callable
        Told after every kernel how many of how many are ready.
    """
    for done, each in enumerate(kernels, start=1):
        each.compiled(precision)
        progress(done, len(kernels))
