"""Without the extra `serve`, what needs it says what to install."""

from __future__ import annotations

import sys

import pytest

from dalsegno import service
from dalsegno.errors import MissingExtra


@pytest.mark.parametrize("name", ["Service", "asgi"])
@pytest.mark.parametrize("module", ["starlette", "sse_starlette"])
def test_the_error_names_the_extra(name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # how Python spells "not installed"
    with pytest.raises(MissingExtra, match=rf"`dalsegno.service.{name}`.*pip install 'dalsegno\[serve\]'"):
        getattr(service, name)


def test_what_needs_no_extra_is_there_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "starlette", None)
    assert service.Settings().runs == 8
    assert not service.Tokens({})
