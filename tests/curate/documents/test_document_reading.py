"""Documents of every kind to text with places, and what is refused and why."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from made_documents import ENCRYPT, encoded, pdf, picture
from PIL import Image

from shokunin.curate.documents import ocr
from shokunin.curate.documents.limits import DocumentLimits
from shokunin.curate.read_documents import read_document
from shokunin.errors import DocumentError, MissingExtraError

PAGE = [(50, 100, "Invoice 4711"), (50, 140, "Total"), (500, 140, "9.00")]


def said(data: bytes, **limits: float) -> list[str]:
    return [" ".join(line.text.split()) for line in read_document(data, limits=DocumentLimits(**limits)).lines]


def refused(data: bytes, **limits: float) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        said(data, **limits)
    assert str(caught.value).startswith("'document': ")
    return caught.value


def test_the_text_of_a_pdf_with_its_places() -> None:
    document = read_document(pdf([PAGE, [(50, 100, "second page")]]))
    assert [line.page for line in document.lines] == [0, 0, 1]
    first, total, _ = document.lines
    assert (first.text, total.text.split()) == ("Invoice 4711", ["Total", "9.00"])
    assert first.box is not None and total.box is not None
    assert first.box[0] == 50 and 85 < first.box[1] < 100 < first.box[3] < 108
    assert total.box[0] == 50 and 515 < total.box[2] < 525


@pytest.mark.parametrize("rotate", [90, 180, 270])
def test_a_page_turned_by_its_viewer_reads_the_same_with_the_same_places(rotate: int) -> None:
    turned, plain = read_document(pdf([PAGE], rotate=rotate)), read_document(pdf([PAGE]))
    assert turned.text == plain.text
    for one, other in zip(turned.lines, plain.lines, strict=True):
        assert one.box == pytest.approx(other.box, abs=0.2)


@pytest.mark.parametrize("matrix", ["0 1 -1 0", "0 -1 1 0", "-1 0 0 -1"])
def test_text_that_stands_sideways_is_read_after_the_rest(matrix: str) -> None:
    document = read_document(pdf([PAGE], sideways=[(300, 400, "sideways text"), (320, 400, "and more")], matrix=matrix))
    assert [" ".join(line.text.split()) for line in document.lines[:2]] == ["Invoice 4711", "Total 9.00"]
    assert {line.text for line in document.lines[2:]} == {"sideways text", "and more"} or matrix == "-1 0 0 -1"
    assert sorted("".join(line.text for line in document.lines[2:]).replace(" ", "")) == sorted("sidewaystextandmore")


def test_a_page_whose_text_all_stands_sideways_is_turned() -> None:
    document = read_document(pdf([[]], sideways=[(100, 500, "Invoice"), (130, 500, "4711")], matrix="0 1 -1 0"))
    assert document.text == "Invoice\n4711"
    first, second = (line.box for line in document.lines)
    assert first is not None and second is not None
    assert first[0] == pytest.approx(second[0], abs=0.2) and first[3] <= second[1] and first[2] - first[0] > 25


def test_a_scan_in_a_pdf_is_read_by_ocr_in_the_places_of_the_page() -> None:
    scan = picture("Invoice 4711", "Total 9.00", size=(700, 300))
    document = read_document(pdf([[], []], size=(350, 150), scan=scan))
    assert [(line.text, line.page) for line in document.lines] == [
        ("Invoice 4711", 0),
        ("Total 9.00", 0),
        ("Invoice 4711", 1),
        ("Total 9.00", 1),
    ]
    box = document.lines[0].box
    assert box is not None and 10 < box[0] < 30 and 80 < box[2] < 120 and box[3] < 50


def test_a_stamp_on_a_scan_does_not_stand_for_it() -> None:
    scan = picture("Invoice 4711", size=(700, 300))
    assert "Invoice 4711" in said(pdf([[(10, 145, "scanned")]], size=(350, 150), scan=scan))


def test_an_empty_page_between_others_is_nothing_to_read() -> None:
    assert said(pdf([[(50, 100, "one")], [], [(50, 100, "three")]])) == ["one", "three"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_pictures_are_told_by_their_bytes_and_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "scan.pdf"  # whatever it is called
    path.write_bytes(encoded(picture("Invoice 4711", "Total 9.00", slant=3), kind))
    document = read_document(path)
    assert document.text == "Invoice 4711\nTotal 9.00"
    assert document.lines[0].box is not None


def test_each_picture_of_a_tiff_is_a_page() -> None:
    both = encoded(picture("Page one"), "TIFF", save_all=True, append_images=[picture("Page two")])
    assert [(line.text, line.page) for line in read_document(both).lines] == [("Page one", 0), ("Page two", 1)]
    assert refused(both, pages=1).reason == "a TIFF of more than 1 pages"


@pytest.mark.parametrize("mode", ["RGBA", "L", "1", "P", "LA", "I;16", "CMYK"])
def test_pictures_of_all_modes_are_read(mode: str) -> None:
    page = picture("Invoice 4711")
    if mode == "I;16":
        page = Image.fromarray((__import__("numpy").asarray(page.convert("L")).astype("uint16")) * 256)
    else:
        page = page.convert(mode)
    assert said(encoded(page, "TIFF" if mode == "CMYK" else "PNG")) == ["Invoice 4711"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp932"])
def test_plain_text_passes_through(encoding: str) -> None:
    text = "請求書番号 4711\r\nご請求金額は、お振込みにてお支払いください。\n"
    assert read_document(text.encode(encoding)).text == text.replace("\r\n", "\n")


def test_without_ocr_a_page_without_text_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    ocr._reader.cache_clear()
    with pytest.raises(
        MissingExtraError, match=r"'a\.pdf', page 2, carries no text .*pip install 'shokunin\[documents\]'"
    ):
        read_document(pdf([[*PAGE, (50, 300, 50 * "x")], [(9, 9, ".")]], scan=picture("x")), name="a.pdf")
    ocr._reader.cache_clear()


def test_without_pdfium_a_pdf_asks_for_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    with pytest.raises(MissingExtraError, match=r"shokunin\[documents\]"):
        said(pdf([PAGE]))


def test_an_encrypted_pdf() -> None:
    assert refused(pdf([PAGE], trailer=ENCRYPT)).reason == "the PDF is encrypted"


def test_a_pdf_of_ten_thousand_pages() -> None:
    error = refused(pdf([[(50, 100, "x")]] * 10_000))
    assert error.reason == "a PDF of more than 200 pages" and "10,000" in str(error)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3])
def test_a_truncated_pdf(share: float) -> None:
    whole = pdf([PAGE])
    assert refused(whole[: max(16, int(share * len(whole)))]).reason == "the PDF is damaged"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_truncated_picture(kind: str) -> None:
    whole = encoded(picture("Invoice 4711"), kind)
    assert refused(whole[: len(whole) // 2]).reason == "the picture is damaged"


def test_a_picture_of_a_hundred_megapixels_is_not_unpacked() -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    error = refused(bomb)
    assert error.reason == "a picture of more than 40 million pixels" and "10,000 × 10,000" in str(error)


def test_a_picture_that_is_too_large_inside_a_pdf() -> None:
    scan = pdf([[]], scan=picture("x", size=(700, 300)))
    assert refused(scan, pixels=200_000).reason == "a page with pictures of more than 0 million pixels"


def test_a_huge_page_without_text() -> None:
    assert "a page of more than" in refused(pdf([[]], size=(14_000, 14_000), scan=picture("x"))).reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b" \n\t\n", "there is no text in it"),
        (b"PK\x03\x04 and so on", "it is an Office file or another ZIP archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "it is an old Office file"),
        (b"GIF89a\x01\x00", "it is a GIF picture"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00", "it is a HEIC or AVIF picture"),
        (bytes(range(32)) * 9, "it is of a kind that is not read"),
        (b"%PDF-1.7\n", "the PDF is damaged"),
    ],
)
def test_files_of_other_kinds(data: bytes, reason: str) -> None:
    assert refused(data).reason == reason


def test_a_blank_scan_has_no_text() -> None:
    assert refused(encoded(picture(), "PNG")).reason == "there is no text in it"


def test_too_much_text_and_too_large_a_file() -> None:
    assert refused(pdf([PAGE]), characters=10).reason == "a document of more than 10 characters"
    assert refused(b"long " * 100, characters=10).reason == "a document of more than 10 characters"
    assert refused(b"x" * (2 << 20), file_bytes=1 << 20).reason == "a file of more than 1 MiB"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="the file is not there"):
        read_document(tmp_path / "gone.pdf")
    with pytest.raises(DocumentError, match="the file is not there"):
        read_document(tmp_path)


def test_progress_is_told_after_every_page() -> None:
    told: list[tuple[str, float, float | None]] = []
    read_document(pdf([PAGE, PAGE]), progress=lambda *what: told.append(what))
    assert told == [("reading pages", 1, 2), ("reading pages", 2, 2)]


def test_what_reads_documents_loads_its_libraries_only_for_one() -> None:
    code = """
import sys
import shokunin.curate.read, shokunin.curate.read_documents, shokunin.curate.documents.apart, shokunin.pipeline.predicting
print(sorted({"pypdfium2", "rapidocr", "PIL", "cv2"} & {name.split(".")[0] for name in sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_was_typed_into_a_form_is_text_like_the_rest() -> None:
    plain = pdf([[(50, 100, "Order number")]])
    body = plain[: plain.index(b"xref\n")]
    body = body.replace(b"/Type /Catalog", b"/Type /Catalog /AcroForm << /Fields [6 0 R] /DA (/F 10 Tf) >>")
    body = body.replace(b"/Type /Page /Parent", b"/Type /Page /Annots [6 0 R] /Parent")
    shown = b"/Tx BMC BT /F 10 Tf 2 4 Td (PO-4711) Tj ET EMC"
    body += b"6 0 obj\n<< /Type /Annot /Subtype /Widget /FT /Tx /T (number) /V (PO-4711) /Rect [200 735 300 755] /F 4 /P 5 0 R "
    body += (
        b"/DA (/F 10 Tf) /AP << /N 7 0 R >> >>\nendobj\n7 0 obj\n<< /Type /XObject /Subtype /Form /BBox [0 0 100 20] "
    )
    body += b"/Resources << /Font << /F 3 0 R >> >> /Length %d >> stream\n%b\nendstream\nendobj\n" % (len(shown), shown)
    assert said(body + b"trailer << /Size 8 /Root 1 0 R >>\n%%EOF") == ["Order number PO-4711"]
