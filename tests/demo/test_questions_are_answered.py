"""Real questions about Python, answered from the topics that Python carries; the right topics are known.

Rates rather than single answers: the text differs between versions of Python.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dalsegno.demo import reading
from dalsegno.demo.library import Library, Mode

QUESTIONS: dict[str, set[str]] = {
    "What does the with statement do?": {"with", "context-managers"},
    "How do I format a string with padding?": {"formatstrings", "string-methods"},
    "What is the order of operator precedence?": {"operator-summary"},
    "How does slicing with a negative step work?": {"typesseq", "slicings"},
    "What is a decorator?": {"function", "class"},
    "How are imports resolved?": {"import"},
    "What does yield from do?": {"yield"},
    "What is a metaclass?": {"specialnames", "class"},
    "How do I set a breakpoint in the debugger?": {"debugger"},
    "When is the else clause of a loop executed?": {"for", "while", "break", "else"},
    "What does the nonlocal statement do?": {"nonlocal"},
    "How is the truth value of an object tested?": {"truth", "booleans"},
    "What does the lambda expression create?": {"lambda"},
    "How are default parameter values evaluated?": {"function"},
    "Which escape sequences does a string literal have?": {"strings"},
    "What happens when an exception is raised in the finally clause?": {"try"},
    "How does pattern matching with the match statement work?": {"compound"},
    "What does __slots__ do?": {"attribute-access"},
    "How do I remove an item from a list?": {"typesseq-mutable", "typesseq", "lists", "del"},
    "What does str.partition return?": {"string-methods"},
    "How are chained comparisons evaluated?": {"comparisons"},
    "What is a descriptor?": {"attribute-access"},
    "How do dictionary views behave?": {"typesmapping"},
    "How are keyword arguments passed in a call?": {"calls"},
    "What characters may an identifier contain?": {"identifiers"},
    "How do augmented assignments work?": {"augassign"},
    "How does an asynchronous for loop iterate?": {"async"},
    "How does the assert statement behave with -O?": {"assert"},
    "What does the pass statement do?": {"pass"},
    "How does str.join concatenate?": {"string-methods"},
    "How do I shift bits to the left?": {"shifting", "bitwise", "numeric-types"},
    "What is the ellipsis object?": {"bltin-ellipsis-object"},
    "How do I customize attribute access?": {"attribute-access"},
    "What are mutable sequence operations?": {"typesseq-mutable", "typesseq"},
    "How do I compare two dictionaries?": {"typesmapping", "comparisons"},
}

MISSPELT: dict[str, set[str]] = {
    "What is a decoratr?": {"function", "class"},
    "How do asyncronous genertors work?": {"types", "async", "return", "yield"},
    "What does the nonlocl statment do?": {"nonlocal"},
    "What is a metclass?": {"specialnames", "class"},
    "Which escpe sequnces does a string literal have?": {"strings"},
}

ELSEWHERE = [
    "Who won the 1998 world cup?",
    "What is the price of gold?",
    "asdf qwerty",
    "What is the capital of France?",
    "Who is the president of the United States?",
    "How do I bake bread?",
    "How do I install numpy?",
    "Do threads share the global interpreter lock?",
    "???",
    "",
]

WIDER = {
    "How do I get a default value for a missing key?": "typesmapping",
    "What is a metclass?": "specialnames",
    "How do I round a number in a format string?": "formatstrings",
}
"""Questions whose first answer the critic refuses, and a topic that wider retrieval cites."""


TWICE = "How do I match a class pattern by position?"
"""A question whose answer is refused twice, and accepted from 40 passages."""


@pytest.fixture(scope="module")
def library() -> Iterator[Library]:
    with Library.open() as library:
        yield library


def answered(
    library: Library, question: str, k: int = 5, mode: Mode = "hybrid", rerank: bool = True
) -> tuple[set[str], reading.Verdict]:
    """The topics that an answer cites, and what the critic says of it."""
    weights = library.weights(question)
    passages = library.search(question, k, mode=mode)
    if rerank:
        passages = reading.rerank(question, passages, weights)
    answer = reading.answer(question, passages, weights)
    verdict = reading.check(answer, passages, question, weights)
    return {sentence["topic"] for sentence in answer["sentences"]}, verdict


def hits(library: Library, questions: dict[str, set[str]], k: int, mode: Mode, rerank: bool) -> float:
    return sum(
        bool(answered(library, question, k, mode, rerank)[0] & right) for question, right in questions.items()
    ) / len(questions)


def test_nine_in_ten_answers_cite_a_right_topic(library: Library) -> None:
    assert hits(library, QUESTIONS, 15, "hybrid", True) >= 0.9


def test_nearly_every_search_finds_a_right_topic_among_its_five_passages(library: Library) -> None:
    found = [
        bool({passage["topic"] for passage in library.search(question, 5)} & right)
        for question, right in QUESTIONS.items()
    ]

    assert sum(found) / len(found) >= 0.95


def test_reranking_cites_a_right_topic_at_least_as_often(library: Library) -> None:
    assert hits(library, QUESTIONS, 15, "hybrid", True) >= hits(library, QUESTIONS, 15, "hybrid", False)


def test_trigrams_find_what_is_misspelt_and_words_do_not(library: Library) -> None:
    assert hits(library, MISSPELT, 15, "trigrams", True) >= 0.8
    assert hits(library, MISSPELT, 15, "hybrid", True) >= 0.8
    assert hits(library, MISSPELT, 15, "words", True) <= 0.4


def test_no_width_makes_up_an_answer_that_the_topics_do_not_have(library: Library) -> None:
    accepted = [
        (question, k)
        for question in ELSEWHERE
        for k in (5, 15, 40)
        if answered(library, question, k)[1]["on_topic"]
    ]

    assert accepted == []


def test_every_extractive_answer_is_grounded(library: Library) -> None:
    for question in [*QUESTIONS, *MISSPELT]:
        topics, verdict = answered(library, question, 15)
        assert not topics or verdict["grounded"], (question, verdict)


@pytest.mark.parametrize("question", WIDER)
def test_a_refused_answer_is_mended_by_retrieving_wider(library: Library, question: str) -> None:
    _, first = answered(library, question, 5)
    cited, wider = answered(library, question, 15)

    assert not first["on_topic"]
    assert first["reason"]
    assert wider["on_topic"]
    assert WIDER[question] in cited


def test_some_answer_is_mended_by_the_widest_retrieval_only(library: Library) -> None:
    accepted = [answered(library, TWICE, k)[1]["on_topic"] for k in (5, 15, 40)]

    assert accepted == [False, False, True]


def test_the_same_question_gets_the_same_answer_every_time(library: Library) -> None:
    question = "What does the with statement do?"
    again = Library.open()

    assert library.search(question, 15) == again.search(question, 15)
    assert answered(library, question) == answered(again, question)
    again.close()
