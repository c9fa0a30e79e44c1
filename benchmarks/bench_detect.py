"""What is around a fit, in milliseconds of CPU on one thread: parts, hypotheses, both, validation.

    OPENBLAS_NUM_THREADS=1 python benchmarks/bench_detect.py [--model M] [--image I]

Parts need OpenFace's model and a large face. A *unit* is the calibration of `timing`; on the machine where the C++ was
measured it was 0.371 ms, so that ratios to the C++ are of units. All medians.
"""

from __future__ import annotations

from functools import partial

import cv2
from timing import calibration_ms, median_cpu_ms, model_and_photo

from clnf_engine import DetectionOptions, FitOptions, detect, initials_from_detector
from clnf_engine.detection.parts import least_scale

REPEATS = 40
UNIT_MS_OF_CPP, ALONE_MS_OF_CPP = 0.371, 11.2
NOTHING = DetectionOptions(parts=False, validate=False)
WAYS = {
    "the fit alone": (NOTHING, ALONE_MS_OF_CPP),
    "parts": (DetectionOptions(validate=False), None),
    "parts and eyes": (DetectionOptions(eye_parts=True, validate=False), 17.7),
    "hypotheses": (DetectionOptions(parts=False, hypotheses=True, validate=False), 58.0),
    "parts, eyes and hypotheses": (DetectionOptions(eye_parts=True, hypotheses=True, validate=False), 115.0),
    "parts, eyes and validation": (DetectionOptions(eye_parts=True), None),
}
"""Options, and CPU milliseconds of the C++ where they were measured."""


def main() -> None:
    _, model, image, initial = model_and_photo(__doc__ or "")
    if model.parts and initial.params[0] <= max(map(least_scale, model.parts)):  # as the start is, so is the fit
        image = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        initial = initials_from_detector(model, image)[0]
    found = detect(image, model, initial, FitOptions(), DetectionOptions(eye_parts=True))
    fitted = [name for name, part in found.parts.items() if part.trace is not None]
    print(f"{model.name}, face of {found.params_global[0]:.2f} px per model unit")
    print(f"parts fitted: {', '.join(fitted) or 'none'}")
    unit, alone = calibration_ms(), 0.0
    print(f"one unit: {unit:.3f} ms")
    print(
        f"{'':28}{'CPU ms':>8}{'units':>8}{'× alone':>9}   {'C++ ms':>7}{'units':>8}{'× alone':>9}   ours/C++ in units"
    )
    for name, (around, cpp) in WAYS.items():
        ours = median_cpu_ms(partial(detect, image, model, initial, FitOptions(), around), REPEATS)
        alone = alone or ours
        line = f"{name:28}{ours:8.2f}{ours / unit:8.1f}{ours / alone:9.2f}"
        if cpp is not None:
            theirs = cpp / UNIT_MS_OF_CPP
            line += f"   {cpp:7.1f}{theirs:8.1f}{cpp / ALONE_MS_OF_CPP:9.2f}   {ours / unit / theirs:.2f}"
        print(line)


if __name__ == "__main__":
    main()
