"""Pictures as numbers: phantoms (made-up test images), and what can be measured in them with Pillow and numpy."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE = 128
Grey = NDArray[np.float64]


def projection(case: int, spot: str) -> Grey:
    """A phantom like a projection through a body: two dark fields, ribs across them, noise; and a spot, where asked.

    `spot` is ``"left"``, ``"right"`` or ``"none"``.
    """
    noise = np.random.default_rng([case, 1])
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    image = 0.45 * np.exp(-((x / 0.9) ** 2) - (y / 1.1) ** 2)
    for side in (-1, 1):
        image -= 0.25 * np.exp(-(((x - 0.42 * side) / 0.26) ** 4) - (y / 0.6) ** 4)
    image += 0.05 * np.sin(14 * (y - 0.25 * np.abs(x))) * (np.abs(y) < 0.75)
    return _finished(image, spot, noise, centre=0.42, height=0.1, strength=0.4)


def section(case: int, spot: str) -> Grey:
    """A phantom like a section: ellipses within each other, noise; and a spot, where asked."""
    noise = np.random.default_rng([case, 2])
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    image = np.zeros((SIZE, SIZE))
    for half, value in ((0.85, 0.35), (0.78, 0.12), (0.70, 0.30), (0.30, 0.22)):
        image[(x / half) ** 2 + (y / (half * 1.15)) ** 2 < 1] = value
    return _finished(image, spot, noise, centre=0.45, height=-0.15, strength=0.45)


def _finished(
    image: Grey, spot: str, noise: np.random.Generator, *, centre: float, height: float, strength: float
) -> Grey:
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    if spot in ("left", "right"):
        middle = -centre if spot == "left" else centre
        image = image + strength * np.exp(-((x - middle) ** 2 + (y - height) ** 2) / 0.012)
    return np.clip(image + noise.normal(0, 0.012, image.shape), 0, 1)


def encoded(image: Grey) -> str:
    """A PNG, in base64."""
    file = io.BytesIO()
    Image.fromarray((image * 255).round().astype(np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")


def decoded(text: str) -> Grey:
    """The grey values, from 0 to 1, of a picture in any format that Pillow reads, in base64.

    Raises ValueError where it is no picture, or one of more than four million pixels.
    """
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True))) as picture:
            if picture.width * picture.height > 4_000_000:
                raise ValueError("it has more than four million pixels")
            return np.asarray(picture.convert("L"), dtype=np.float64) / 255
    except (OSError, ValueError) as error:
        raise ValueError(f"This is no picture: {error}.") from None


def measured(image: Grey) -> dict[str, Any]:
    """What can be measured in any picture: brightness, contrast, histogram, symmetry, edges and bright regions."""
    smooth = _smoothed(image)
    counts, _ = np.histogram(image, bins=8, range=(0, 1))
    left, right = image[:, : image.shape[1] // 2], image[:, ::-1][:, : image.shape[1] // 2]
    slope = np.hypot(*np.gradient(smooth))
    return {
        "width": image.shape[1],
        "height": image.shape[0],
        "mean": round(float(image.mean()), 4),
        "contrast": round(float(image.std()), 4),
        "histogram": [round(float(count) / image.size, 4) for count in counts],
        "symmetry": round(float(np.corrcoef(left.ravel(), right.ravel())[0, 1]), 4),
        "edges": round(float((slope > 0.03).mean()), 4),
        "bright_regions": regions(smooth),
    }


def regions(smooth: Grey, *, least: int = 12) -> list[dict[str, Any]]:
    """Regions that are brighter than their mirror image by 0.15, the largest first: area, centre, side, brightness."""
    bright = (smooth - smooth[:, ::-1]) > 0.15
    found: list[dict[str, Any]] = []
    seen = np.zeros_like(bright)
    for start in zip(*np.nonzero(bright), strict=True):
        if seen[start]:
            continue
        inside, todo = [], [start]
        seen[start] = True
        while todo:
            row, column = todo.pop()
            inside.append((row, column))
            for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                inside_it = 0 <= near[0] < bright.shape[0] and 0 <= near[1] < bright.shape[1]
                if inside_it and bright[near] and not seen[near]:
                    seen[near] = True
                    todo.append(near)
        if len(inside) >= least:
            rows, columns = np.array(inside).T
            found.append(
                {
                    "area": len(inside),
                    "centre": [round(float(columns.mean()), 1), round(float(rows.mean()), 1)],
                    "side": "left" if columns.mean() < bright.shape[1] / 2 else "right",
                    "brightness": round(float(smooth[rows, columns].mean()), 4),
                }
            )
    return sorted(found, key=lambda region: region["area"], reverse=True)


def _smoothed(image: Grey) -> Grey:
    """The mean of each pixel's neighbourhood of five by five."""
    padded = np.pad(image, 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
    return np.asarray(windows.mean(axis=(2, 3)))
