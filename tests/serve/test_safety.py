"""The safety screen: red flags are seen, negated ones are not, in both languages."""

import pytest

from bimedix.serve.safety import message_language, rules, screen

FLAGGED = [
    ("I have crushing chest pain and I am sweating", "chest_pain"),
    ("My father can't breathe", "breathing"),
    ("her face is drooping on one side", "stroke"),
    ("I want to kill myself", "self_harm"),
    ("I've been feeling suicidal", "self_harm"),
    ("He took too many pills last night", "poisoning"),
    ("I have no fever, but I have chest pain", "chest_pain"),
    ("أعاني من ألم شديد في الصدر منذ ساعة", "chest_pain"),
    ("والدي فقد الوعي", "consciousness"),
    ("مش قادر أتنفس", "breathing"),
    ("أفكر بالانتحار", "self_harm"),
    ("لديه نزيف شديد من الجرح", "bleeding"),
    ("ليس لدي حمى، لكن لدي ألم في الصدر", "chest_pain"),
]
CLEAR = [
    "I don't have chest pain",
    "She denies suicidal thoughts",
    "What is the dose of metformin?",
    "No seizure was seen",
    "لا أعاني من ألم في الصدر",
    "ليس لديه نزيف شديد",
    "ما جرعة الميتفورمين؟",
    "Which drug treats hypertension?",
]


@pytest.mark.parametrize(("text", "flag"), FLAGGED)
def test_red_flags_are_seen(text: str, flag: str) -> None:
    seen = screen(text)

    assert flag in seen.flags
    assert seen.advice


@pytest.mark.parametrize("text", CLEAR)
def test_negated_and_harmless_messages_pass(text: str) -> None:
    assert screen(text).flags == ()


def test_every_phrase_of_the_rules_fires_by_itself() -> None:
    missed = [
        (code, phrase)
        for code, table in rules()["languages"].items()
        for name, phrases in table["flags"].items()
        for phrase in phrases
        if name not in screen(phrase).flags
    ]

    assert missed == []


def test_the_number_follows_the_region_and_the_words_the_language() -> None:
    assert "112" in screen("I have chest pain", "eu").advice
    assert "رقم الطوارئ المحلي" in screen("ألم في الصدر").advice


@pytest.mark.parametrize(
    ("text", "code"),
    [("مرحبا", "ar"), ("Привет", "ru"), ("こんにちは", "ja"), ("你好", "zh"), ("Hello", "en"), ("123", "en"),
     ("Ibuprofen 400 mg هل يناسب الحامل أم لا؟ أرجو الإجابة", "ar")],
)  # fmt: skip
def test_the_language_of_a_message_is_told_by_its_script(text: str, code: str) -> None:
    assert message_language(text) == code
