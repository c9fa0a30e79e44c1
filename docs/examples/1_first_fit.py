"""
A fit and the way it took
=========================

Load the model, find the face, fit it, and draw the shape after every stage.
"""

import matplotlib.pyplot as plt

from clnf_engine import fit, initials_from_detector, load_model, sample

model = load_model()
portrait = sample("portrait")
start = initials_from_detector(model, portrait.gray)[0]
trace = fit(portrait.gray, model, start)
print(trace.message, f"after {len(trace.steps)} steps, log-likelihood {trace.likelihood:.2f}")

# %%
# Every step holds the landmarks at that moment. The last one of each stage is the last of its place.

last_of_stage = {step.stage.index: step for step in trace.steps if step.stage}
shapes = {"start": trace.steps[0], **{str(step.stage): step for step in last_of_stage.values()}}

figure, axes = plt.subplots(1, 4, figsize=(12, 4.4), sharex=True, sharey=True, layout="constrained")
for axis, (title, step) in zip(axes, shapes.items(), strict=True):
    axis.imshow(portrait.rgb)
    axis.plot(*step.landmarks.T, ".", markersize=4, color="#00e5ff", markeredgecolor="black")
    axis.set_title(title, fontsize=10)
    axis.set(xlim=(140, 390), ylim=(390, 120), xticks=[], yticks=[])
plt.show()
