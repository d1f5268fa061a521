"""Languages: told by script, or by function words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.curate.language import language_of


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Where is my parcel and how can I track it?", "en"),
        ("Wo ist mein Paket und wie kann ich es verfolgen?", "de"),
        ("Où est mon colis et comment je peux le suivre dans l'application ?", "fr"),
        ("¿Dónde está mi pedido y cómo puedo seguirlo?", "es"),
        ("Não recebi o meu cartão, você pode me ajudar com isso?", "pt"),
        ("Dov'è il mio pacco e come posso seguirlo?", "it"),
        ("注文した商品が届きません", "ja"),
        ("iPhoneの注文", "ja"),
        ("我的订单在哪里", "zh"),
        ("내 주문은 어디에 있나요", "ko"),
        ("Где мой заказ?", "ru"),
        ("Де моє замовлення? Її ще немає", "uk"),
        ("أين طلبي", "ar"),
        ("Πού είναι η παραγγελία μου", "el"),
        ("คำสั่งซื้อของฉันอยู่ที่ไหน", "th"),
        ("I love Tōkyō and the 寿司 there", "en"),
        ("12345", "und"),
        ("", "und"),
        ("ok", "und"),
    ],
)
def test_language_of(text, code):
    assert language_of(text) == code


@given(st.text())
def test_any_text_has_an_answer(text):
    assert 2 <= len(language_of(text)) <= 3
