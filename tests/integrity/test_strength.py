"""Errors need evidence on both sides: what open lists of words alone suggest is a warning."""

import pytest

from bimedix.integrity import check_texts


def graded(source: str, target: str, code: str) -> set[tuple[str, str]]:
    """Return check and severity of the findings."""
    return {(finding.check, finding.severity) for finding in check_texts(source, target, "en", code)}


def errors(source: str, target: str, code: str) -> set[str]:
    """Return the checks that give an error."""
    return {check for check, severity in graded(source, target, code) if severity == "error"}


@pytest.mark.parametrize(
    "source, target, code",
    [
        ("This never happens in healthy adults.", "Esto no ocurre nunca en adultos sanos.", "es"),
        (
            "It works without any contract between them.",
            "Funciona sin que exista ningún contrato entre ellos.",
            "es",
        ),
        (
            "He has never smoked and believes that no dog bites.",
            "Nunca ha fumado y cree que ningún perro muerde.",
            "es",
        ),
        (
            "People related or not to the patient may visit.",
            "Personas relacionadas o no con el paciente pueden visitarlo.",
            "es",
        ),
    ],
)
def test_words_of_one_negation_are_no_second_one(source: str, target: str, code: str) -> None:
    """A language that says one negation twice is not stopped."""
    assert not errors(source, target, code)


def test_a_negation_without_any_sign_on_the_other_side_stays_an_error() -> None:
    """Dropped and added, in a short text."""
    assert "negation" in errors("It is not given to children.", "Se administra a los niños.", "es")
    assert "negation" in errors("It is given to children.", "No se administra a los niños.", "es")


@pytest.mark.parametrize(
    "source, target",
    [
        ("It is a dopamine agonist.", "Es un agonista dopaminérgico."),
        ("The patient takes lithium at night.", "El paciente toma litio por la noche."),
        ("Signs of insulin dependence.", "Signos de insulinodependencia."),
    ],
)
def test_a_derived_name_of_a_drug_is_a_warning_at_most(source: str, target: str) -> None:
    """Derived words and endings of a language's own hold the sound of the name."""
    assert not errors(source, target, "es")


def test_a_drug_that_is_left_out_stays_an_error() -> None:
    """No word of the translation is like it."""
    assert "drug" in errors("Stop metformin before surgery.", "Suspender antes de la cirugía.", "es")


def test_a_name_with_the_same_digits_is_a_warning_and_with_others_an_error() -> None:
    """Letters of a name are translated, its digits are not."""
    assert ("identifier", "warning") in graded("By ICD-10 criteria.", "Según criterios CIE-10.", "es")
    assert "identifier" in errors("CD4 cells are low.", "Las células CD8 están bajas.", "es")
