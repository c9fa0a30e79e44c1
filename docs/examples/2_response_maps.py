"""
What a landmark sees
====================

The response map of the chin at each stage: as the patch expert gives it, after Sigma, and what the mean-shift
makes of it.
"""

import matplotlib.pyplot as plt

from clnf_engine import Phase, fit, initials_from_detector, load_model, sample

model, gray = load_model(), sample("portrait").gray
trace = fit(gray, model, initials_from_detector(model, gray)[0])
chin = 8

# %%
# The first non-rigid iteration of each stage. All steps of a stage share its maps; where the landmark stands in its
# map, and where the mean-shift takes it, belong to the step.

steps = [step for step in trace.steps if step.phase is Phase.NONRIGID and step.iteration == 1]

figure, axes = plt.subplots(len(steps), 4, figsize=(9, 7), layout="constrained")
for row, step in zip(axes, steps, strict=True):
    maps, shift = step.responses, step.mean_shift
    pictures = {
        "area of interest": maps.area[chin],
        "raw": maps.raw[chin],
        "after Sigma": maps.after_sigma[chin],
        "final, and the mean-shift": maps.final[chin],
    }
    for axis, (title, picture) in zip(row, pictures.items(), strict=True):
        axis.imshow(picture, cmap="gray" if title.startswith("area") else "viridis")
        axis.set(xticks=[], yticks=[])
        if row is axes[0]:
            axis.set_title(title, fontsize=10)
    row[0].set_ylabel(f"patch scale {step.stage.scale:g}")
    at, to = shift.position[chin], shift.position[chin] + shift.reference[chin]
    row[3].annotate("", to, at, arrowprops={"arrowstyle": "->", "color": "#ff2e88", "lw": 2})
    row[3].plot(*at, "o", color="white", markersize=5)
plt.show()
