"""Reads the print on a photo on this machine: rapidocr on the CPU, with the models that its wheel brought along.

Runs only in a helper process (`model_process`): a hostile file may crash a decoder, and reading takes the CPU.
"""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image

from store.media.decoder.decode import render

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rapidocr import RapidOCR

# Letters are found at 960 pixels and read at 2000: 1.5 s of CPU for a name plate and 1.0 s for a wall. Finding them at
# 2000 as well takes 5 s and reads the same.
_EDGE, _FOUND_AT = 2000, 960
_CPU_THREADS = 2
# Below this rapidocr guesses at stains and leaves.
_SURE = 0.6
_MOST_ROWS, _LONGEST_ROW = 60, 200
_ROOM = 8  # pixels around a row, so that a frame does not stand on its letters


class _Box(NamedTuple):
    """A stretch of print, its sides in pixels."""

    text: str
    score: float
    left: float
    top: float
    right: float
    bottom: float


def read(content: bytes, content_type: str) -> list[dict[str, Any]]:
    """Return the rows of print from top to bottom: {text, confidence, region}. Raises `Unreadable`."""
    import numpy as np  # noqa: PLC0415 - only a helper that reads needs it

    image = Image.open(io.BytesIO(render(content, content_type, _EDGE))).convert("RGB")
    found: Any = _reader()(np.asarray(image)[:, :, ::-1])  # it wants blue, green, red
    if found.boxes is None or found.txts is None or found.scores is None:
        return []
    boxes = [_box(*one) for one in zip(found.boxes, found.txts, found.scores, strict=True) if one[2] >= _SURE]
    return [_plain(row, image.size) for row in rows(boxes)[:_MOST_ROWS]]


def load() -> None:
    """Load the model."""
    _reader()


def rows(boxes: Iterable[_Box]) -> list[list[_Box]]:
    """Lay boxes that stand beside each other into one row: a plate prints "MODEL" here and its number there."""
    laid: list[list[_Box]] = []
    for box in sorted(boxes, key=lambda box: box.top + box.bottom):
        middle = (box.top + box.bottom) / 2
        if laid and laid[-1][0].top < middle < laid[-1][0].bottom:
            laid[-1].append(box)
        else:
            laid.append([box])
    return [sorted(row, key=lambda box: box.left) for row in laid]


def _box(corners: Any, text: str, score: float) -> _Box:
    across, down = [float(x) for x, _ in corners], [float(y) for _, y in corners]
    return _Box(text, float(score), min(across), min(down), max(across), max(down))


def _plain(row: Sequence[_Box], size: tuple[int, int]) -> dict[str, Any]:
    width, height = size
    left, top = (max(min(sides) - _ROOM, 0) for sides in ([box.left for box in row], [box.top for box in row]))
    right = min(max(box.right for box in row) + _ROOM, width)
    bottom = min(max(box.bottom for box in row) + _ROOM, height)
    return {
        "text": " ".join(box.text.strip() for box in row)[:_LONGEST_ROW],
        "confidence": round(min(box.score for box in row), 3),
        "region": {
            "x": round(left / width, 4),
            "y": round(top / height, 4),
            "w": round((right - left) / width, 4),
            "h": round((bottom - top) / height, 4),
        },
    }


@cache
def _reader() -> RapidOCR:
    import rapidocr  # noqa: PLC0415 - with OpenCV 150 MB; only a helper that reads needs it

    models = Path(rapidocr.__file__).parent / "models"
    # Where a model is named by its path, rapidocr never fetches one.
    return rapidocr.RapidOCR(
        params={
            "Global.log_level": "critical",
            "EngineConfig.onnxruntime.intra_op_num_threads": _CPU_THREADS,
            "Det.limit_type": "max",
            "Det.limit_side_len": _FOUND_AT,
            "Det.model_path": str(models / "PP-OCRv6_det_small.onnx"),
            "Cls.model_path": str(models / "ch_ppocr_mobile_v2.0_cls_mobile.onnx"),
            "Rec.model_path": str(models / "PP-OCRv6_rec_small.onnx"),
        }
    )
