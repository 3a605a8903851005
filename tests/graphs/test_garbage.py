"""While something large is made no garbage is collected, and afterwards it is again, whatever happened."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from dalsegno.errors import DocumentInvalid
from dalsegno.graphs.definition import read_definition
from dalsegno.graphs.documents.source import LARGE
from dalsegno.graphs.garbage import garbage_kept


def test_it_is_kept_while_what_is_made_is_large_and_collected_after_that() -> None:
    with garbage_kept(large=False):
        assert gc.isenabled()
    with garbage_kept(large=True):
        assert not gc.isenabled()
        with garbage_kept(large=True):
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(KeyError), garbage_kept(large=True):
        raise KeyError
    assert gc.isenabled()


def test_who_has_turned_it_off_finds_it_off() -> None:
    gc.disable()
    try:
        with garbage_kept(large=True):
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_large_document_that_is_refused_leaves_it_on(tmp_path: Path) -> None:
    document = tmp_path / "flow.yaml"
    document.write_text(f"name: a\ndescription: {'x' * LARGE}\nsteps: []\n")
    with pytest.raises(DocumentInvalid):
        read_definition(document)
    assert gc.isenabled()
