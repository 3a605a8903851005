"""Grading, reranking, answering and checking: pure functions of a question and its passages."""

from __future__ import annotations

import ormsgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dalsegno.demo import reading, words
from dalsegno.demo.reading import Answer, Sentence
from dalsegno.demo.sentences import split
from dalsegno.demo.topics import Passage


def passage(text: str, topic: str = "weather", position: int = 0, heading: str = "Weather") -> Passage:
    return Passage(
        id=f"{topic}:{position}", topic=topic, heading=heading, position=position, text=text, score=0.0
    )


RAIN = passage("Rain is water that falls from clouds in drops. Drops have a radius above 0.25 mm.", "rain")
SNOW = passage("Snow is frozen water. It falls slowly. A snowflake has six arms.", "snow", heading="Snow")
SOIL = passage("Soil holds water for plants. The rest drains away.", "soil", heading="Soil")


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What does the with statement do?", ["with", "statement"]),
        ("What does yield from do?", ["yield", "from"]),
        ("How do I use the is operator with a list?", ["is", "operator", "list"]),
        ("How does `in` work on strings?", ["in", "strings"]),
        ("What is __init__ for?", ["__init__"]),
        ("What is it?", []),
        ("", []),
    ],
)
def test_keywords_keep_words_of_python_and_drop_the_question(question: str, expected: list[str]) -> None:
    assert reading.keywords(question) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [("decorator", "decorated"), ("slices", "slicing"), ("imports", "imported"), ("copy", "copies")],
)
def test_inflections_share_a_stem(one: str, other: str) -> None:
    assert words.stem(one) == words.stem(other)


def test_a_misspelling_is_near_its_word_and_short_words_are_not_guessed() -> None:
    known = [words.stem(word) for word in ("decorator", "generator", "break", "import", "gold")]

    assert words.near("decoratr", known) == [words.stem("decorator")]
    assert words.near("genertors", known) == [words.stem("generator")]
    assert words.near("bread", known) == []
    assert words.near("hold", known) == []


def test_a_sentence_does_not_end_at_an_abbreviation() -> None:
    assert split('Use a name, e.g. A or B. Then "stop." Now go on.') == [
        "Use a name, e.g. A or B.",
        'Then "stop."',
        "Now go on.",
    ]


def test_a_retrieval_is_graded_by_how_much_of_the_question_it_has() -> None:
    full = reading.grade("What is frozen snow?", [SNOW, RAIN])
    part = reading.grade("What is frozen snow?", [RAIN, SOIL])

    assert full > 0.6 > part
    assert reading.grade("What is frozen snow?", []) == 0
    assert reading.grade("???", [SNOW]) == 0


def test_reranking_moves_what_is_about_the_question_to_the_front() -> None:
    found = reading.rerank("What is snow?", [RAIN, SOIL, SNOW])

    assert [p["topic"] for p in found] == ["snow", "rain", "soil"]
    assert [p["score"] for p in found] == sorted((p["score"] for p in found), reverse=True)
    assert SNOW["score"] == 0.0


def test_an_answer_quotes_sentences_with_their_sources() -> None:
    answer = reading.answer("What is rain?", [SNOW, RAIN])

    assert answer["sentences"][0] == {
        "text": "Rain is water that falls from clouds in drops.",
        "source": "rain:0",
        "topic": "rain",
    }
    assert len(answer["sentences"]) <= 4


def test_an_answer_has_no_sentence_twice_and_no_fragment() -> None:
    copied = passage("Rain is water that falls from clouds in drops. The rain follows:\n\n    rain()", "copy")

    texts = [s["text"] for s in reading.answer("What is rain?", [RAIN, copied])["sentences"]]

    assert texts.count("Rain is water that falls from clouds in drops.") == 1
    assert not any("follows" in text or "rain()" in text for text in texts)


def test_a_quoted_answer_is_grounded_and_on_topic() -> None:
    question = "What is rain?"

    verdict = reading.check(reading.answer(question, [RAIN]), [RAIN], question)

    assert verdict == {"grounded": True, "on_topic": True, "ungrounded": [], "coverage": 1.0, "reason": ""}


@pytest.mark.parametrize(
    "text",
    [
        "Rain falls from clouds in drops of water",
        "Rain: drops have a radius above 0.25 mm.",
    ],
)
def test_a_sentence_in_other_words_is_grounded_by_its_content_words(text: str) -> None:
    answer = Answer(sentences=[Sentence(text=text, source="rain:0", topic="rain")])

    assert reading.check(answer, [RAIN], "What is rain?")["grounded"]


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("Rain drops have a radius above 0.5 mm.", "rain:0"),
        ("Rain falls from clouds in drops, says `weather.rain`.", "rain:0"),
        ("Rain is good for the economy and the mood of people.", "rain:0"),
        ("Rain is water that falls from clouds in drops.", "snow:0"),
        ("Rain is water that falls from clouds in drops.", "fog:7"),
    ],
)
def test_a_wrong_number_name_claim_or_source_is_ungrounded(text: str, source: str) -> None:
    answer = Answer(sentences=[Sentence(text=text, source=source, topic="rain")])

    verdict = reading.check(answer, [RAIN, SNOW], "What is rain?")

    assert not verdict["grounded"]
    assert verdict["ungrounded"] == [text]
    assert text in verdict["reason"]


def test_a_grounded_answer_to_something_else_is_off_topic() -> None:
    answer = Answer(sentences=[Sentence(text="Snow is frozen water.", source="snow:0", topic="snow")])

    verdict = reading.check(answer, [SNOW, SOIL], "How do plants drink?")

    assert verdict["grounded"]
    assert not verdict["on_topic"]
    assert verdict["reason"] == "The answer says nothing about plants, drink."


def test_a_word_in_passing_is_not_what_a_passage_is_about() -> None:
    answer = Answer(sentences=[Sentence(text="The rest drains away.", source="soil:0", topic="soil")])

    assert reading.check(answer, [SOIL], "How does the rest of a sequence unpack?")["coverage"] == 0


def test_no_answer_is_not_grounded() -> None:
    verdict = reading.check(Answer(sentences=[]), [RAIN], "What is rain?")

    assert not verdict["grounded"]
    assert not verdict["on_topic"]
    assert verdict["reason"] == "No sentence of the passages touches the question."


def test_a_models_text_becomes_sentences_with_the_passages_they_rest_on() -> None:
    text = "Rain is water falling from clouds. Snow is frozen water [snow:0].\n\n- Made up [fog:7]."

    answer = reading.attribute(text, [RAIN, SNOW])

    assert [(s["text"], s["source"], s["topic"]) for s in answer["sentences"]] == [
        ("Rain is water falling from clouds.", "rain:0", "rain"),
        ("Snow is frozen water.", "snow:0", "snow"),
        ("Made up.", "fog:7", "fog"),
    ]
    assert reading.check(answer, [RAIN, SNOW], "What is rain?")["ungrounded"] == ["Made up."]


def test_everything_survives_msgpack() -> None:
    question = "What is rain?"
    passages = reading.rerank(question, [SNOW, RAIN])
    answer = reading.answer(question, passages)
    verdict = reading.check(answer, passages, question)

    for value in (passages, answer, verdict):
        assert ormsgpack.unpackb(ormsgpack.packb(value)) == value


@given(
    question=st.text(max_size=80),
    texts=st.lists(st.text(max_size=200), max_size=4),
    weights=st.dictionaries(st.text(max_size=5), st.floats(0, 1)),
)
def test_any_text_can_be_read(question: str, texts: list[str], weights: dict[str, float]) -> None:
    passages = [passage(text, "any", position) for position, text in enumerate(texts)]

    assert 0 <= reading.grade(question, passages, weights) <= 1
    ranked = reading.rerank(question, passages, weights)
    assert sorted(p["id"] for p in ranked) == sorted(p["id"] for p in passages)
    answer = reading.answer(question, ranked, weights)
    verdict = reading.check(answer, ranked, question, weights)
    assert verdict["ungrounded"] == []
    assert 0 <= verdict["coverage"] <= 1
    reading.check(reading.attribute(question, passages), passages, question)
