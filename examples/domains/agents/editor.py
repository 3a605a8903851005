"""`editor`: says what a draft still needs, and makes the last one ready."""

from __future__ import annotations

import re
from typing import Any

from sentences import sentences, words
from serving import serve


def judge_checks(draft: dict[str, Any], reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Whether all checks are good; else what is wished for, with what was wished for before."""
    wishes = dict(draft["wishes"])
    for report in reports:
        if report["check"] == "readability" and not report["good"]:
            wishes["simpler"] = True
        elif report["check"] == "spelling":
            wishes["avoid"] = sorted({*wishes.get("avoid", ()), *report["unknown"]})
        elif report["check"] == "keywords":
            for wish, words_of_it in (("more", report["rare"]), ("less", report["dense"])):
                if words_of_it:
                    wishes[wish] = words_of_it[0]
    good = all(report["good"] for report in reports)
    return {"good": good, "rounds": draft["round"], "draft": draft, "reports": reports, "wishes": wishes}


def final_edit(judged: dict[str, Any], sources: list[str]) -> dict[str, Any]:
    """The article as it is published: nothing twice, spaces and dashes in order, its sources below it."""
    kept: list[str] = []
    for line in sentences(judged["draft"]["text"]):
        line = re.sub(r"\s+([,.;:!?])", r"\1", re.sub(r"\s+", " ", line)).replace(" - ", " – ")
        line = f"{line[0].upper()}{line[1:]}"
        if line not in kept:
            kept.append(line)
    text = " ".join(kept)
    return {
        "title": judged["draft"]["title"],
        "text": text,
        "words": len(words(text)),
        "sources": sources,
        "rounds": judged["rounds"],
        "good": judged["good"],
        "checks": {report["check"]: report["good"] for report in judged["reports"]},
    }


if __name__ == "__main__":
    serve("editor", judge_checks, final_edit)
