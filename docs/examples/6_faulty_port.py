"""
Which operation of a port is wrong?
===================================

A run in which two operations are not OpenFace's, as of a port with two mistakes, is put to the check: each operation
is computed again from what the run itself had as its inputs.
"""

import matplotlib.pyplot as plt
import numpy as np

from clnf_engine import fit, initials_from_detector, load_model, sample
from clnf_engine.checking.check import check_trace

model, gray = load_model(), sample("portrait").gray
start = initials_from_detector(model, gray)[0]


def position(landmarks, base_shape, image_to_reference, window):
    """Where landmarks stand in their maps; the port forgets to turn the offset."""
    return np.clip(landmarks - base_shape + (window - 1) / 2, 0, window - 0.1)


def gradient(jacobian, weights, mean_shift):
    """The right-hand side of the step; the port leaves the shape prior out."""
    return jacobian.T @ (np.tile(weights, 2) * mean_shift.T.ravel())


port = fit(gray, model, start, replace={"position": position, "gradient": gradient})
found = check_trace(port, model)
print(found.verdict.replace(". ", ".\n"))

# %%
# Everything that happens after the first mistake differs from a right run. But given its own inputs, only two
# operations are wrong.

right = fit(gray, model, start)
recorded = [operation for operation in found.operations if operation.error is not None]
apart = [
    max(np.linalg.norm(a.landmarks - b.landmarks, axis=1).max(), 1e-16)
    for a, b in zip(port.steps, right.steps, strict=False)
]

figure, (left, axes) = plt.subplots(1, 2, figsize=(11, 5.5), layout="constrained")
left.plot(apart, color="#d55e00")
left.set(xlabel="step", ylabel="farthest landmark of the port from the engine's, px")
colours = ["#d55e00" if operation.wrong else "#0072b2" for operation in recorded]
errors = [max(operation.error, 1e-18) for operation in recorded]
axes.barh([operation.name for operation in recorded], errors, color=colours, log=True)
axes.axvline(1e-4, color="grey", linewidth=0.8)
axes.set(xlabel="largest error, in the unit of each operation (right of the line: wrong)")
axes.invert_yaxis()
plt.show()
