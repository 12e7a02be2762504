"""The table of languages: everything in which one language differs from another is data here.

Codes are ISO 639-1. A new language is a new row; no other module asks which language it has.
"""

from dataclasses import dataclass
from typing import Literal

from bimedix.errors import UsageError, did_you_mean

Direction = Literal["ltr", "rtl"]


@dataclass(frozen=True)
class Language:
    """One row of the table."""

    code: str
    """ISO 639-1."""
    name: str
    """English name."""
    own_name: str
    """Name in the language itself, as pages show it."""
    direction: Direction
    """Direction of a paragraph in this language."""
    spaced: bool
    """Words stand between spaces. False: text is compared by characters (zh, ja)."""
    script: str
    """Unicode script name prefix of its letters, as `unicodedata.name` prints it."""
    option_letters: tuple[str, ...]
    """Labels of answer options, in order. Arabic: abjad order, as the figures 2 and 5 of BiMediX show."""
    yes_no_maybe: tuple[str, str, str]
    """Answer words of PubMedQA-like questions, in this order."""
    sentence_ends: str
    """Characters that end a sentence."""
    digits: str
    """Native digits 0-9 beside ASCII ones; the same ten ASCII digits when there are none."""
    patient: str
    """Label of the user's side in printed dialogues."""
    doctor: str
    """Label of the assistant's side in printed dialogues."""

    def letter(self, index: int) -> str:
        """Return the label of option `index`, counted from 0."""
        return self.option_letters[index]


_LATIN = ("A", "B", "C", "D", "E", "F", "G", "H")
_ASCII_DIGITS = "0123456789"

LANGUAGES: dict[str, Language] = {
    row.code: row
    for row in (
        Language(
            "ar", "Arabic", "العربية", "rtl", True, "ARABIC",
            ("أ", "ب", "ج", "د", "هـ", "و", "ز", "ح"), ("نعم", "لا", "ربما"),
            ".!؟?…", "٠١٢٣٤٥٦٧٨٩", "المريض", "الطبيب",
        ),
        Language(
            "en", "English", "English", "ltr", True, "LATIN", _LATIN, ("yes", "no", "maybe"),
            ".!?…", _ASCII_DIGITS, "Patient", "Doctor",
        ),
        Language(
            "es", "Spanish", "Español", "ltr", True, "LATIN", _LATIN, ("sí", "no", "quizá"),
            ".!?…", _ASCII_DIGITS, "Paciente", "Médico",
        ),
        Language(
            "fr", "French", "Français", "ltr", True, "LATIN", _LATIN, ("oui", "non", "peut-être"),
            ".!?…", _ASCII_DIGITS, "Patient", "Médecin",
        ),
        Language(
            "ru", "Russian", "Русский", "ltr", True, "CYRILLIC", _LATIN, ("да", "нет", "возможно"),
            ".!?…", _ASCII_DIGITS, "Пациент", "Врач",
        ),
        Language(
            "zh", "Chinese", "中文", "ltr", False, "CJK", _LATIN, ("是", "否", "可能"),
            "。！？…", "〇一二三四五六七八九", "患者", "医生",
        ),
        Language(
            "ja", "Japanese", "日本語", "ltr", False, "CJK", _LATIN, ("はい", "いいえ", "不明"),
            "。！？…", "〇一二三四五六七八九", "患者", "医師",
        ),
    )
}  # fmt: skip


def language(code: str) -> Language:
    """Return the row of `code`.

    Raises:
        UsageError: the code is not in the table (regional codes such as `es-LA` are cut to `es`).
    """
    row = LANGUAGES.get(code) or LANGUAGES.get(code.replace("_", "-").split("-")[0].lower())
    if row is None:
        raise UsageError(
            f"language '{code}' is not in the table of bimedix.languages.{_hint(code)}\n"
            f"  Known codes (ISO 639-1): {', '.join(sorted(LANGUAGES))}."
        )
    return row


def _hint(code: str) -> str:
    """Return a hint by code, or by name in English or in the language itself (`arabic` gives `ar`)."""
    by_name = {name.lower(): row.code for row in LANGUAGES.values() for name in (row.name, row.own_name)}
    return did_you_mean(by_name.get(code.lower(), code), LANGUAGES)
