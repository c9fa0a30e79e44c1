"""Which kernels a fit calls, so that they can be compiled before one waits for them."""

from collections.abc import Callable

from clnf_engine.arrays import DType
from clnf_engine.kernels import iteration, responses, shape, shifts

OF_A_FIT = (
    shape.landmarks,
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
)
"""The kernels of a fit with OpenFace's options, in the order it calls them."""


def make_ready(precision: DType, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Compile `OF_A_FIT`, or read it from the cache, which takes a few hundredths of a second.

    Parameters
    ----------
    precision : dtype
        float64 or float32.
    progress : callable
        Told after every kernel how many of how many are ready.
    """
    for done, each in enumerate(OF_A_FIT, start=1):
        each.compiled(precision)
        progress(done, len(OF_A_FIT))
