"""Pictures of workflows and runs, and the page of a run that follows it while it goes on."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dalsegno import viz
from dalsegno.graphs.validation import check
from dalsegno.runtime.seeing import Seeing
from dalsegno.service.problems import refused
from dalsegno.viz.laying import lay
from dalsegno.viz.svg import render

if TYPE_CHECKING:
    from dalsegno.checkpoints import RunRecord
    from dalsegno.graphs.model import WorkflowSpec
    from dalsegno.graphs.validation import Report
    from dalsegno.service.service import Service
    from dalsegno.viz.overlay import RunView

SVG = "image/svg+xml"
SAFE: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"
}
"""Headers of a picture: it runs nothing, wherever it is opened."""
LIVE = "live.js"
"""What the page of a run that goes on reads again and again, beside it."""
_KEPT = 64
"""Layouts that are remembered: placing the nodes is most of the work, and does not change while a run goes on."""


class Pages:
    """Draws for a service; reads with connections of its own. Called from any thread."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._seeing: dict[str, Seeing] = {}
        self._layouts: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def workflow(self, name: str) -> bytes:
        """The picture of a workflow."""
        runner = self._service.runner(name)
        return _svg(runner.spec, runner.report)

    def run(self, run: RunRecord) -> bytes:
        """The picture of a run over its graph."""
        seeing = self._of(run)
        spec, report = self._checked(seeing, run)
        return _svg(spec, report, seeing.view(run))

    def page(self, run: RunRecord) -> str:
        """The page of a run: one that goes on follows it."""
        from dalsegno.viz.page import page

        spec, picture, view, report = self._drawn(run)
        layout = self._layout(spec, picture)
        _, is_over = self._service.stands(run.run_id)
        return page(picture, view, report=report, layout=layout, live=None if is_over else LIVE)

    def news(self, run: RunRecord) -> str:
        """What the page reads while the run goes on."""
        from dalsegno.viz.page import news

        _, picture, view, report = self._drawn(run)
        return news(picture, view, report)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            for seeing in self._seeing.values():
                seeing.close()
            self._seeing.clear()

    def _drawn(self, run: RunRecord) -> tuple[WorkflowSpec, Any, Any, Any]:
        seeing = self._of(run)
        spec, report = self._checked(seeing, run)
        return spec, viz.picture_of(spec, report=report, page=True), seeing.view(run, states=True), report

    def _checked(self, seeing: Seeing, run: RunRecord) -> tuple[WorkflowSpec, Report]:
        """The graph that a run is drawn on, and what its check found: a page asks again and again."""
        spec = seeing.graph_of(run)
        is_todays = spec is seeing.spec
        return spec, self._service.runners[run.workflow].report if is_todays else check(spec)

    def _of(self, run: RunRecord) -> Seeing:
        if run.workflow not in self._service.targets:
            raise refused(
                404,
                "unknown-workflow",
                f"Run {run.run_id} is one of `{run.workflow}`, which is not served here.",
            )
        with self._lock:
            if run.workflow not in self._seeing:
                graph = self._service.targets[run.workflow].graph
                self._seeing[run.workflow] = Seeing(graph, self._service.db)
            return self._seeing[run.workflow]

    def _layout(self, spec: WorkflowSpec, picture: Any) -> Any:
        from dalsegno.viz.layout import place

        name = f"{spec.name} {spec.version} {spec.fingerprint()}"
        with self._lock:
            known = self._layouts.get(name)
        known = known or place(picture)
        with self._lock:
            self._layouts[name] = known
            self._layouts.move_to_end(name)
            while len(self._layouts) > _KEPT:
                self._layouts.popitem(last=False)
        return known


def _svg(spec: WorkflowSpec, report: Any, run: RunView | None = None) -> bytes:
    picture = viz.picture_of(spec, report=report)
    return render(lay(picture, run, report) if run is not None else picture, "svg", run)
