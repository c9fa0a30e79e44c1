"""The diagnostics by name: the table that the command, the report and the Lab all read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from clnf_engine.diagnostics.ablation import AblationFinding, ablation
from clnf_engine.diagnostics.divergence import DivergenceFinding, divergence
from clnf_engine.diagnostics.finding import Finding, Progress, no_progress
from clnf_engine.diagnostics.fixed_point import FixedPointFinding, fixed_point
from clnf_engine.diagnostics.foreign import Declined, OfRerun, foreign, is_whole, rerun
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
    find : callable
        Of the run, its model, the other run and a Progress.
    reads : bool
        Whether it reads what was recorded, and runs no fit.
    """

    name: str
    title: str
    finding: type[Finding]
    compares: bool
    find: Callable[[Trace, Model, Trace, Progress], Finding]
    reads: bool = False

    @property
    def question(self) -> str:
        """The question it answers."""
        return self.finding.question

    def run(self, trace: Trace, model: Model, other: Trace, progress: Progress = no_progress) -> Finding:
        """Put the question to a run.

        A tool that runs fits looks at the engine's own fit where a trace is foreign, and says so; where there can be
        no such fit, it declines with the reason.

        Parameters
        ----------
        trace : Trace
        model : Model
        other : Trace
            To compare with; read where the tool `compares`.
        progress : Progress

        Returns
        -------
        Finding
        """
        traces = (trace, other) if self.compares else (trace,)
        reasons = [] if self.reads else [reason for one in traces if (reason := foreign(one, model))]
        try:
            if self.reads:
                return self.find(trace, model, other, progress)
            own = [one if is_whole(one) and not foreign(one, model) else rerun(one, model) for one in traces]
        except (ClnfError, ValueError) as error:
            return Declined(self.finding, str(error))
        finding = self.find(own[0], model, own[-1], progress)
        return OfRerun(finding, reasons[0]) if reasons else finding


def _divergence(a: Trace, model: Model, b: Trace) -> DivergenceFinding:
    return divergence(a, b, model=model)


TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool("magnitudes", "Magnitudes", MagnitudesFinding, False, lambda a, m, _, __: run_magnitudes(a, m), True),
        Tool("invariance", "Invariance", InvarianceFinding, False, lambda a, m, _, p: invariance(a, m, p)),
        Tool("jitter", "Jitter ensemble", JitterFinding, True, lambda a, m, b, p: jitter(a, b, m, p)),
        Tool("ablation", "Ablation matrix", AblationFinding, False, lambda a, m, _, p: ablation(a, m, p)),
        Tool("round_trips", "Round trips", RoundTripsFinding, False, lambda a, m, _, __: round_trips(a, m)),
        Tool("jacobian", "Jacobian", JacobianFinding, False, lambda a, m, _, __: jacobian_check(a, m)),
        Tool("precision", "Precision", PrecisionFinding, False, lambda a, m, _, p: precision(a, m, p)),
        Tool("fixed_point", "Fixed point", FixedPointFinding, False, lambda a, _, __, ___: fixed_point(a), True),
        Tool("kernel", "KDE", KernelFinding, False, lambda a, m, _, __: kernel_check(a, m)),
        Tool("starts", "Other starts", StartsFinding, False, lambda a, m, _, p: starts(a, m, p)),
        Tool("divergence", "First divergence", DivergenceFinding, True, lambda a, m, b, __: _divergence(a, m, b), True),
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
