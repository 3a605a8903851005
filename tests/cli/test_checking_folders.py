"""`dalsegno check` of files and folders: every graph in them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

CLEAN = """
from typing import TypedDict
from dalsegno import END, START, Workflow

class State(TypedDict, total=False):
    x: int

def step(state: State): ...

{name} = Workflow("{name}", State).add_node(step).add_edge(START, "step").add_edge("step", END)
"""


@pytest.fixture
def shop(folder: Path) -> Path:
    """A folder with two graphs in two files, and a file without any."""
    (folder / "app.py").unlink()
    (folder / "shop").mkdir()
    (folder / "shop" / "shop_orders.py").write_text(CLEAN.format(name="orders"))
    (folder / "shop" / "shop_bills.py").write_text(CLEAN.format(name="bills"))
    (folder / "shop" / "shop_words.py").write_text("raise SystemExit('imported for nothing')\n")
    return folder


def test_a_folder_means_every_graph_in_it(dalsegno: Any, shop: Path) -> None:
    got = dalsegno("check", "shop")
    assert got.code == 0
    assert "✓ bills: every run ends within 1 superstep  shop/shop_bills.py:bills" in got.out
    assert "✓ orders: every run ends within 1 superstep  shop/shop_orders.py:orders" in got.out
    assert got.out.endswith("2 graphs, 0 with errors\n")


def test_a_file_without_a_name_means_every_graph_in_it(dalsegno: Any) -> None:
    got = dalsegno("check", "app.py", "--json")
    assert got.code == 1
    names = [d["workflow"] for d in json.loads(got.out)]
    assert names == ["article", "endless", "asking", "sums", "outer", "graph"]


def test_a_folder_is_an_array_even_of_one(dalsegno: Any, shop: Path) -> None:
    (shop / "shop" / "shop_bills.py").unlink()
    (document,) = json.loads(dalsegno("check", "shop", "--json").out)
    assert document["workflow"] == "orders"


def test_a_graph_that_two_targets_mean_is_checked_once(dalsegno: Any, shop: Path) -> None:
    got = dalsegno("check", "shop", "shop/shop_bills.py", "--json")
    assert [d["workflow"] for d in json.loads(got.out)] == ["bills", "orders"]


def test_where_no_graph_is_found_that_is_said(dalsegno: Any, shop: Path) -> None:
    (shop / "empty").mkdir()
    for target in ("empty", "shop/shop_words.py"):
        got = dalsegno("check", target)
        assert (got.code, got.out) == (2, "")
        assert f"No graph was found in `{target}`" in got.err
        assert dalsegno("check", target, "--allow-empty").code == 0


def test_one_target_without_a_graph_is_told_beside_those_that_have_some(dalsegno: Any, shop: Path) -> None:
    got = dalsegno("check", "shop", "shop/shop_words.py")
    assert got.code == 2
    assert "No graph was found in `shop/shop_words.py`." in got.err
    assert got.out.endswith("2 graphs, 0 with errors\n")
    assert dalsegno("check", "shop", "shop/shop_words.py", "--allow-empty").code == 0


@pytest.mark.parametrize("form", ["text", "json", "sarif"])
def test_a_file_that_cannot_be_imported_is_told_and_the_others_are_checked(
    dalsegno: Any, shop: Path, form: str
) -> None:
    (shop / "shop" / "shop_a_broken.py").write_text("import dalsegno\nflow = dalsegno.nothing()\n")
    got = dalsegno("check", "shop", "--format", form)
    assert got.code == 2
    assert "shop_a_broken.py" in got.err
    if form == "text":
        assert "✓ bills" in got.out
    elif form == "json":
        assert [d["ok"] for d in json.loads(got.out)] == [True, True]
    else:
        (invocation,) = json.loads(got.out)["runs"][0]["invocations"]
        assert not invocation["executionSuccessful"]
        assert "shop_a_broken.py" in invocation["toolExecutionNotifications"][0]["message"]["text"]


@pytest.mark.parametrize("target", ["nowhere.py:flow", "broken.yaml"])
def test_a_log_says_that_its_only_target_could_not_be_loaded(
    dalsegno: Any, folder: Path, target: str
) -> None:
    (folder / "broken.yaml").write_text("dalsegno: [")
    got = dalsegno("check", target, "--format", "sarif")
    assert got.code == 2
    (run,) = json.loads(got.out)["runs"]
    (invocation,) = run["invocations"]
    assert not invocation["executionSuccessful"]
    assert invocation["toolExecutionNotifications"][0]["message"]["text"] in got.err
    assert run["results"] == []


def test_a_graph_whose_structure_is_code_is_told_and_the_others_are_checked(
    dalsegno: Any, shop: Path
) -> None:
    (shop / "shop" / "shop_code.py").write_text(
        "from langgraph.func import entrypoint\n"
        "@entrypoint()\ndef inner(x): return x\n"
        "flow = inner.with_config(tags=['x'])\n"
    )
    got = dalsegno("check", "shop")
    assert got.code == 2
    assert "whose structure is code" in got.err
    assert "✓ bills" in got.out


def test_what_is_waived_is_shown_as_waived_with_its_reason(dalsegno: Any, folder: Path) -> None:
    with (folder / "app.py").open("a") as file:
        file.write('\nendless.waive("T101", "review->write", "a person watches it")\n')
    got = dalsegno("check", "app.py:endless")
    assert got.code == 0
    assert got.out.startswith("waived T101  app.py:")
    assert "reason  a person watches it" in got.out
    assert "✓ endless: no bound can be proved · 1 waived" in got.out
    (waived,) = json.loads(dalsegno("check", "app.py:endless", "--json").out)["waived"]
    assert (waived["code"], waived["reason"]) == ("T101", "a person watches it")


def test_a_target_that_does_not_exist_does_not_keep_the_others_from_being_checked(dalsegno: Any) -> None:
    got = dalsegno("check", "app.py:flow", "nothing.py")
    assert got.code == 2
    assert "`nothing.py` does not exist" in got.err
    assert "✓ article" in got.out


def test_a_pipe_and_a_link_to_nothing_are_no_files_of_a_folder(dalsegno: Any, shop: Path) -> None:
    os.mkfifo(shop / "shop" / "shop_pipe.py")  # reading it would wait for ever
    (shop / "shop" / "shop_gone.py").symlink_to("nowhere.py")
    got = dalsegno("check", "shop")
    assert got.code == 0
    assert got.out.endswith("2 graphs, 0 with errors\n")


def test_a_folder_that_cannot_be_looked_into_is_told(dalsegno: Any, shop: Path, monkeypatch: Any) -> None:
    listed = os.scandir
    (shop / "shop" / "shut").mkdir()

    def scandir(path: Any) -> Any:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)  # for root may look into everything
    got = dalsegno("check", "shop")
    assert got.code == 2
    assert "`shop/shut` cannot be read" in got.err
    assert "✓ bills" in got.out
