"""A run in a database, as it stands now, for a picture: the graph it is drawn on, and what it did."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self

from dalsegno.checkpoints import Checkpointer, Ledger, open_checkpointer
from dalsegno.errors import DalsegnoError
from dalsegno.graphs.checking import spec_of
from dalsegno.nodes.secrets import Secrets
from dalsegno.runtime.runner import Runner
from dalsegno.runtime.states import states_of
from dalsegno.runtime.view import run_view, shape_today
from dalsegno.viz.remembered import spec_of_shape

if TYPE_CHECKING:
    from dalsegno.checkpoints import RunRecord
    from dalsegno.graphs.model import WorkflowSpec
    from dalsegno.runtime.pending import Pending
    from dalsegno.viz.overlay import RunView, StateAt


class Seeing:
    """Runs of a graph in a database that others may be writing; it only reads.

    Parameters
    ----------
    graph
        A `Workflow` or a LangGraph graph.
    db
        The database.
    """

    def __init__(self, graph: Any, db: str | os.PathLike[str]) -> None:
        self.spec = spec_of(graph)
        self._runner: Runner | None = None
        try:
            self._runner = Runner(graph, db=db)
        except DalsegnoError:  # it has errors now; its runs can be looked at all the same
            self._checkpointer: Checkpointer = open_checkpointer(db)
            self._ledger = Ledger(self._checkpointer.database, self._checkpointer.serde)
        else:
            self._checkpointer, self._ledger = self._runner.checkpointer, self._runner.ledger

    @property
    def ledger(self) -> Ledger:
        """The runs of the database."""
        return self._ledger

    def graph_of(self, run: RunRecord) -> WorkflowSpec:
        """The graph that a run is drawn on: today's, or the one it was run in where that is another."""
        if run.shape and run.fingerprint != self.spec.fingerprint():
            return spec_of_shape(shape_today(run), run.version)
        return self.spec

    def view(self, run: RunRecord, *, states: bool = False) -> RunView:
        """What a run did; with its `states` if a page is to replay it."""
        spec = self.graph_of(run)
        notes = []
        if spec is not self.spec:
            notes.append(
                f"The graph has changed since this run: it is drawn as it was then (version {run.version})."
            )
        later = self._ledger.given_up_for(run)
        if later is not None:
            notes.append(f"It was given up for run {later[:8]}: nobody goes on with it.")
        found: tuple[StateAt, ...] = ()
        if states:
            found, why = self._states(run)
            notes += [why] if why else []
        waiting = self._pending(run) if run.status != "completed" and spec is self.spec else None
        return run_view(self._ledger, spec, run, waiting, states=found, note=" ".join(notes) or None)

    def _pending(self, run: RunRecord) -> Pending | None:
        try:
            return self._runner.pending(run.thread) if self._runner is not None else None
        except DalsegnoError:
            return None

    def _states(self, run: RunRecord) -> tuple[tuple[StateAt, ...], str]:
        if self._runner is None:
            return (), "The graph has errors, so the states cannot be read."
        try:
            return states_of(self._checkpointer, run, Secrets(self._runner.schemas)), ""
        except DalsegnoError as error:
            return (), f"The states cannot be read: {error}"

    def close(self) -> None:
        """Close the database."""
        (self._runner or self._checkpointer).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
