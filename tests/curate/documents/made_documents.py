"""Small PDFs and pictures made on the spot."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

Placed = tuple[float, float, str]
"""From the left and from the top in points, and what stands there."""

ENCRYPT = b"/Encrypt << /Filter /Standard /V 1 /R 2 /O <%b> /U <%b> /P -4 >> /ID [<00> <00>]" % (b"41" * 32, b"42" * 32)


def pdf(
    pages: Sequence[Sequence[Placed]],
    *,
    size: tuple[float, float] = (595, 842),
    rotate: int = 0,
    font: float = 10,
    sideways: Sequence[Placed] = (),
    matrix: str = "0 1 -1 0",
    scan: Image.Image | None = None,
    trailer: bytes = b"",
) -> bytes:
    """A PDF with text in Helvetica; `sideways` stands on each page turned by `matrix`, `scan` fills it behind the text."""
    width, height = size
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    resources = b"/Resources << /Font << /F 3 0 R >> >>"
    behind = b""
    if scan is not None:
        jpeg = io.BytesIO()
        scan.convert("RGB").save(jpeg, "JPEG", quality=90)
        about = (
            b"<< /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceRGB /BitsPerComponent 8 "
            % scan.size
        )
        data = jpeg.getvalue()
        objects.append(about + b"/Filter /DCTDecode /Length %d >> stream\n%b\nendstream" % (len(data), data))
        resources = b"/Resources << /Font << /F 3 0 R >> /XObject << /S 4 0 R >> >>"
        behind = b"q %g 0 0 %g 0 0 cm /S Do Q " % (width, height)
    kids = []
    for placed in pages:
        shown = [
            b"BT /F %g Tf %b %g %g Tm (%b) Tj ET"
            % (font, how.encode(), x, height - y, text.encode("cp1252").replace(b"(", b"\\(").replace(b")", b"\\)"))
            for how, (x, y, text) in [("1 0 0 1", p) for p in placed] + [(matrix, p) for p in sideways]
        ]
        content = behind + b"\n".join(shown)
        objects.append(b"<< /Length %d >> stream\n%b\nendstream" % (len(content), content))
        kids.append(len(objects) + 1)
        box = b"/MediaBox [0 0 %g %g] /Rotate %d" % (width, height, rotate)
        contents = b"/Contents %d 0 R" % len(objects) if content else b""
        objects.append(b"<< /Type /Page /Parent 2 0 R %b %b %b >>" % (box, resources, contents))
    objects[1] = b"<< /Type /Pages /Count %d /Kids [%b] >>" % (len(kids), b" ".join(b"%d 0 R" % k for k in kids))
    out, places = io.BytesIO(), []
    out.write(b"%PDF-1.4\n")
    for number, one in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%b\nendobj\n" % (number, one))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.writelines(b"%010d 00000 n \n" % place for place in places)
    out.write(b"trailer << /Size %d /Root 1 0 R %b >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, trailer, start))
    return out.getvalue()


def picture(*lines: str, size: tuple[int, int] = (700, 300), slant: float = 0.0) -> Image.Image:
    """Lines of text on white, as a clean scan shows them."""
    page = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        draw.text((40, 30 + 50 * number), line, "black", ImageFont.load_default(28))
    return page.rotate(slant, fillcolor="white", resample=Image.Resampling.BICUBIC) if slant else page


def encoded(page: Image.Image, kind: str, **options: object) -> bytes:
    """A picture as the bytes of a file."""
    out = io.BytesIO()
    page.save(out, kind, **options)
    return out.getvalue()
