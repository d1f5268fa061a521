"""Personal data: what has a checksum must pass it, and ordinary numbers are left alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shokunin.curate.redact import find_personal, mask, mask_together


@pytest.mark.parametrize(
    ("text", "kind", "piece"),
    [
        ("write to jane.doe+x@mail.example.co.uk, please", "email", "jane.doe+x@mail.example.co.uk"),
        ("メールはtaro@example.jpまで", "email", "taro@example.jp"),
        ("連絡先：ｔａｒｏ＠ｅｘａｍｐｌｅ．ｊｐです", "email", "ｔａｒｏ＠ｅｘａｍｐｌｅ．ｊｐ"),
        ("my card is 4111 1111 1111 1111.", "credit_card", "4111 1111 1111 1111"),
        ("card 5500-0055-5555-5559", "credit_card", "5500-0055-5555-5559"),
        ("amex 378282246310005", "credit_card", "378282246310005"),
        ("pay to DE89 3704 0044 0532 0130 00 TODAY", "iban", "DE89 3704 0044 0532 0130 00"),
        ("GB82WEST12345698765432", "iban", "GB82WEST12345698765432"),
        ("call +44 20 7946 0958 now", "phone", "+44 20 7946 0958"),
        ("tel. (555) 123-4567", "phone", "(555) 123-4567"),
        ("on 555-123-4567 or", "phone", "555-123-4567"),
        ("電話は03-1234-5678です", "phone", "03-1234-5678"),
        ("携帯：０９０－１２３４－５６７８。", "phone", "０９０－１２３４－５６７８"),
        ("txt 08452810075 over18's", "phone", "08452810075"),
        ("from 192.168.1.20 to", "ip", "192.168.1.20"),
        ("host 2001:db8::8a2e:370:7334 down", "ip", "2001:db8::8a2e:370:7334"),
        (
            "clone https://bob:s3cret@git.example.com/x.git",
            "url_credentials",
            "https://bob:s3cret@git.example.com/x.git",
        ),
        ("マイナンバーは123456789018です", "my_number", "123456789018"),
        ("番号 1234-5678-9018", "my_number", "1234-5678-9018"),
    ],
)
def test_found(text, kind, piece):
    found = find_personal(text)
    assert [(f.kind, text[f.start : f.end]) for f in found] == [(kind, piece)]
    assert mask(text) == text.replace(piece, f"<{kind}>")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "order 4111111111111112 is late",  # fails Luhn
        "order number 20240301123456",
        "DE89 3704 0044 0532 0130 01",  # fails the checksum
        "version 10.2.3.4 of the app, v1.2.3.4",
        "at 12:30:45 on 2024-03-01",
        "2024-03-01 10:20:30",
        "300.1.2.3 is no address",
        "it costs 1,234,567.89 or 1234567890 yen",
        "ratio 3:4:5, see 1::2",
        "user@localhost and @mention",
        "https://example.com/path?x=1:2",
        "123456789018",  # a right check digit alone is no evidence
        "注文番号は202403011234です",
        "part no. 0120-12",
        "0000-0000-0000",
        "00000000000",
        "model XJ-0901234567A",
        "the 1000000000 and 999-999-9999999",
    ],
)
def test_left_alone(text):
    assert find_personal(text) == []
    assert mask(text) == text


def test_several_in_one_text():
    text = "a@example.com, b@example.org and 4111 1111 1111 1111 from 10.0.0.1"
    assert mask(text) == "<email>, <email> and <credit_card> from <ip>"


@given(st.text(alphabet=st.one_of(st.sampled_from("0123456789+-.()@:/ ａ１０ABab漢"), st.characters()), max_size=80))
@settings(max_examples=300, deadline=None)
def test_places_are_in_order_and_masking_keeps_the_rest(text):
    end, rest = 0, []
    for found in find_personal(text):
        assert end <= found.start < found.end <= len(text)
        rest.append(text[end : found.start])
        end = found.end
    masked = mask(text)
    for piece in [*rest, text[end:]]:
        assert piece in masked


def test_a_text_full_of_personal_data_takes_linear_time():
    assert mask("a@b.com 10.0.0.1 ::ffff:10.0.0.1 " * 30_000).count("<email>") == 30_000


def test_an_address_within_an_address_is_masked_as_before():
    assert "10.0" not in mask("from ::ffff:10.0.0.1 on")


def test_long_texts_of_one_character_take_linear_time():
    for piece in ("0", "0-", "a@", "1 ", "+1 ", "::", "1.", "http://a:", "A1 ", "(0"):
        find_personal(piece * 50_000)


def test_a_request_and_its_answer_are_masked_alike():
    number = "123456789018"  # of the individual number's form; without a word beside it nobody can tell
    request, answer = f"マイナンバー {number} です", f"{number} を登録しました"
    assert mask(answer) == answer
    assert mask_together([request, answer]) == ["マイナンバー <my_number> です", "<my_number> を登録しました"]
    assert mask_together([answer, request]) == ["<my_number> を登録しました", "マイナンバー <my_number> です"]


def test_a_piece_is_masked_as_a_whole_only():
    assert mask_together(["a@b.com", "xa@b.com a@b.com.", "not a@b.comx"])[1:] == ["<email> <email>.", "not <email>"]
    assert mask_together(["call 03-1234-5678", "order A03-1234-5678"])[1] == "order A03-1234-5678"
    assert mask_together([]) == []


@given(st.lists(st.text(alphabet="a@b.com 0123456789-+", max_size=60), max_size=4))
def test_together_masks_at_least_what_each_alone_has(texts):
    for text, masked in zip(texts, mask_together(texts), strict=True):
        assert not any(text[f.start : f.end] in masked.split() for f in find_personal(text))
