"""Every number and figure of docs/paradox.md, made anew.

python scripts/paradox.py [MODEL] prints the numbers; with the shipped model it also makes docs/images/paradox-*.svg.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from clnf_engine import FitOptions, Normalization, Trace, fit, initials_from_detector, load_model, preset, sample
from clnf_engine.deviations import without_deviations
from clnf_engine.diagnostics.finding import Plot
from clnf_engine.diagnostics.tools import diagnose, tools_named
from clnf_engine.reports.figures import plot_svg

_IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
_PORT = preset("pyclnf-2025-11")
_REPAIRED = replace(_PORT, euler_transposed=False, kernel_centre_pixel_fraction=False)
_QUESTIONS = {
    "1 and 2. The port, normalization none against peak": (_PORT, "divergence,jitter"),
    "3. Does scale matter to OpenFace's fit?": (FitOptions(), "invariance,jitter"),
    "3. Does scale matter to the port?": (_PORT, "invariance"),
    "4. Underflow?": (FitOptions(), "precision"),
    "4. Underflow in the port?": (_PORT, "precision,magnitudes"),
    "5. What causes it?": (_PORT, "ablation,round_trips,jacobian"),
    "6. Without the two causes": (_REPAIRED, "divergence"),
    "6. Without any deviation": (without_deviations(_PORT), "divergence,fixed_point"),
    "7. Was the target right?": (FitOptions(), "fixed_point"),
}
_FIGURES = {
    ("1 and 2. The port, normalization none against peak", "divergence", 0): "growth",
    ("1 and 2. The port, normalization none against peak", "jitter", 0): "jitter",
    ("4. Underflow?", "precision", 0): "precision",
    ("5. What causes it?", "ablation", 0): "ablation",
}


def _write(plot: Plot, name: str) -> None:
    """An SVG file of its own, in a grey that can be read on a white page and on a black one."""
    space = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    style = 'style="color:#808890;font-family:sans-serif"'
    path = _IMAGES / f"paradox-{name}.svg"
    path.write_text(plot_svg(plot, name).replace("<svg", f"<svg {space} {style}", 1) + "\n", encoding="utf-8")
    print(f"  {path}")


def _last_update(trace: Trace) -> float:
    return next(step.update_norm for step in reversed(trace.steps) if step.update_norm is not None)


def main(name: str | None) -> None:
    """Ask every question of the page."""
    model = load_model(name)
    gray = sample("portrait").gray
    initial = initials_from_detector(model, gray)[0]
    for question, (options, tools) in _QUESTIONS.items():
        none, peak = (
            fit(gray, model, initial, replace(options, normalization=n))
            for n in (Normalization.NONE, Normalization.PEAK)
        )
        print(f"\n{question}\n  final update: none {_last_update(none):.6g}, peak {_last_update(peak):.6g}")
        for tool, finding in diagnose(none, model, peak, tools_named(tools.split(","))):
            print(f"  {tool.title}: {finding.verdict}")
            for k, plot in enumerate(finding.plots()):
                figure = _FIGURES.get((question, tool.name, k))
                if name is None and figure is not None:
                    _write(plot, figure)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
