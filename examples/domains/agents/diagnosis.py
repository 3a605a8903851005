"""`diagnosis-agent`: rules over the numbers of two test images, which say nothing about anybody."""

from __future__ import annotations

from typing import Any

from serving import serve

NOTICE = "Rules over numbers of generated test images: no medical statement."


def generate_diagnosis(xray_results: dict[str, Any], mri_results: dict[str, Any]) -> dict[str, Any]:
    """What the rules make of it: a finding, how sure they are of it, and which of them spoke."""
    sides = [
        {region["side"] for region in results["bright_regions"]} for results in (xray_results, mri_results)
    ]
    both = sorted(sides[0] & sides[1])
    either = sorted(sides[0] | sides[1])
    rules = []
    if both:
        finding = f"bright region, {both[0]}"
        rules.append(f"both pictures have a bright region on the {both[0]}")
    elif either:
        finding = f"unclear, {either[0]}"
        rules.append(f"one picture has a bright region on the {either[0]}, the other has none there")
    else:
        finding = "nothing remarkable"
        rules.append("neither picture has a bright region")
    uneven = [results["kind"] for results in (xray_results, mri_results) if results["symmetry"] < 0.9]
    rules += [f"the halves of the {kind} picture differ" for kind in uneven]
    agreement = 2 if both or not either else 1
    sure = round(min(1.0, 0.4 * agreement + 0.1 * (len(uneven) if either else 2 - len(uneven))), 2)
    return {
        "finding": finding,
        "side": (both or either or [None])[0],
        "sure": sure,
        "rules": rules,
        "notice": NOTICE,
    }


if __name__ == "__main__":
    serve("diagnosis-agent", generate_diagnosis)
