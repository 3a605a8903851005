"""`keywords`: how dense the keywords of a text are."""

from __future__ import annotations

from typing import Any

from sentences import words
from serving import serve


def check_keywords(text: str, keywords: list[str], least: float = 0.02, most: float = 0.09) -> dict[str, Any]:
    """The share of each keyword among the words, and which are below `least` or above `most`."""
    every = [word.lower() for word in words(text)]
    density = {
        keyword: round(
            sum(word in (keyword.lower(), f"{keyword.lower()}s") for word in every) / max(len(every), 1), 4
        )
        for keyword in keywords
    }
    rare = [keyword for keyword, share in density.items() if share < least]
    dense = [keyword for keyword, share in density.items() if share > most]
    return {
        "check": "keywords",
        "good": not rare and not dense,
        "density": density,
        "rare": rare,
        "dense": dense,
    }


if __name__ == "__main__":
    serve("keywords", check_keywords)
