"""Denials that a translation says by affirming, and those that it lost."""

import pytest

from bimedix.integrity import check_texts


def denial_changed(source: str, target: str, code: str) -> bool:
    """Tell whether the check of negation finds an error."""
    found = check_texts(source, target, "en", code)
    return any(one.check == "negation" and one.severity == "error" for one in found)


CASES = [
    (
        "Mumps vaccine is contraindicated in pregnancy. Tetanus vaccine is not contraindicated.",
        "es",
        "La vacuna de la parotiditis está contraindicada en el embarazo. La del tétanos puede ponerse.",
        "La vacuna de la parotiditis está contraindicada en el embarazo. La del tétanos está contraindicada.",
    ),
    (
        "No, one dose is not enough for adults.",
        "ru",
        "Одной дозы взрослым мало.",
        "Одной дозы взрослым достаточно.",
    ),
    (
        "Do not restart the tablets until the kidney function is known.",
        "fr",
        "Attendez de connaître la fonction rénale avant de reprendre les comprimés.",
        "Reprenez les comprimés ; la fonction rénale est connue.",
    ),
    (
        "The arm must not be moved until the fracture is visible.",
        "ru",
        "Пока перелома не видно, двигать рукой запрещено.",
        "Пока перелома не видно, двигать рукой можно.",
    ),
    (
        "All of these drugs are contraindicated in gout EXCEPT which one?",
        "es",
        "¿Cuál de estos fármacos NO está contraindicado en la gota?",
        "¿Cuál de estos fármacos está contraindicado en la gota?",
    ),
    (
        "No one except the nurse may open the cupboard.",
        "ru",
        "Никто, кроме медсестры, не вправе открывать шкаф.",
        "Все, включая медсестру, вправе открывать шкаф.",
    ),
]


@pytest.mark.parametrize(("source", "code", "right", "wrong"), CASES)
def test_a_denial_may_be_reworded_and_not_lost(source: str, code: str, right: str, wrong: str) -> None:
    """A right translation passes, though it has fewer signs, and one that says the opposite does not."""
    assert not denial_changed(source, right, code)

    assert denial_changed(source, wrong, code)
