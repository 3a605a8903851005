"""`phantoms`, `xray-analyzer`, `mri-analyzer`, by ``--role``: they make and measure pictures that show nobody.

Numbers of pictures, and no more: what they mean for anybody's health is not known here.
"""

from __future__ import annotations

from typing import Any

import images
import numpy as np
import serving
from serving import Refused, arguments, serve_app

SPOTS = ("none", "left", "right")


def make_phantoms(case: int) -> dict[str, Any]:
    """A projection and a section of the made-up case: with no spot, one on the same side, or on one of them only."""
    side = SPOTS[1 + case % 2]
    in_projection = side if case % 3 else "none"
    in_section = side if case % 3 == 1 else "none"
    return {
        "case": case,
        "xray": images.encoded(images.projection(case, in_projection)),
        "mri": images.encoded(images.section(case, in_section)),
    }


def analyze_xray(image: str) -> dict[str, Any]:
    """What is measured in a projection."""
    return {"kind": "xray", **_measured(image)}


def analyze_mri(image: str) -> dict[str, Any]:
    """What is measured in a section, and how bright it is from its middle to its edge."""
    pixels = _pixels(image)
    rows, columns = np.indices(pixels.shape)
    middle = (pixels.shape[0] - 1) / 2, (pixels.shape[1] - 1) / 2
    away = np.hypot((rows - middle[0]) / middle[0], (columns - middle[1]) / middle[1])
    rings = [
        round(float(pixels[(away >= a) & (away < a + 0.2)].mean()), 4) for a in (0.0, 0.2, 0.4, 0.6, 0.8)
    ]
    return {"kind": "mri", **images.measured(pixels), "rings": rings}


def _measured(image: str) -> dict[str, Any]:
    return images.measured(_pixels(image))


def _pixels(image: str) -> images.Grey:
    try:
        return images.decoded(image)
    except ValueError as error:
        raise Refused(-32602, str(error)) from None


ROLES = {"phantoms": make_phantoms, "xray-analyzer": analyze_xray, "mri-analyzer": analyze_mri}


def main() -> None:
    """Serve."""
    parser = arguments()
    parser.add_argument("--role", required=True, choices=ROLES)
    options = parser.parse_args()
    serve_app(serving.application(options.role, ROLES[options.role]), options)


if __name__ == "__main__":
    main()
