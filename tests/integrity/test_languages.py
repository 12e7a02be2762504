"""The same errors and the same silence in every language of the table."""

import pytest

from bimedix.integrity import check_texts

SOURCE = "Give 10 mg of warfarin orally every 8 hours for 5 days before surgery. Do not exceed 30 mg."
RIGHT = {
    "ar": "أعط 10 ملغ من الوارفارين عن طريق الفم كل 8 ساعات لمدة 5 أيام قبل الجراحة. لا تتجاوز 30 ملغ.",
    "es": "Administre 10 mg de warfarina por vía oral cada 8 horas durante 5 días antes de la cirugía. "
    "No supere los 30 mg.",
    "fr": "Donner 10 mg de warfarine par voie orale toutes les 8 heures pendant 5 jours avant la chirurgie. "
    "Ne pas dépasser 30 mg.",
    "ru": "Давать 10 мг варфарина внутрь каждые 8 часов в течение 5 дней перед операцией. "
    "Не превышать 30 мг.",
    "zh": "手术之前口服华法林10毫克，每8小时一次，共5天。不要超过30毫克。",
    "ja": "手術前にワルファリン10mgを8時間ごとに5日間経口投与する。30mgを超えないこと。",
}
DAMAGE = {
    "ar": [("10 ملغ", "100 ملغ", "number"), ("10 ملغ", "10 مكغ", "unit"), ("لا تتجاوز", "تجاوز", "negation"),
           ("كل 8 ساعات", "كل 6 ساعات", "frequency"), ("عن طريق الفم", "عن طريق الوريد", "route"),
           ("قبل", "بعد", "side")],
    "es": [("10 mg", "100 mg", "number"), ("10 mg", "10 mcg", "unit"),
           ("No supere", "Supere", "negation"),
           ("cada 8", "cada 6", "frequency"), ("por vía oral", "por vía intravenosa", "route"),
           ("antes de", "después de", "side")],
    "fr": [("10 mg", "100 mg", "number"), ("10 mg", "10 µg", "unit"),
           ("Ne pas dépasser", "Dépasser", "negation"),
           ("les 8", "les 6", "frequency"), ("par voie orale", "par voie intraveineuse", "route"),
           ("avant", "après", "side")],
    "ru": [("10 мг", "100 мг", "number"), ("10 мг", "10 мкг", "unit"),
           ("Не превышать", "Превышать", "negation"),
           ("каждые 8", "каждые 6", "frequency"), ("внутрь", "внутривенно", "route"),
           ("перед операцией", "после операции", "side")],
    "zh": [("10毫克", "100毫克", "number"), ("10毫克", "10微克", "unit"),
        ("不要超过", "可以超过", "negation"),
           ("每8小时", "每6小时", "frequency"), ("口服", "静脉注射", "route"), ("之前", "之后", "side")],
    "ja": [("10mg", "100mg", "number"), ("10mg", "10μg", "unit"),
        ("超えないこと", "超えること", "negation"),
           ("8時間ごと", "6時間ごと", "frequency"), ("経口投与", "静脈内投与", "route")],
}  # fmt: skip


def errors(target: str, code: str) -> set[str]:
    return {f.check for f in check_texts(SOURCE, target, "en", code) if f.severity == "error"}


@pytest.mark.parametrize("code", sorted(RIGHT))
def test_a_right_translation_passes(code: str) -> None:
    """No error where nothing changed."""
    assert errors(RIGHT[code], code) == set()


@pytest.mark.parametrize(
    ("code", "right", "wrong", "check"),
    [(code, *damage) for code, damages in DAMAGE.items() for damage in damages],
)
def test_a_seeded_error_is_found(code: str, right: str, wrong: str, check: str) -> None:
    """One change, and the check of its kind says so."""
    assert right in RIGHT[code]
    assert check in errors(RIGHT[code].replace(right, wrong), code)
