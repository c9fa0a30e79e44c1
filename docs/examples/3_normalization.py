"""
Does normalization matter?
==========================

A constant factor on a response map cancels in its mean-shift; subtracting something does not. So dividing every map
by its peak or its sum changes nothing, and stretching it between its minimum and maximum does.
"""

import matplotlib.pyplot as plt
import numpy as np

from clnf_engine import FitOptions, Normalization, fit, initials_from_detector, load_model, sample

model, gray = load_model(), sample("portrait").gray
start = initials_from_detector(model, gray)[0]
reference = fit(gray, model, start)


def distances(options: FitOptions) -> list[float]:
    """Largest distance of a landmark from where it is without normalization, px."""
    pairs = zip(fit(gray, model, start, options).steps, reference.steps, strict=True)
    apart = [a.landmarks - b.landmarks for a, b in pairs if a.iteration]
    return [np.linalg.norm(difference, axis=1).max() for difference in apart]


# %%
# On a logarithmic axis, for differences of 1e-13 px and of 10 px do not go into one picture otherwise.

figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
others = [n for n in Normalization if n is not Normalization.NONE]
for normalization, style in zip(others, ("-", "-", "--", ":"), strict=True):
    apart = distances(FitOptions(normalization=normalization))
    axes.semilogy(np.maximum(apart, 1e-15), style, label=normalization.value, linewidth=2)
    print(f"{normalization.value:12} ends {apart[-1]:.2g} px away")
axes.axhline(1, color="grey", linewidth=0.8)
axes.set(xlabel="iteration, all stages", ylabel="farthest landmark, px")
axes.legend(title="normalization")
plt.show()
