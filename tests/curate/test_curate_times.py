"""Times as people write them, and encodings from before UTF-8."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.curate.legacy import legacy_encodings
from shokunin.curate.times import read_time

MARCH = 1709251200.0  # 2024-03-01 00:00 UTC


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2024-03-01", MARCH),
        (" 2024-03-01 09:05 ", MARCH + 32700),
        ("2024-03-01T09:05:00Z", MARCH + 32700),
        ("2024-03-01T09:05:00+09:00", MARCH + 300),
        ("20240301", MARCH),
        ("2024/3/1 9:05", MARCH + 32700),
        ("2024年3月1日", MARCH),
        ("1.3.2024", MARCH),
        ("1709251200", MARCH),
        ("17.5", 17.5),
        ("3/1/2024", None),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_read_time(text, seconds):
    assert read_time(text) == seconds


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_not(text):
    assert read_time(text) is None or isinstance(read_time(text), float)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp932", "注文した商品がまだ届きません。"),
        ("euc_jp", "返金をお願いできますか。"),
        ("gb18030", "我的订单在哪里？请退款。"),
        ("big5", "我的訂單在哪裡？請退款。"),
        ("euc_kr", "주문한 상품이 아직 오지 않았어요"),
        ("cp1251", "Где мой заказ? Верните деньги, пожалуйста."),
        ("cp1252", "Où est ma commande ? J'ai été débité à tort, c'est très gênant."),
        ("cp1252", "Ich möchte meine Bestellung zurückgeben, für Größe M."),
        ("cp1250", "Gdzie jest moje zamówienie? Proszę o zwrot pieniędzy, źle naliczono opłatę."),
        ("cp1253", "Πού είναι η παραγγελία μου; Θέλω επιστροφή χρημάτων."),
        ("cp1254", "Siparişim nerede? Şifremi değiştirmek istiyorum, yardım eder misiniz?"),
    ],
)
def test_legacy_encodings(encoding, text):
    assert legacy_encodings(text.encode(encoding))[0] == encoding


@given(st.binary(min_size=1, max_size=60))
def test_any_bytes_have_an_answer(data):
    assert isinstance(legacy_encodings(data), list)
