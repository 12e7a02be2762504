"""What the checks find in single pairs, and what they let pass."""

import pytest

from bimedix.integrity import check_pair, check_texts
from bimedix.records import MultipleChoice, Origin

SOURCE = "Give 10 mg of warfarin every 8 hours for 5 days. Do not exceed 30 mg in 24 hours."
GOOD = "أعط 10 ملغ من الوارفارين كل 8 ساعات لمدة 5 أيام. لا تتجاوز 30 ملغ في 24 ساعة."


def errors(source: str, target: str, field: str = "", language: str = "ar") -> set[str]:
    findings = check_texts(source, target, "en", language, field)
    return {finding.check for finding in findings if finding.severity == "error"}


@pytest.mark.parametrize(
    ("changed", "check"),
    [
        (GOOD.replace("10 ملغ", "100 ملغ"), "number"),
        (GOOD.replace("10 ملغ", "10 مكغ"), "unit"),
        (GOOD.replace("10 ملغ", "10 مل"), "unit"),
        (GOOD.replace("5 أيام", "5 أسابيع"), "unit"),
        (GOOD.replace("لا تتجاوز", "تجاوز"), "negation"),
        (GOOD[:40], "cut"),
        (SOURCE, "echo"),
        (GOOD.replace("لا تتجاوز", "do not exceed لا تتجاوز"), "residue"),
        ("Sure! " + GOOD, "chatter"),
        (GOOD.replace("الوارفارين", "الوار\ufffdارين"), "characters"),
        (GOOD.replace("الوارفارين", "\u202eالوارفارين"), "characters"),
        (GOOD.replace("10 ملغ", "\u206610 ملغ"), "characters"),
        ("", "cut"),
    ],
)
def test_a_seeded_error_is_found_under_its_name(changed: str, check: str) -> None:
    """Each damaged translation gives an error of the right check."""
    assert check in errors(SOURCE, changed)


@pytest.mark.parametrize(
    "target",
    [
        GOOD,
        GOOD.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")),
        GOOD.translate(str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")),
        GOOD.replace("10 ملغ", "10 mg").replace("30 ملغ", "30 mg"),
        GOOD.replace("10 ملغ", "عشرة ملليغرامات"),
        GOOD.replace("10 ملغ", "10 ملجم"),
        GOOD.replace("5 أيام", "خمسة أيام"),
        GOOD.replace("10 ملغ", "\u206810 ملغ\u2069"),
        "لا تتجاوز 30 ملغ في 24 ساعة. أعط 10 ملغ من الوارفارين كل 8 ساعات لمدة 5 أيام.",
    ],
)
def test_a_right_translation_in_another_form_passes(target: str) -> None:
    """Digit script, localised units, number words, isolates and order of clauses are no errors."""
    assert errors(SOURCE, target) == set()


def test_an_exact_conversion_is_a_hint() -> None:
    """1 g and 1000 mg are the same; the reader is told, nothing fails."""
    findings = check_texts("Take 1 g now.", "خذ 1000 ملغ الآن.", "en", "ar")

    assert [(finding.check, finding.severity) for finding in findings] == [("unit", "hint")]


def test_an_added_sentence_is_a_warning() -> None:
    """A translation far longer than its source, with more sentences, holds something of its own."""
    source, target = "Give one tablet at night.", "أعط قرصًا واحدًا ليلًا. "
    added = target + "ينبغي أيضًا ممارسة الرياضة وشرب الماء كل يوم. راجع الطبيب إذا استمرت الشكوى."
    found = check_texts(source, added, "en", "ar")

    assert ("surplus", "warning") in {(finding.check, finding.severity) for finding in found}
    assert not check_texts(source, target, "en", "ar")


def test_spans_point_into_the_original_text() -> None:
    """Tashkeel and tatweel are skipped when reading, and counted in the spans."""
    target = "يُعطى بِجُرعة ١٠٠ ملـغ."

    (finding,) = (f for f in check_texts("Given at 10 mg.", target, "en", "ar") if f.severity == "error")

    assert [target[start:end] for start, end in finding.target_spans] == ["١٠٠ ملـغ"]
    assert [("Given at 10 mg.")[start:end] for start, end in finding.source_spans] == ["10 mg"]


def question(language: str, options: tuple[str, ...], answers: tuple[int, ...] = (1,)) -> MultipleChoice:
    text = "Which drug is given?" if language == "en" else "ما الدواء الذي يُعطى؟"
    return MultipleChoice("q1", language, Origin("own"), text, options, answers)


@pytest.mark.parametrize(
    ("options", "answers", "check"),
    [
        (("وارفارين", "هيبارين", "أسبرين"), (1,), "option"),
        (("وارفارين", "وارفارين", "أسبرين", "جميع ما سبق"), (1,), "option"),
        (("وارفارين", "", "أسبرين", "جميع ما سبق"), (1,), "option"),
        (("وارفارين", "هيبارين", "أسبرين", "لا شيء مما سبق"), (1,), "option"),
        (("وارفارين", "هيبارين", "أسبرين", "جميع ما سبق"), (2,), "key"),
    ],
)
def test_options_and_key_are_compared_by_index(
    options: tuple[str, ...], answers: tuple[int, ...], check: str
) -> None:
    """A lost, collapsed, empty or turned option and a moved key are errors."""
    source = question("en", ("warfarin", "heparin", "aspirin", "all of the above"))
    findings = check_pair(source, question("ar", options, answers))

    assert check in {finding.check for finding in findings if finding.severity == "error"}


def test_options_equal_in_the_source_are_blamed_on_the_source() -> None:
    """A duplicate that the source has is a hint, not an error of the translation."""
    source = question("en", ("warfarin", "warfarin", "aspirin"))
    findings = check_pair(source, question("ar", ("وارفارين", "وارفارين", "أسبرين")))

    assert [(finding.check, finding.severity) for finding in findings] == [("option", "hint")]


@pytest.mark.parametrize(
    ("source", "target", "wrong"),
    [
        ("Ans. B is right here", "الإجابة ب صحيحة هنا", False),
        ("Ans. B is right here", "الإجابة ج صحيحة هنا", True),
        ("Both A and C", "كلا من أ و ج", False),
        ("Both A and C", "كلا من أ و ت", True),
        ("Options (a) and (d) are wrong", "الخياران (أ) و(د) خاطئان", False),
        ("Options (a) and (d) are wrong", "الخياران (أ) و(هـ) خاطئان", True),
        ("Hepatitis B and C are common", "التهاب الكبد ب و ج شائعان", False),
    ],
)
def test_letters_of_options_are_mapped_in_abjad_order(source: str, target: str, wrong: bool) -> None:
    """A to E are أ ب ج د هـ wherever a text refers to options."""
    assert ("letter" in errors(source, target)) is wrong


@pytest.mark.parametrize(
    ("source", "target", "wrong"),
    [
        (
            "Rare types (scirrhous, clear cell, steatohepatic) were seen.",
            "Были отмечены редкие типы (scirrhous, clear cell, steatohepatic).",
            True,
        ),
        (
            "Cells respond to granulocyte colony stimulating factor.",
            "Клетки отвечают на колониестимулирующий фактор (granulocyte colony stimulating factor).",
            False,
        ),
        ("Alexander Nikolayevich was examined.", "Обследован Александр Николаяyevich.", True),
    ],
)
def test_words_left_in_the_script_of_the_source(source: str, target: str, wrong: bool) -> None:
    """Originals beside their translation pass; brackets of the source and half words do not."""
    assert ("residue" in errors(source, target, language="ru")) is wrong


@pytest.mark.parametrize(
    ("source", "target", "language", "wrong"),
    [
        ("3 to 5 million cases a year", "每年300万至500万例", "zh", False),
        ("3 to 5 million cases a year", "每年3万至500万例", "zh", True),
        ("The mean was 14.6 (12.5, 16.7) letters.", "平均值为14.6(12.5,16.7)个字母。", "zh", False),
        ("The genome is 26.4 to 31.7 kilobases long.", "基因组大小为 2.64 至 3.17 万个碱基。", "zh", False),
        ("The genome is 26.4 to 31.7 kilobases long.", "基因组大小为 26.4 至 31.7 万个碱基。", "zh", True),
    ],
)
def test_a_range_shares_its_scale(source: str, target: str, language: str, wrong: bool) -> None:
    """The first number of a range has the scale of the second."""
    assert bool({"number", "unit"} & errors(source, target, language=language)) is wrong


@pytest.mark.parametrize(
    ("source", "target", "language", "wrong"),
    [
        ("The outcome is not known.", "Исход неизвестен.", "ru", False),
        ("The outcome is not known.", "Исход известен.", "ru", True),
        ("Untreated patients were not included.", "Нелеченые пациенты не были включены.", "ru", False),
        ("Untreated patients were not included.", "Нелеченые пациенты были включены.", "ru", True),
        ("The cause cannot be assumed.", "On ne peut présumer la cause.", "fr", False),
        ("No patient had a rash.", "Aucun patient n'a eu d'éruption.", "fr", False),
        ("No patient had a rash.", "Un patient a eu une éruption.", "fr", True),
        ("It must continue.", "Elle ne doit pas être interrompue.", "fr", False),
        ("It must be interrupted.", "Elle ne doit pas être interrompue.", "fr", True),
        ("There was no evidence of any rash.", "No hubo ningún indicio de erupción.", "es", False),
        ("The data are not shown.", "البيانات غير معروضة.", "ar", False),
        ("The data are shown.", "البيانات لا تُعرض.", "ar", True),
        ("It is only reliable early.", "لا يُعتمد عليه إلا مبكرًا.", "ar", False),
        ("This is not only a heart drug.", "这不仅是一种心脏药物。", "zh", False),
        ("The drug is not safe.", "该药安全。", "zh", True),
        ("The bacteria are removed.", "细菌被清除。", "zh", False),
        ("Do not exceed the dose.", "用量を超えないこと。", "ja", False),
        ("The dose must always be taken.", "必ず服用すること。", "ja", False),
    ],
)  # fmt: skip
def test_negation_is_matched_by_strength(source: str, target: str, language: str, wrong: bool) -> None:
    """A word that denies by its meaning may stand for a negation, if not for a word of its own kind."""
    assert ("negation" in errors(source, target, language=language)) is wrong


@pytest.mark.parametrize(
    ("source", "target", "language", "wrong"),
    [
        ("Give ibuprofen 400 mg.", "أعطِ الإيبوبروفين 400 ملغ.", "ar", False),
        ("Give ibuprofen 400 mg.", "أعطِ البروفين 400 ملغ.", "ar", False),
        ("Give ibuprofen 400 mg.", "أعطِ النابروكسين 400 ملغ.", "ar", True),
        ("Give paracetamol 1 g.", "Дайте ацетаминофен 1 г.", "ru", False),
        ("Give paracetamol 1 g.", "Дайте трамадол 1 г.", "ru", True),
        ("Give adrenaline 1 mg.", "静脉注射肾上腺素1毫克。", "zh", False),
        ("Give adrenaline 1 mg.", "静脉注射阿托品1毫克。", "zh", True),
        ("Give warfarin 5 mg.", "Administre 5 mg.", "es", True),
    ],
)
def test_drugs_are_known_by_their_letters_and_by_their_sound(
    source: str, target: str, language: str, wrong: bool
) -> None:
    """Another spelling or a brand passes; another drug does not, and none neither. No glossary is given."""
    assert ("drug" in errors(source, target, language=language)) is wrong


@pytest.mark.parametrize(
    ("options", "labelled", "wrong"),
    [
        (("وارفارين", "هيبارين", "أسبرين"), ("أ) وارفارين", "ب) هيبارين", "ج) أسبرين"), False),
        (("هيبارين", "وارفارين", "أسبرين"), ("ب) وارفارين", "أ) هيبارين", "ج) أسبرين"), True),
    ],
)
def test_options_keep_their_order_and_their_labels(
    options: tuple[str, ...], labelled: tuple[str, ...], wrong: bool
) -> None:
    """Options that changed places, by what they name or by the label they begin with, are an error."""
    plain = question("en", ("warfarin", "heparin", "aspirin")), question("ar", options)
    lettered = question("en", ("A) warfarin", "B) heparin", "C) aspirin")), question("ar", labelled)

    assert any(f.check == "option" and f.severity == "error" for f in check_pair(*plain)) is wrong
    assert any(f.check == "letter" and f.severity == "error" for f in check_pair(*lettered)) is wrong


@pytest.mark.parametrize(
    ("source", "target", "wrong"),
    [
        ("Give it for 7 days.", "يُعطى لمدة أسبوع.", False),
        ("Give it for 7 days.", "يُعطى لمدة شهر.", True),
        ("A 72-year-old man fell.", "سقط رجل في الثانية والسبعين من عمره.", False),
        ("A 72-year-old man fell.", "سقط رجل في الثانية والستين من عمره.", True),
        ("The load is 2 × 10⁵ copies/mL.", "الحمل 200000 نسخة/مل.", False),
        ("The load is 2 × 10⁵ copies/mL.", "الحمل 20000 نسخة/مل.", True),
        ("It began two days ago.", "بدأ قبل يومين.", False),
        ("It began two days ago.", "بدأ قبل ستة أيام.", True),
        ("The target is 130/80 mmHg.", "الهدف 130/80 ملم زئبق.", False),
        ("The target is 130/80 mmHg.", "الهدف 80/130 ملم زئبق.", True),
        ("Take 75 mg daily.", "خذ 75 ملغ يوميًا.", False),
        ("Take 75 mg daily.", "خذ 75 ملغ أسبوعيًا.", True),
        ("Take 10 units at bedtime.", "خذ 10 وحدات عند النوم.", False),
        ("Give 500 mg by mouth.", "يُعطى 500 عن طريق الفم.", True),
    ],
)
def test_quantities_in_another_form_are_the_same(source: str, target: str, wrong: bool) -> None:
    """A week is seven days, an age may be an ordinal, a power may be written out; other values are errors."""
    assert bool({"number", "unit", "frequency"} & errors(source, target)) is wrong
