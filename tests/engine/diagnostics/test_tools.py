"""The table of tools: what every finding must be able to say."""

from __future__ import annotations

import json

import pytest

from clnf_engine import Normalization, OptionsError
from clnf_engine.diagnostics.finding import finding_document
from clnf_engine.diagnostics.tools import TOOLS, counterpart, diagnose, tools_named
from clnf_engine.documents import json_text

from ..tiny_model import tiny_model
from .lab_tools import no_stage, run

ROWS = (
    "conformance",
    "magnitudes",
    "invariance",
    "jitter",
    "ablation",
    "round_trips",
    "jacobian",
    "precision",
    "fixed_point",
    "kernel",
    "starts",
)


def test_every_row_of_the_design_is_a_tool() -> None:
    assert tuple(TOOLS) == (*ROWS, "divergence")
    assert [name for name, tool in TOOLS.items() if tool.compares] == ["jitter", "divergence"]


@pytest.mark.parametrize("trace", [run(), no_stage()], ids=["fit", "no stage"])
def test_every_finding_speaks(trace: object) -> None:
    for tool, found in diagnose(trace, tiny_model()):  # type: ignore[arg-type]
        assert isinstance(found, tool.finding) and found.question == tool.question
        assert found.question.endswith("?") and found.provenance.endswith(".")
        assert found.verdict.startswith({True: "Yes", False: "No", None: "It cannot be told"}[found.answer])
        for table in found.tables():
            assert all(len(row) == len(table.columns) for row in table.rows)
            assert len(table.links) in (0, len(table.rows))
        for plot in found.plots():
            assert all(values.shape == plot.x.shape for values in plot.series.values())
            assert len(plot.ticks) in (0, len(plot.x))
        document = json.loads(json_text(finding_document(tool.name, found)))
        assert document["verdict"] == found.verdict and document["answer"] is found.answer


def test_the_run_to_compare_with() -> None:
    assert counterpart(run(), tiny_model()).options.normalization is Normalization.PEAK
    assert counterpart(run(normalization="peak"), tiny_model()).options.normalization is Normalization.NONE
    other = run(sigma=2)
    ((_, found),) = diagnose(run(), tiny_model(), other, tools_named(["divergence"]))
    assert "kernel_sum" in found.verdict


def test_tools_by_name() -> None:
    assert [tool.name for tool in tools_named(["jitter", "invariance"])] == ["invariance", "jitter"]
    with pytest.raises(OptionsError, match="no tool 'magic'; expected some of conformance"):
        tools_named(["magic"])
