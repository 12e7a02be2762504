"""Errors need evidence on both sides: what open lists of words alone suggest is a warning."""

import pytest

from bimedix.integrity import check_pair, check_texts
from bimedix.records import MultipleChoice, Origin


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


@pytest.mark.parametrize(
    "right, wrong, code",
    [
        ("ب صحيح لأن الدواء كلوي.", "ج صحيح لأن الدواء كلوي.", "ar"),
        ("(B) es correcta porque el fármaco es renal.", "(C) es correcta porque el fármaco es renal.", "es"),
        ("B) est juste, car le médicament est rénal.", "D) est juste, car le médicament est rénal.", "fr"),
        ("(B) верно, поскольку препарат почечный.", "(C) верно, поскольку препарат почечный.", "ru"),
        ("B正确，因为该药经肾排泄。", "D正确，因为该药经肾排泄。", "zh"),
        ("(B)が正しい。薬は腎排泄である。", "(C)が正しい。薬は腎排泄である。", "ja"),
    ],
)
def test_a_letter_alone_that_names_another_option_is_an_error(right: str, wrong: str, code: str) -> None:
    """No word for option or answer is needed where both sides have as many letters."""
    source = "B is correct because the drug is renal."

    assert "letter" not in errors(source, right, code)
    assert "letter" in errors(source, wrong, code)


@pytest.mark.parametrize(
    "source, target, code",
    [
        ("E. coli was found, and D. Smith saw B.", "Se halló E. coli, y D. Smith vio B.", "es"),
        ("In this group, fever of 39 C is common.", "В этой группе часто бывает 39 градусов.", "ru"),
        ("A patient with hepatitis B.", "A los pacientes con hepatitis B.", "es"),
        ("A and B bring no benefit.", "لا يحقق الخياران أ وب فائدة.", "ar"),
    ],
)
def test_letters_of_names_and_words_of_one_letter_name_no_option(source: str, target: str, code: str) -> None:
    """Articles, prepositions, initials and degrees are no references."""
    assert not errors(source, target, code)


def test_a_year_is_as_long_as_a_year_and_a_course_is_no_interval() -> None:
    """Every year is annual; every day for 14 days is once a day."""
    assert not errors("Give a test every year.", "Hacer una prueba anual.", "es")
    assert not errors("Give 24 mg every day for 14 days.", "Dar 24 mg cada día durante 14 días.", "es")


def test_a_short_question_said_shorter_is_a_warning() -> None:
    """A question that ends with its sign is not cut; one that does not is."""
    source = "Which of the following tools is the first choice for cleaning the mouth?"

    assert "cut" not in errors(source, "ما هي الأداة الأفضل لتنظيف الفم؟", "ar")
    assert "cut" in errors(source, "أي الأدوات التالية هي الخيار", "ar")


def test_a_brand_in_place_of_a_drug_is_a_warning() -> None:
    """A name that the source does not have may be the drug's; without one the drug is missing."""
    source = "Stop metformin before surgery."

    assert "drug" not in errors(source, "Suspender el Dianvoral antes de la cirugía.", "es")
    assert "drug" in errors(source, "Suspender el fármaco antes de la cirugía.", "es")


@pytest.mark.parametrize(
    "number, target, code",
    [
        (71, "Il y avait soixante et onze patients.", "fr"),
        (95, "Il y avait quatre-vingt-quinze patients.", "fr"),
        (18, "Речь идёт о восемнадцати пациентах.", "ru"),
        (57, "Группа с пятьюдесятью семью пациентами.", "ru"),
        (600, "Группа с шестьюстами пациентами.", "ru"),
    ],
)
def test_a_number_word_is_read_in_every_case_of_its_language(number: int, target: str, code: str) -> None:
    """Numerals are a closed class: all of their forms are known."""
    assert not errors(f"There were {number} patients.", target, code)
    assert "number" in errors(f"There were {number + 3} patients.", target, code)


@pytest.mark.parametrize("unit", ["ميللي غرام", "ملليغرام", "ميليجرامات", "ملي جرام"])
def test_arabic_spellings_of_milli_are_one(unit: str) -> None:
    """One or two l, with the y before them or without, joined or apart."""
    assert not errors("The dose is 40 mg a day.", f"الجرعة 40 {unit} في اليوم.", "ar")
    assert "unit" in errors("The dose is 40 mg a day.", "الجرعة 40 غرام في اليوم.", "ar")


def test_a_name_of_its_own_wins_over_a_brand_that_sounds_alike() -> None:
    """Morphine is not Marevan, in letters that leave the vowels out."""
    assert "drug" not in errors("The pain needs morphine.", "يحتاج الألم إلى المورفين.", "ar")
    assert "drug" in errors("The pain needs morphine.", "يحتاج الألم إلى الوارفارين.", "ar")


def test_a_part_of_the_body_is_no_route() -> None:
    """Into the muscle cell is not into the muscle."""
    assert not errors("Sugar 5 g is carried into the muscle cell.", "يُنقل السكر 5 غ إلى خلية العضلة.", "ar")
    assert errors("Give 5 mg into the muscle.", "أعط 5 ملغ.", "ar")


def test_words_of_more_and_less_tell_no_order_where_an_option_is_long() -> None:
    """What is looked for in one option has to be looked for in all of them."""
    long = "Is less often in need of later renewals for a lifelong coat of paint"
    source = ("Dries more quickly under strong sunlight", long)
    target = ("يجف أسرع تحت الشمس القوية", "أقل حاجة إلى تعزيزات لاحقة وزيادة الطلاء")

    assert not _order_errors(source, target)
    assert _order_errors(("It rises more", "It falls less"), ("ينخفض أقل", "يرتفع أكثر"))


def _order_errors(source: tuple[str, ...], target: tuple[str, ...]) -> list[str]:
    mine, theirs = (
        MultipleChoice("q", code, Origin("q"), "?", options, (0,))
        for code, options in (("en", source), ("ar", target))
    )
    return [
        one.check for one in check_pair(mine, theirs) if one.check == "option" and one.severity == "error"
    ]


def test_a_frequency_may_be_referred_to_where_it_is_said_again() -> None:
    """At the same rate stands for a frequency that both sides name, and for no other."""
    source = "Take 10 mg twice a day for a week, then 5 mg twice a day."

    assert not errors(source, "خذ 10 ملغ مرتين في اليوم مدة أسبوع، ثم 5 ملغ بالوتيرة نفسها.", "ar")
    assert errors(source, "خذ 10 ملغ ثلاث مرات في اليوم مدة أسبوع، ثم 5 ملغ بالوتيرة نفسها.", "ar")
