"""Topics become passages that can be read: prose unwrapped, code kept, each text once."""

from __future__ import annotations

import re

from dalsegno.demo import topics

WORD = re.compile(r"(?<![\w-])[^\W\d_]+(?![\w-])")

TEXT = """Title of it
***********

An *emphasis*, a **strong** word, a footnote [2], "*args" and a built-
in name stand
on wrapped lines.

The code:

   with open() as f:
       pass

   more = "*code*"

Note:

  A note is prose.

thing.method(a[, b])

   Does a thing.  See "x".

   * one item
     goes on

   * another


Next section
============

+------+----------+
| Name | Meaning  |
|======|==========|
| "a"  | the      |
|      | first    |
+------+----------+
| "b"  | second   |
+------+----------+
"""


def test_prose_is_unwrapped_and_code_kept_as_it_is() -> None:
    found = list(topics.blocks(TEXT))

    assert [(block.kind, block.text) for block in found] == [
        ("heading", "Title of it"),
        (
            "prose",
            'An emphasis, a strong word, a footnote, "*args" and a built-in name stand on wrapped lines.',
        ),
        ("prose", "The code:"),
        ("code", "    with open() as f:\n        pass"),
        ("code", '    more = "*code*"'),
        ("prose", "A note is prose."),
        ("signature", "thing.method(a[, b])"),
        ("prose", 'Does a thing. See "x".'),
        ("item", "* one item goes on"),
        ("item", "* another"),
        ("heading", "Next section"),
        ("item", '* "a": the first'),
        ("item", '* "b": second'),
    ]


def test_a_passage_begins_at_each_heading_and_signature_and_says_where_it_stands() -> None:
    found = topics.passages("it", TEXT)

    assert [(p["id"], p["position"], p["heading"]) for p in found] == [
        ("it:0", 0, "Title of it"),
        ("it:1", 1, "Title of it › thing.method(a[, b])"),
        ("it:2", 2, "Title of it › Next section"),
    ]


def test_a_text_that_two_topics_share_belongs_to_the_smaller() -> None:
    part = "The part\n========\n\nIt says something.\n"
    whole = f"The whole\n*********\n\nMuch more than that, and then some.\n\n\n{part}"

    found = topics.split({"a-whole": whole, "part": part})

    assert [(p["topic"], p["text"]) for p in found] == [
        ("a-whole", "Much more than that, and then some."),
        ("part", "It says something."),
    ]


def test_the_topics_of_this_python_lose_no_words() -> None:
    for name, text in topics.load().items():
        kept = " ".join(block.text for block in topics.blocks(text))
        lost = (
            set(WORD.findall(text))
            - set(WORD.findall(kept))
            - {"Note", "See", "also", "Warning", "Important"}
        )
        assert len(lost) <= 6, (name, lost)


def test_the_topics_of_this_python_are_paragraphs() -> None:
    found = topics.split(topics.load())

    sizes = sorted(len(p["text"]) for p in found)
    assert len(found) > 300
    assert 200 <= sizes[len(sizes) // 2] <= 900
    assert len({p["id"] for p in found}) == len({p["text"] for p in found}) == len(found)
