"""The HTML report: well formed, in one file, with every verdict; the same input gives the same bytes."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest

from clnf_engine import FitOptions, Trace, fit
from clnf_engine.deviations import DEVIATIONS
from clnf_engine.diagnostics.finding import Finding, Plot, Style, Table
from clnf_engine.diagnostics.investigation import Investigation, versions
from clnf_engine.diagnostics.tools import TOOLS, Tool, diagnose
from clnf_engine.reports.diagnosis import report_html
from clnf_engine.reports.figures import plot_svg

from ..cli_tools import BOX_TEXT, Output, run
from ..html_tools import Page
from ..tiny_model import start, tiny_image, tiny_model


@dataclass(frozen=True, eq=False)
class Made(Finding):
    """A finding with any tables and plots."""

    question = "Is 1 < 2 & 'so' on?"
    provenance = "From <nowhere>."
    answer = None
    verdict = "It cannot be told: <script>alert(1)</script> & more."
    made_tables: tuple[Table, ...] = ()
    made_plots: tuple[Plot, ...] = ()

    def tables(self) -> tuple[Table, ...]:
        return self.made_tables

    def plots(self) -> tuple[Plot, ...]:
        return self.made_plots


def page(finding: Finding, *traces: Trace, title: str = "title") -> Page:
    tool = Tool("made", "Made <up>", type(finding), False, lambda *_: finding)
    runs = dict(zip("AB", traces or (tiny_fit(),), strict=False))
    return Page(report_html(Investigation(title, "clnf", runs, ((tool, finding),))))


def tiny_fit(options: FitOptions | None = None) -> Trace:
    return fit(tiny_image(), tiny_model(), start(), options)


def test_report_of_the_command(capsys: Output, photo: str, model_file: str, tmp_path: Path) -> None:
    report = tmp_path / "r.html"
    words = ("diagnose", photo, "--model", model_file, "--box", BOX_TEXT, "-O", "step_damping=0.75")
    words += ("--report", str(report))
    code, _, err = run(capsys, *words)
    assert (code, err) == (0, "")
    text = report.read_text("utf-8")
    shown = Page(text)
    assert DEVIATIONS["step_damping"].breaks in shown.texts
    assert " ".join(["clnf", *words]) in shown.texts
    assert f"Made with {', '.join(f'{name} {version}' for name, version in versions().items())}." in shown.texts
    for tool in TOOLS.values():
        assert {tool.title, tool.question} <= set(shown.texts)
    run(capsys, *words)
    assert report.read_text("utf-8") == text


def test_report_holds_everything_and_needs_nothing_else() -> None:
    trace = tiny_fit()
    found = tuple(diagnose(trace, tiny_model()))
    text = report_html(Investigation("title", "clnf", {"A": trace}, found, "A note."))
    shown = Page(text)
    for _, finding in found:
        assert shown.texts.count(finding.verdict) == 2  # in the summary and in its section
        assert finding.provenance in shown.texts
        for table in finding.tables():
            assert any(piece.startswith(table.title) for piece in shown.texts)
        for plot in finding.plots():
            assert plot.title in shown.texts
    assert "A note." in shown.texts
    assert sum(tag == "svg" for tag, _ in shown.tags) == sum(
        len(finding.plots()) + len(finding.strips()) for _, finding in found
    )
    ids = shown.values("id")
    assert len(set(ids)) == len(ids)
    links = shown.values("href", "xlink:href") + re.findall(r"url\(([^)]*)\)", text)
    assert links
    assert {link[0] for link in links} == {"#"}
    assert {link[1:] for link in links} <= set(ids)
    assert all(source.startswith("data:image/png;base64,") for source in shown.values("src"))
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in shown.tags}
    assert "http" not in text


def test_rows_of_long_tables_are_folded() -> None:
    tables = [Table(f"{count} rows", ("a",), tuple((k,) for k in range(count))) for count in (20, 21)]
    shown = page(Made(tuple(tables)))
    assert sum(tag == "details" for tag, _ in shown.tags) == 1
    assert "21 rows (21 rows)" in shown.texts
    assert {"20 rows", *map(str, range(21))} <= set(shown.texts)


def test_everything_is_escaped() -> None:
    table = Table("<i>", ("<b>",), (("<u>&amp;",),))
    x = np.arange(2.0)
    plot = Plot("<p>", "$x_1 < 2$", "<y>", x, {"<s>": x}, ("<t>", "&"), style=Style.BARS)
    shown = page(Made((table,), (plot,)), title="<script>&'\"")
    assert not {"script", "i", "u", "s", "t", "up"} & {tag for tag, _ in shown.tags}
    assert {"<script>&'\"", "<i>", "<u>&amp;", "<p>", "$x_1 < 2$", "<t>", "Made <up>"} <= {
        t.strip() for t in shown.texts
    }


# --- the photo --------------------------------------------------------------------------------------


def photos(shown: Page) -> list[np.ndarray]:
    data = [base64.b64decode(source.partition(",")[2]) for source in shown.values("src")]
    return [cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) for png in data]


def test_the_photo_shows_where_each_run_starts_and_ends() -> None:
    a, b = tiny_fit(), tiny_fit(FitOptions(sigma=3))
    (picture,) = photos(page(Made(), a, b))
    coloured = np.abs(picture.astype(int) - picture[..., :1]).max(axis=2) > 100
    for points in (a.landmarks, b.landmarks, a.steps[0].landmarks):
        scale = picture.shape[1] / 144  # the crop is the whole image: the face fills it
        for x, y in np.rint((points + 0.5) * scale).astype(int):
            assert coloured[max(y - 9, 0) : y + 10, max(x - 9, 0) : x + 10].any()


def test_runs_on_different_images_have_a_photo_each() -> None:
    other = fit(np.ascontiguousarray(tiny_image()[:, ::-1]), tiny_model(), start())
    assert len(photos(page(Made(), tiny_fit(), other))) == 2


def test_a_face_outside_the_image_leaves_the_image_whole() -> None:
    away = fit(tiny_image(), tiny_model(), start(dx=-2000))
    (picture,) = photos(page(Made(), away))
    assert picture.shape[1] / picture.shape[0] == pytest.approx(144 / 150, abs=0.01)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e9])
def test_landmarks_that_are_nowhere(value: float) -> None:
    trace = tiny_fit()
    lost = replace(trace.steps[-1], landmarks=np.full((68, 2), value))
    (picture,) = photos(page(Made(), replace(trace, steps=(*trace.steps[:-1], lost))))
    assert picture.size


# --- plots ------------------------------------------------------------------------------------------

X = np.arange(5.0)
HARD: dict[str, tuple[Sequence[float], bool, tuple[str, ...]]] = {
    "no number": ([np.nan] * 5, True, ()),
    "zeros": ([0.0] * 5, True, ()),
    "one number": ([np.nan, np.nan, 3.0, np.nan, np.nan], True, ()),
    "negative": ([-1.0, 2, -3, 40, 5], True, ()),
    "many decades": ([1e-100, 1e-50, 1, 1e50, 1e100], True, ()),
    "names": ([1.0, 2, 3, 4, 5], False, tuple("abcde")),
    "long names": ([1.0, 20, 3, 4, 5], True, ("a deviation", "b", "c", "d", "e")),
}


@pytest.mark.parametrize("style", Style)
@pytest.mark.parametrize("case", HARD)
def test_plots_of_hard_numbers(case: str, style: Style) -> None:
    values, log_y, ticks = HARD[case]
    series = {"one": np.array(values), "two": np.array(values)}
    svg = plot_svg(Plot("title", "x", "y", X, series, ticks, log_y, style), "name")
    texts = "".join(Page(svg).texts)
    assert "one" in texts
    assert all(tick in texts for tick in ticks)


def test_plot_of_nothing() -> None:
    nothing = np.zeros(0)
    for style in Style:
        Page(plot_svg(Plot("title", "x", "y", nothing, {"none": nothing}, log_y=True, style=style), "name"))


def test_figures_do_not_depend_on_the_user_s_settings() -> None:
    plot = Plot("title", "x", "y", X, {"one": X, "two": X**2})
    expected = plot_svg(plot, "name")
    with matplotlib.rc_context({"text.color": "red", "svg.fonttype": "path", "svg.hashsalt": "other", "font.size": 20}):
        assert plot_svg(plot, "name") == expected
    assert "currentColor" in expected
    assert plot_svg(plot, "other").replace("other-", "name-") == expected


@pytest.mark.parametrize("ticks", [("a", "b", "c"), ("long name a", "long name b", "long name c")])
@pytest.mark.parametrize("log_y", [False, True])
def test_a_bar_without_a_value_keeps_its_place(ticks: tuple[str, ...], log_y: bool) -> None:
    """Its name stays, and no path of the figure holds what is not a number."""
    values = {"one": np.array([1.0, np.nan, np.nan]), "two": np.array([np.nan, 20.0, np.nan])}
    svg = plot_svg(Plot("title", "x", "y", np.arange(3.0), values, ticks, log_y, Style.BARS), "name")
    assert not re.findall(r' d="[^"]*nan[^"]*"', svg)
    assert all(f">{tick}<" in svg for tick in ticks)
