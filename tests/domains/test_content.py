"""An article is found, composed, checked and composed again until the checks are good, or the rounds are over."""

from __future__ import annotations

from typing import Any

import pytest

from tests.domains.conftest import Stage

AGENTS = ("researcher", "writer", "readability", "spelling", "keywords", "editor")

LIGHTS = {"topic": "lighthouses", "keywords": ["lighthouse"]}


def article(stage: Stage, **given: Any) -> dict[str, Any]:
    result = stage.run(stage.document("content.yaml"), given)
    assert result.status == "completed", result.error
    return result.output["output"]


def test_what_is_good_at_once_is_written_once(stage: Stage) -> None:
    stage.fail("write_article")
    made = article(stage, topic="bread", keywords=["bread"], style="plain", reading_ease=60)
    assert (made["good"], made["rounds"], made["sources"]) == (True, 1, ["bread"])
    assert made["text"].startswith("This is about bread.")
    assert len(stage.heard("write_article")) == 1


def test_what_is_hard_to_read_is_written_again_in_shorter_sentences(stage: Stage) -> None:
    stage.fail("write_article")
    made = article(stage, **LIGHTS)
    assert (made["good"], made["rounds"]) == (True, 2)
    assert made["checks"] == {"readability": True, "spelling": True, "keywords": True}
    assert len(stage.heard("write_article")) == 2


def test_words_that_are_not_in_the_list_are_left_out_in_the_next_round(stage: Stage) -> None:
    made = article(stage, topic="tides", keywords=["tide"])
    assert made["good"]
    assert "arbours" not in made["text"]


def test_a_keyword_that_is_too_seldom_is_named_again(stage: Stage) -> None:
    made = article(stage, topic="bees", keywords=["hive"])
    assert made["good"]
    assert "So much for hive." in made["text"]


def test_what_cannot_be_good_is_given_up_after_four_rounds(stage: Stage) -> None:
    stage.fail("write_article")
    made = article(stage, **LIGHTS, reading_ease=200)
    assert (made["good"], made["rounds"], made["checks"]["readability"]) == (False, 4, False)
    assert len(stage.heard("write_article")) == 4


def test_a_topic_without_a_text_fails_and_says_what_there_is(stage: Stage) -> None:
    result = stage.run(stage.document("content.yaml"), {"topic": "volcanoes", "keywords": []})
    assert result.error is not None
    assert "bees, bread, lighthouses, paper, rain, tides" in result.error["message"]


@pytest.mark.parametrize(("text", "ease"), [("The cat sat on the mat.", 116.1), ("", 0.0)])
def test_reading_ease_is_fleschs(stage: Stage, text: str, ease: float) -> None:
    """206.835 - 1.015 x 6 words - 84.6 x 1 syllable."""
    assert stage.ask("check_readability", text=text)["flesch"] == ease


def test_each_check_says_what_it_found(stage: Stage) -> None:
    text = "The lamp is brite. The lamp is hot."
    assert stage.ask("check_spelling", text=text) == {
        "check": "spelling",
        "good": False,
        "unknown": ["brite"],
    }
    said = stage.ask("check_keywords", text=text, keywords=["lamp", "tower"])
    assert (said["good"], said["rare"], said["dense"]) == (False, ["tower"], ["lamp"])
