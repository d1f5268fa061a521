"""Reading rows: formats, encodings, separators, and every bad file gets a clear error or loses only the row."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path

import duckdb
import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shokunin.curate.read import read_rows
from shokunin.curate.table import LONGEST_CELL, SET_ASIDE_BYTES, SET_ASIDE_LONG, SET_ASIDE_SURROGATE, Table
from shokunin.errors import DataError

JA = "注文した商品が届きません"
TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=40)


def write(folder: Path, name: str, data: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def rows_of(path: Path) -> tuple[list[dict[str, str]], Table]:
    table = read_rows(path)
    return [row for _, row in table.rows()], table


def as_csv(rows: list[list[str]], separator: str = ",", end: str = "\r\n") -> str:
    out = io.StringIO(newline="")
    # Python's writer leaves a lone carriage return unquoted when the line end has none.
    quoting = csv.QUOTE_MINIMAL if end == "\r\n" else csv.QUOTE_ALL
    csv.writer(out, delimiter=separator, lineterminator=end, quoting=quoting).writerows(rows)
    return out.getvalue()


# -- round trips ------------------------------------------------------------------------------------------------------


@given(
    rows=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8),
    shape=st.sampled_from([("a.csv", ","), ("a.tsv", "\t"), ("a.csv", ";"), ("a.csv", "|")]),
    end=st.sampled_from(["\n", "\r\n"]),
    bom=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_any_text_survives_csv_and_tsv(tmp_path_factory, rows, shape, end, bom):
    name, separator = shape
    data = as_csv([["text", "label"], *map(list, rows)], separator, end)
    path = write(tmp_path_factory.mktemp("r"), name, ("\ufeff" if bom else "") + data)
    found, table = rows_of(path)
    assert table.columns == ("text", "label")
    assert table.about["separator"] == separator
    assert [(r["text"], r["label"]) for r in found] == rows
    assert table.broken == []


@given(rows=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8), ascii_only=st.booleans(), bom=st.booleans())
@settings(max_examples=100, deadline=None)
def test_any_text_survives_jsonl(tmp_path_factory, rows, ascii_only, bom):
    lines = [json.dumps({"text": a, "label": b}, ensure_ascii=ascii_only) for a, b in rows]
    path = write(tmp_path_factory.mktemp("r"), "a.jsonl", ("\ufeff" if bom else "") + "\n".join(lines))
    found, table = rows_of(path)
    assert [(r["text"], r["label"]) for r in found] == rows
    assert table.broken == []


def test_line_separators_inside_cells_do_not_split_records(tmp_path):
    odd = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg"
    path = write(tmp_path, "a.csv", f"text,label\n{odd},x\n{odd},y\n")
    found, _ = rows_of(path)
    assert [r["text"] for r in found] == [odd, odd]
    path = write(tmp_path, "a.jsonl", json.dumps({"text": odd, "label": "x"}, ensure_ascii=False) + "\n")
    assert rows_of(path)[0] == [{"text": odd, "label": "x"}]


def test_quotes_line_breaks_and_empty_cells(tmp_path):
    path = write(tmp_path, "a.csv", 'text,label,note\r\n"two\r\nlines, and ""quotes""",x,\r\n,,\r\n\r\n"",y,z\r\n')
    found, table = rows_of(path)
    assert found == [
        {"text": 'two\r\nlines, and "quotes"', "label": "x", "note": ""},
        {"text": "", "label": "", "note": ""},
        {"text": "", "label": "y", "note": "z"},
    ]
    origins = [origin for origin, _ in table.rows()]
    assert origins == ["a.csv:2", "a.csv:3", "a.csv:5"]  # the header is record 1, the empty line is record 4


def test_old_mac_line_ends(tmp_path):
    path = write(tmp_path, "a.csv", "text,label\rone,x\rtwo,y\r")
    assert [r["text"] for r in rows_of(path)[0]] == ["one", "two"]


@pytest.mark.parametrize("encoding", ["cp932", "euc_jp", "iso2022_jp", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_japanese_encodings_are_recognised(tmp_path, encoding):
    sentences = [f"{i}番の{JA}。返金をお願いできますでしょうか。" for i in range(30)]
    data = as_csv([["本文", "分類"], *[[s, "配送"] for s in sentences]]).encode(encoding)
    found, table = rows_of(write(tmp_path, "a.csv", data))
    assert [r["本文"] for r in found] == sentences
    assert table.broken == []


def test_western_legacy_encoding_is_recognised(tmp_path):
    sentences = [f"Où est ma commande numéro {i} ? J'ai été débité à tort, c'est très gênant." for i in range(30)]
    data = as_csv([["text", "label"], *[[s, "x"] for s in sentences]], ";").encode("cp1252")
    found, table = rows_of(write(tmp_path, "a.csv", data))
    assert [r["text"] for r in found] == sentences
    assert table.about["separator"] == ";"


def test_the_separator_line_of_excel(tmp_path):
    found, table = rows_of(write(tmp_path, "a.csv", "sep=;\r\ntext;label\r\na, b, c;x\r\nd, e, f;y\r\n"))
    assert table.columns == ("text", "label")
    assert [r["text"] for r in found] == ["a, b, c", "d, e, f"]


def test_a_tsv_with_stray_quotes(tmp_path):
    lines = ["text\tlabel", *[f'"quoted start {i}\tx' for i in range(5)], '5" screen\ty', "plain\ty"]
    found, table = rows_of(write(tmp_path, "a.tsv", "\n".join(lines)))
    assert len(found) == 7 and not table.broken
    assert found[0]["text"] == '"quoted start 0'


def test_rows_can_be_read_again(tmp_path):
    table = read_rows(write(tmp_path, "a.csv", "text,label\na,x\nb\nc,y\n"))
    first, broken = list(table.rows()), list(table.broken)
    assert list(table.rows()) == first
    assert table.broken == broken == [("a.csv:3", "1 cells where the header has 2")]
    assert table.given == 2
    assert len(table.sample(1)) == 1


# -- formats ----------------------------------------------------------------------------------------------------------


def test_openai_fine_tuning_file(tmp_path):
    def line(*messages, **more):
        return json.dumps({"messages": [{"role": r, "content": c, **w} for r, c, w in messages], **more})

    system = ("system", "Classify.", {})
    lines = [
        line(system, ("user", "where is it?", {}), ("assistant", "delivery", {}), split="TRAIN"),
        line(("user", "first", {}), ("assistant", "wrong", {}), ("user", "last", {}), ("assistant", "refund", {})),
        line(
            ("developer", "Dev.", {}),
            ("user", [{"type": "text", "text": "in "}, {"type": "text", "text": "parts"}], {}),
        ),
        line(("user", "u", {}), ("assistant", "kept", {}), ("assistant", "not trained on", {"weight": 0})),
        '{"messages": "no"}',
    ]
    found, table = rows_of(write(tmp_path, "a.jsonl", "\n".join(lines)))
    assert table.about["format"] == "openai_chat"
    assert table.columns == ("text", "label", "system", "split")
    assert [(r["text"], r["label"], r["system"]) for r in found] == [
        ("where is it?", "delivery", "Classify."),
        ("last", "refund", ""),
        ("in \nparts", "", "Dev."),
        ("u", "kept", ""),
    ]
    assert table.broken == [("a.jsonl:5", "no record of a call in a shape that is read")]


def test_jsonl_values_that_are_no_strings(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"text": "a", "label": 1}\n{"text": null, "label": -1.0}\n{"label": true}\n')
    assert rows_of(path)[0] == [
        {"text": "a", "label": "1"},
        {"text": "", "label": "-1"},
        {"text": "", "label": "true"},
    ]


def test_jsonl_lines_that_cannot_be_used_are_set_aside(tmp_path):
    deep = "[" * 100_000
    lines = [b'{"text": "ok"}', b"not json", b"[1]", b'{"text": "\xff"}', b'{"text": "\\ud800"}', deep.encode()]
    lines += [f'{{"text": "{i}"}}'.encode() for i in range(20)] + ['{"text": "é"}'.encode()] * 20
    found, table = rows_of(write(tmp_path, "a.jsonl", b"\n".join(lines)))
    assert len(found) == 41
    reasons = [reason for _, reason in table.broken]
    assert reasons[:4] == ["not JSON", "JSON, but not an object", SET_ASIDE_BYTES, SET_ASIDE_SURROGATE]
    assert len(reasons) == 5


@given(rows=st.lists(st.tuples(TEXTS, st.integers(-9, 9)), min_size=1, max_size=6))
@settings(max_examples=20, deadline=None)
def test_parquet(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("[p]*") / "it's a?.parquet"
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (text VARCHAR, label INTEGER, day DATE)")
        connection.executemany("INSERT INTO t VALUES (?, ?, '2024-03-01')", [list(r) for r in rows])
        plain = path.with_name("plain.parquet")
        connection.execute(f"COPY t TO '{plain}' (FORMAT parquet)")
    plain.rename(path)
    found, table = rows_of(path)
    assert [(r["text"], int(r["label"]), r["day"]) for r in found] == [(a, b, "2024-03-01") for a, b in rows]
    assert table.columns == ("text", "label", "day")


def test_xlsx(tmp_path):
    book = openpyxl.Workbook()
    sheet = book.active
    for row in (
        ["text", "label", "n", ""],
        [JA, "配送", 1.0, None],
        [None, "x", None, None],
        [],
        ["a\u2028b", "y", 2.5, "z"],
    ):
        sheet.append(row)
    book.create_sheet("other")
    book.save(tmp_path / "a.xlsx")
    table = read_rows(tmp_path / "a.xlsx")
    assert table.about["sheets_not_read"] == ["other"]
    assert table.columns == ("text", "label", "n")
    found = list(table.rows())
    assert found[0] == ("a.xlsx:2", {"text": JA, "label": "配送", "n": "1"})
    assert found[1] == ("a.xlsx:3", {"text": "", "label": "x", "n": ""})
    assert len(found) == 2 and table.broken == [("a.xlsx:5", "4 cells where the header has 3")]


def test_rows_in_memory():
    with pytest.raises(DataError, match="row 1 is 'list'"):
        list(Table.of_rows(["text"], [["a"]]).rows())
    table = Table.of_rows(["text", "label"], [{"text": "a", "label": 1}, {"text": "\ud800", "label": None}, {}])
    assert [row for _, row in table.rows()] == [{"text": "a", "label": "1"}, {"text": "", "label": ""}]
    assert table.broken == [("rows:2", SET_ASIDE_SURROGATE)]


# -- bad files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet", "a.xlsx"])
@pytest.mark.parametrize("data", [b"", b"\n \n"])
def test_empty_file(tmp_path, name, data):
    with pytest.raises(DataError, match=rf"{name}'.*(is empty|not a readable Parquet|not an Excel)"):
        read_rows(write(tmp_path, name, data))


def test_missing_file_folder_and_unknown_kind(tmp_path):
    with pytest.raises(DataError, match=r"'.*nothere.csv' does not exist"):
        read_rows(tmp_path / "nothere.csv")
    with pytest.raises(DataError, match="is a folder"):
        read_rows(tmp_path)
    with pytest.raises(DataError, match=r"'.doc' are not read; expected CSV"):
        read_rows(write(tmp_path, "a.doc", "x"))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"PK\x03\x04" + bytes(100), "rename it to .xlsx"),
        (b"PAR1" + bytes(100), "rename it to .parquet"),
        (b"%PDF-1.7\n...", "PDF"),
        (b"\xd0\xcf\x11\xe0" + bytes(100), "old Excel"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG"),
        (bytes(range(256)) * 50, "zero bytes"),
        (bytes(range(1, 32)) * 50, "control bytes"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_binary_file_with_a_text_name(tmp_path, data, what, name):
    with pytest.raises(DataError, match=rf"not a text file.*{what}"):
        read_rows(write(tmp_path, name, data))


def test_binary_file_named_parquet_or_xlsx(tmp_path):
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read_rows(write(tmp_path, "a.parquet", bytes(range(256)) * 50))
    with pytest.raises(DataError, match="not an Excel workbook"):
        read_rows(write(tmp_path, "a.xlsx", bytes(range(256)) * 50))
    archive = tmp_path / "b.xlsx"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("hello.txt", "no workbook")
    with pytest.raises(DataError, match="not a readable Excel workbook"):
        read_rows(archive)


def test_duplicate_header_names_the_column(tmp_path):
    with pytest.raises(DataError, match=r"two columns named 'text' \(columns 1 and 3\)"):
        read_rows(write(tmp_path, "a.csv", "text,label, text\na,b,c\n"))


def test_a_column_without_a_name_is_called_by_its_place(tmp_path):
    assert rows_of(write(tmp_path, "a.csv", ",text\n1,a\n"))[1].columns == ("column_1", "text")


def test_ten_million_character_cell_costs_only_its_row(tmp_path):
    path = tmp_path / "a.csv"
    with path.open("w") as file:
        file.write("text,label\nbefore,x\n")
        file.write("a" * 10_000_000 + ",x\n")
        file.write('"' + "two\n" + "b" * 10 + '",y\n')
        file.write('"' + "c,\n" * 10 + "d" * 1_500_000 + '",y\nafter,y\n')
    found, table = rows_of(path)
    assert [r["text"] for r in found] == ["before", "two\n" + "b" * 10, "after"]
    assert table.broken == [("a.csv:3", SET_ASIDE_LONG), ("a.csv:5", SET_ASIDE_LONG)]


def test_ten_million_character_cell_in_quotes_over_many_lines(tmp_path):
    path = write(tmp_path, "a.csv", 'text,label\n"' + "x" * 5_000_000 + "\n" + "y" * 100 + '",x\nafter,y\n')
    found, table = rows_of(path)
    assert [r["text"] for r in found] == ["after"]
    assert table.broken == [("a.csv:2", SET_ASIDE_LONG)]


def test_ten_million_character_line_of_jsonl(tmp_path):
    long = json.dumps({"text": "a" * 10_000_000, "label": "x"})
    path = write(tmp_path, "a.jsonl", '{"text": "a", "label": "x"}\n' + long + '\n{"text": "b", "label": "x"}\n')
    found, table = rows_of(path)
    assert [r["text"] for r in found] == ["a", "b"]
    assert table.broken == [("a.jsonl:2", SET_ASIDE_LONG)]


@pytest.mark.parametrize("rows_after", [0, 3, 300_000])
def test_a_quote_that_is_never_closed_is_named(tmp_path, rows_after):
    after = "".join(f"text number {i},x\n" for i in range(rows_after))
    path = write(tmp_path, "a.csv", 'text,label\na,x\nb,y\n"open,x\n' + after)
    with pytest.raises(DataError, match=r"a.csv', line 4: a quote is opened there and not closed"):
        list(read_rows(path).rows())


def test_a_stray_quote_that_runs_into_the_next_one_is_named(tmp_path):
    path = write(tmp_path, "a.csv", 'text,label\na,x\n"stray,x\nb,y\nc,x\n"fine, really",y\nd,x\n')
    with pytest.raises(DataError, match=r"a.csv', line 3: a quote is opened there and not closed"):
        list(read_rows(path).rows())


def test_ten_million_character_cell_of_parquet(tmp_path):
    with duckdb.connect() as connection:
        target = tmp_path / "a.parquet"
        connection.execute(
            f"COPY (SELECT repeat('a', 10000000) AS text UNION ALL SELECT 'b') TO '{target}' (FORMAT parquet)"
        )
    found, table = rows_of(target)
    assert [r["text"] for r in found] == ["b"] and [reason for _, reason in table.broken] == [SET_ASIDE_LONG]


@pytest.mark.parametrize("cell", [LONGEST_CELL, LONGEST_CELL + 1])
def test_the_longest_cell_is_exactly_that_long(tmp_path, cell):
    _, table = rows_of(write(tmp_path, "a.csv", f"text,label\n{'a' * cell},x\n"))
    assert len(table.broken) == (cell > LONGEST_CELL)


def test_a_few_damaged_rows_are_set_aside(tmp_path):
    lines = [f"{JA}{i},x".encode() for i in range(30)]
    lines[7] = "注文,x".encode("cp932")
    found, table = rows_of(write(tmp_path, "a.csv", b"text,label\n" + b"\n".join(lines)))
    assert len(found) == 29
    assert table.broken == [("a.csv:9", SET_ASIDE_BYTES)]


def test_a_file_half_in_another_encoding_names_a_line(tmp_path):
    lines = [b"text,label"]
    lines += [f"{i}番の{JA}。返金をお願いします,x".encode() for i in range(20)]
    lines += ["Schöne Grüße aus Köln, ÄÖÜ".encode("latin-1") + b",x" for _ in range(10)]
    lines += [f"{i}番の{JA}。,x".encode("euc_jp") for i in range(20)]
    with pytest.raises(DataError, match=r"a.csv', line 22: .*not UTF-8"):
        rows_of(write(tmp_path, "a.csv", b"\n".join(lines)))


def test_wrong_number_of_cells(tmp_path):
    found, table = rows_of(write(tmp_path, "a.csv", "text,label\na,x\nb\nc,x,more\nd,y,,\n"))
    assert [r["text"] for r in found] == ["a", "d"]
    assert table.broken == [
        ("a.csv:3", "1 cells where the header has 2"),
        ("a.csv:4", "3 cells where the header has 2"),
    ]


def test_a_workbook_that_would_unpack_to_something_enormous(tmp_path):
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("xl/worksheets/sheet1.xml", "w") as part:
        for _ in range(64):
            part.write(bytes(1 << 20))
    with pytest.raises(DataError, match=r"sheet1.xml' unpacks to .* looks like a trap"):
        read_rows(path)


def test_a_workbook_packed_by_a_later_version_of_zip(tmp_path):
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    packed = bytearray(path.read_bytes())
    packed[packed.index(b"PK\x01\x02") + 6] = 64
    path.write_bytes(packed)
    with pytest.raises(DataError, match=r"zip file version 6\.4"):
        read_rows(path)


def test_no_json_object_at_all(tmp_path):
    with pytest.raises(DataError, match="no JSON object in its first lines"):
        read_rows(write(tmp_path, "a.jsonl", "[1, 2]\n[3]\n"))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_files_give_rows_or_a_clear_error(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("d")
    name = data.draw(st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.xlsx"]))
    path = folder / name
    if name == "a.xlsx":
        book = openpyxl.Workbook()
        book.active.append(["text", "label"])
        book.active.append(["a", "x"])
        book.save(path)
    else:
        path.write_bytes('{"text": "é", "label": "x"}\n"text, é",label\n"te""xt\nb",x\n'.encode())
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = int(data.draw(st.floats(0, 0.999)) * len(damaged))  # a share: a workbook's size depends on the time
        damaged[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    path.write_bytes(damaged)
    try:
        found, _ = rows_of(path)
    except DataError as error:
        assert name in str(error)
    else:
        for row in found:
            "".join(row.values()).encode()  # no half characters get through


@pytest.mark.parametrize("chat", [False, True])
def test_a_key_that_turns_up_late_is_a_column(tmp_path: Path, chat: bool):
    def line(**more: object) -> str:
        messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "a"}]
        return json.dumps({**({"messages": messages} if chat else {"text": "hi", "label": "a"}), **more})

    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join([line()] * 1500 + [line(customer=7)]), encoding="utf-8")
    table = read_rows(path)
    assert table.columns == (*(("text", "label", "system") if chat else ("text", "label")), "customer")
    rows = [row for _, row in table.rows()]
    assert (rows[0]["customer"], rows[-1]["customer"]) == ("", "7")


def test_a_file_with_a_new_key_on_every_line_is_refused(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"text": "hi", f"k{i}": i}) for i in range(1100)), encoding="utf-8")
    with pytest.raises(DataError, match="more than 1,000 different keys"):
        read_rows(path)
