"""The diagnostics by name: the table that the command, the report and the Lab all read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from clnf_engine.diagnostics.ablation import AblationFinding, ablation
from clnf_engine.diagnostics.conformance import ConformanceFinding, conformance
from clnf_engine.diagnostics.divergence import DivergenceFinding, divergence
from clnf_engine.diagnostics.finding import Finding, Progress, no_progress
from clnf_engine.diagnostics.fixed_point import FixedPointFinding, fixed_point
from clnf_engine.diagnostics.foreign import Declined, OfRerun, foreign, own_run, rerun
from clnf_engine.diagnostics.invariance import InvarianceFinding, invariance
from clnf_engine.diagnostics.jacobian import JacobianFinding, jacobian_check
from clnf_engine.diagnostics.jitter import JitterFinding, jitter
from clnf_engine.diagnostics.kernel import KernelFinding, kernel_check
from clnf_engine.diagnostics.magnitudes import MagnitudesFinding, run_magnitudes
from clnf_engine.diagnostics.precision import PrecisionFinding, precision
from clnf_engine.diagnostics.round_trips import RoundTripsFinding, round_trips
from clnf_engine.diagnostics.starts import StartsFinding, starts
from clnf_engine.errors import ClnfError, OptionsError
from clnf_engine.fitting import fit
from clnf_engine.model import Model
from clnf_engine.options import Normalization
from clnf_engine.trace import Trace

Run = Callable[[Trace, Model, Trace, Progress], Finding]


@dataclass(frozen=True)
class Tool:
    """A diagnostic.

    Attributes
    ----------
    name : str
        One word.
    title : str
        For people.
    finding : type of Finding
        What it returns; holds the question it answers.
    compares : bool
        Whether it looks at two runs.
    run : callable
        Of the run, its model, the other run and a Progress. A tool that runs fits looks at the engine's own fit where a
        trace is foreign, and says so; where there can be no such fit, it declines with the reason.
    """

    name: str
    title: str
    finding: type[Finding]
    compares: bool
    run: Run

    @property
    def question(self) -> str:
        """The question it answers."""
        return self.finding.question


def _runs_fits(name: str, title: str, kind: type[Finding], find: Run, compares: bool = False) -> Tool:
    """A tool that runs fits again, so that what it finds holds for the engine's own fits: it looks at these."""

    def run(trace: Trace, model: Model, other: Trace, progress: Progress) -> Finding:
        traces = (trace, other) if compares else (trace,)
        try:
            reasons = [reason for one in traces if (reason := foreign(one, model))]
            own = [own_run(one, model) for one in traces]
        except ClnfError as error:
            return Declined(kind, str(error))
        finding = find(own[0], model, own[-1], progress)
        return OfRerun(finding, reasons[0]) if reasons else finding

    return Tool(name, title, kind, compares, run)


def _divergence(a: Trace, model: Model, b: Trace, _: Progress) -> Finding:
    try:
        return divergence(a, b, model=model)
    except ValueError as error:
        return Declined(DivergenceFinding, str(error))


TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool("conformance", "Conformance", ConformanceFinding, False, lambda a, m, _, p: conformance(a, m, p)),
        Tool("magnitudes", "Magnitudes", MagnitudesFinding, False, lambda a, m, _, __: run_magnitudes(a, m)),
        _runs_fits("invariance", "Invariance", InvarianceFinding, lambda a, m, _, p: invariance(a, m, p)),
        _runs_fits("jitter", "Jitter ensemble", JitterFinding, lambda a, m, b, p: jitter(a, b, m, p), True),
        _runs_fits("ablation", "Ablation matrix", AblationFinding, lambda a, m, _, p: ablation(a, m, p)),
        _runs_fits("round_trips", "Round trips", RoundTripsFinding, lambda a, m, _, __: round_trips(a, m)),
        _runs_fits("jacobian", "Jacobian", JacobianFinding, lambda a, m, _, __: jacobian_check(a, m)),
        _runs_fits("precision", "Precision", PrecisionFinding, lambda a, m, _, p: precision(a, m, p)),
        Tool("fixed_point", "Fixed point", FixedPointFinding, False, lambda a, _, __, ___: fixed_point(a)),
        _runs_fits("kernel", "KDE", KernelFinding, lambda a, m, _, __: kernel_check(a, m)),
        _runs_fits("starts", "Other starts", StartsFinding, lambda a, m, _, p: starts(a, m, p)),
        Tool("divergence", "First divergence", DivergenceFinding, True, _divergence),
    )
}
"""Every diagnostic, in the order a report shows them."""


def counterpart(trace: Trace, model: Model) -> Trace:
    """The run to compare with when there is no other.

    The same with normalization peak instead of none, or none; the engine's own run in the place of a foreign trace.

    Raises
    ------
    InitialError
        When the trace cannot be run again.
    """
    if foreign(trace, model):
        return rerun(trace, model)
    other = Normalization.NONE if trace.options.normalization is Normalization.PEAK else Normalization.PEAK
    return fit(trace.image, model, trace.initial, replace(trace.options, normalization=other))


def tools_named(names: Iterable[str]) -> tuple[Tool, ...]:
    """The tools of these names, in the order of `TOOLS`.

    Raises
    ------
    OptionsError
        When there is no tool of a name.
    """
    wanted = set(names)
    unknown = wanted - TOOLS.keys()
    if unknown:
        raise OptionsError(f"there is no tool {min(unknown)!r}; expected some of {', '.join(TOOLS)}")
    return tuple(tool for name, tool in TOOLS.items() if name in wanted)


def diagnose(
    trace: Trace,
    model: Model,
    other: Trace | None = None,
    tools: Iterable[Tool] | None = None,
    progress: Progress = no_progress,
) -> Iterator[tuple[Tool, Finding]]:
    """Run diagnostics on a run, one after the other.

    Parameters
    ----------
    trace : Trace
        Complete.
    model : Model
        The one that made it; see `foreign` for runs that were made elsewhere.
    other : Trace, optional
        To compare with; `counterpart` by default.
    tools : iterable of Tool, optional
        All by default.
    progress : Progress
        Of the tool that runs.

    Yields
    ------
    (Tool, Finding)
    """
    for tool in TOOLS.values() if tools is None else tools:
        if tool.compares and other is None:
            try:
                other = counterpart(trace, model)
            except ClnfError as error:
                yield tool, Declined(tool.finding, str(error))
                continue
        yield tool, tool.run(trace, model, other or trace, progress)
