"""How large a document may be: everything here is looked at before the work that it would cost."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class DocumentLimits(BaseModel):
    """What is read; beyond it a document is refused with the limit named.

    Attributes:
        file_bytes: size of the file.
        pages: of a PDF, or pictures in a TIFF.
        characters: of its text.
        pixels: of one picture, or of all pictures on one page together; 40 million are an A4 page at 600 dpi.
        page_points: a page's longer side, in points of 1/72 inch, when it has to be drawn for OCR.
        page_seconds: how long one page may take; only where a process of its own does the work.
        memory_bytes: what that process may take.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file_bytes: int = Field(default=100 << 20, gt=0)
    pages: int = Field(default=200, gt=0)
    characters: int = Field(default=1_000_000, gt=0)
    pixels: int = Field(default=40_000_000, gt=0)
    page_points: float = Field(default=5_000.0, gt=0)
    page_seconds: float = Field(default=180.0, gt=0)
    memory_bytes: int = Field(default=6 << 30, gt=0)
