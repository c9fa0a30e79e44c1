"""
How far off may a start be?
===========================

Start 150 fits from boxes that are shifted and scaled at random, and see how far from the fit of the detector's box
each ends. `fit_many` gives the results without keeping the steps.
"""

from itertools import repeat

import matplotlib.pyplot as plt
import numpy as np

from clnf_engine import fit, fit_many, initials_from_detector, load_model, perturbed, sample

model, gray = load_model(), sample("portrait").gray
start = initials_from_detector(model, gray)[0]
goal = fit(gray, model, start).landmarks
eyes = np.linalg.norm(goal[36] - goal[45])

amounts = np.repeat([0.05, 0.15, 0.25, 0.35, 0.45], 30)
starts = [perturbed(model, start, seed, amount) for seed, amount in enumerate(amounts)]
rows = list(fit_many(repeat(gray), model, starts))
distances = np.array([np.linalg.norm(row.landmarks - goal, axis=1) for row in rows])
errors = distances.mean(axis=1) / eyes
likelihoods = np.array([row.likelihood for row in rows])

# %%
# The likelihood tells the fits that went wrong from those that did not, without knowing where the face is. That is
# what the verdict *probably worked* of `clnf fit` and of the window rests on.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
shares = [np.mean(errors[amounts == amount] < 0.08) for amount in np.unique(amounts)]
left.bar([f"±{amount:.0%}" for amount in np.unique(amounts)], shares, color="#0072b2")
left.set(xlabel="shift and scale of the start", ylabel="share of fits within 8 %", ylim=(0, 1))
dots = right.scatter(100 * errors, likelihoods, c=100 * amounts, cmap="viridis", s=14)
right.axvline(8, color="grey", linewidth=0.8)
right.set(xlabel="mean error, % of the outer-eye distance", ylabel="log-likelihood")
right.set_xscale("log")
figure.colorbar(dots, ax=right, label="perturbation, %")
plt.show()
