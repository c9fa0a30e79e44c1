"""
A tilted face
=============

An upright start does not find a face that is tilted by 40°; the search does, and tells the tilt.
"""

import cv2
import matplotlib.pyplot as plt

from clnf_engine import fit, initial_from_box, initials_from_detector, load_model, sample, search

model, gray = load_model(), sample("portrait").gray
turn = cv2.getRotationMatrix2D((256, 300), -40, 1)
tilted = cv2.warpAffine(gray, turn, gray.shape[::-1], borderMode=cv2.BORDER_REPLICATE)

best = search(model, tilted)[0]
print(f"found at {best.angle:g} degrees, log-likelihood {best.likelihood:.2f}")

starts = {
    "upright": initial_from_box(model, best.box),
    f"turned by {best.angle:g}°": initials_from_detector(model, tilted)[0],
}

# %%
# The same box twice, once upright and once turned. Dotted: the start.

figure, axes = plt.subplots(1, 2, figsize=(9, 5.2), layout="constrained")
for axis, (title, start) in zip(axes, starts.items(), strict=True):
    trace = fit(tilted, model, start)
    axis.imshow(tilted, cmap="gray")
    axis.plot(*trace.steps[0].landmarks.T, ":", color="white", linewidth=0.8)
    axis.plot(*trace.landmarks.T, ".", markersize=5, color="#00e5ff")
    axis.set_title(f"{title}: log-likelihood {trace.likelihood:.2f}")
    axis.set(xticks=[], yticks=[])
plt.show()
