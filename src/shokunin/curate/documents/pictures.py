"""Pictures of documents (PNG, JPEG, TIFF with several pages, WebP) to arrays for OCR."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable
from typing import Any

from shokunin.curate.documents.limits import DocumentLimits
from shokunin.errors import DocumentError, MissingExtraError
from shokunin.forms import Line
from shokunin.progress import Progress

_WARNINGS = threading.Lock()


def read_pictures(
    data: bytes,
    name: str,
    limits: DocumentLimits,
    ocr: Callable[[Any, str, int], list[Line]],
    progress: Progress,
) -> list[Line]:
    """The lines of a picture, or of each picture in a TIFF.

    Raises:
        DocumentError: it is damaged, or larger than is read.
        MissingExtraError: the libraries are not installed.
    """
    try:
        import numpy as np
        from PIL import Image, ImageOps
    except ModuleNotFoundError as error:
        raise MissingExtraError("pillow", "documents") from error
    lines: list[Line] = []
    try:
        # Its own warning about large pictures comes before its size can be looked at; our limit is lower.
        with _WARNINGS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "TIFF", "WEBP"))
        with opened:
            count = getattr(opened, "n_frames", 1) if opened.format == "TIFF" else 1
            if count > limits.pages:
                raise DocumentError(name, f"a TIFF of more than {limits.pages:,} pages", f"it has {count:,}: split it")
            for number in range(count):
                if number:
                    opened.seek(number)
                width, height = opened.size
                if width * height > limits.pixels:
                    reason = f"a picture of more than {limits.pixels / 1e6:,.0f} million pixels"
                    raise DocumentError(name, reason, f"it has {width:,} × {height:,}; scan it at 300 dots per inch")
                upright = ImageOps.exif_transpose(opened)
                rgb = np.asarray(_on_white(upright, Image))
                lines += ocr(np.ascontiguousarray(rgb[:, :, ::-1]), name, number)
                progress("reading pages", number + 1, count)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DocumentError(name, "the picture is damaged", f"{error}; save it again") from error
    return lines


def _on_white(picture: Any, image: Any) -> Any:
    """The picture in three colours; what is transparent becomes white, as on paper."""
    if picture.mode.startswith("I"):  # 16 or 32 bits a pixel
        picture = picture.point(lambda v: v / 256).convert("L") if picture.mode != "I" else picture.convert("L")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = image.new("RGBA", picture.size, "white")
        return image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("RGB")
