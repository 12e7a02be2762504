"""Opposites and negations of Spanish, French and Russian: what is turned is found, what reads so passes."""

import pytest

from bimedix.integrity import check_texts

CASES = [
    ("es", "Metformin is contraindicated in severe renal failure.",
     "La metformina está contraindicada en la insuficiencia renal grave.", "contraindicada", "indicada"),
    ("es", "The culture was negative on day three.", "El cultivo fue negativo al tercer día.",
     "negativo", "positivo"),
    ("es", "Bottled water is safe and need not be boiled.",
     "El agua embotellada es segura y no hace falta hervirla.", "no hace falta", "hace falta"),
    ("fr", "There is no evidence of bleeding.", "Il n'existe aucun signe de saignement.",
     "n'existe aucun", "existe un"),
    ("fr", "Do not exceed 30 mg a day.", "Ne pas dépasser 30 mg par jour.", "Ne pas dépasser", "Dépasser"),
    ("fr", "Alcohol is prohibited during treatment.", "L'alcool est interdit pendant le traitement.",
     "interdit", "autorisé"),
    ("ru", "The drug is unsuitable for pregnant women.", "Препарат непригоден для беременных.",
     "непригоден", "пригоден"),
    ("ru", "The patient refuses blood products.", "Пациентка отказывается от препаратов крови.",
     "отказывается от препаратов", "согласна на препараты"),
    ("ru", "Unless your doctor tells you to, do not exceed six tablets.",
     "Без указания врача нельзя принимать более шести таблеток.", "нельзя", "можно"),
]  # fmt: skip


def errors(source: str, target: str, code: str) -> set[str]:
    """Return the checks that stop a pair."""
    return {found.check for found in check_texts(source, target, "en", code) if found.severity == "error"}


@pytest.mark.parametrize(("code", "source", "right", "was", "now"), CASES)
def test_a_word_turned_to_its_opposite_is_found(
    code: str, source: str, right: str, was: str, now: str
) -> None:
    """The right translation passes; with the opposite in its place it does not."""
    assert errors(source, right, code) == set()
    assert "negation" in errors(source, right.replace(was, now), code)


def test_one_sign_more_in_a_sentence_that_denies_is_no_error() -> None:
    """What is not covered by a consent may be forbidden, too."""
    source = "The right knee is not to be operated on under this consent."
    target = "На правое колено согласие не распространяется, оперировать его нельзя."

    assert errors(source, target, "ru") == set()


def test_a_preposition_does_not_deny_the_clause_after_it() -> None:
    """Ask for help without delay if you vomit: the vomiting is not denied."""
    source = "Seek help at once if you vomit blood."

    assert errors(source, "Pida ayuda sin demora si vomita sangre.", "es") == set()


def test_one_thing_denied_twice_is_denied_once() -> None:
    """Nothing may be given: ничего нельзя давать denies once; до этого is no denial."""
    source = "Until then nothing should be given by mouth."
    right = "До этого ничего нельзя давать через рот."

    assert errors(source, right, "ru") == set()
    assert "negation" in errors(source, right.replace("ничего нельзя", "можно"), "ru")


def test_a_bound_may_be_said_by_a_verb_that_is_denied() -> None:
    """Больше трёх таблеток не принимайте: no more than three."""
    source = "Take no more than three tablets."

    assert errors(source, "Больше трёх таблеток не принимайте.", "ru") == set()
    assert "negation" in errors(source, "Принимайте не менее трёх таблеток.", "ru")
