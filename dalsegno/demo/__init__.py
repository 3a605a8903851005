"""The demo: questions answered from the documentation topics that Python itself carries.

Nothing here is written by us but the way to find things: the text is `pydoc_data.topics`, the index
is SQLite FTS5, and an answer consists of sentences of that text with the topics they stand in.

- `topics`: the text, split into passages
- `library`: the passages in a full-text index; `Library.search`
- `words`: tokens, stems, stop words and misspellings
- `reading`: keywords, grade, rerank, answer and check: pure functions of passages
"""
