"""The keyword filter: each step of the released rule, its defects, and what the corrected rule mends."""

import random
import re
import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimedix.curate.filter import (
    TOO_FEW,
    TOO_FEW_AND_THIN,
    TOO_GENERIC,
    TOO_THIN,
    decide,
    fold,
    is_long,
    without_overlap,
)
from bimedix.curate.lists import KeywordList, keyword_list, shipped_languages


def words(
    *medical: str,
    biology: tuple[str, ...] = (),
    count: int = 1,
    density: float = 0.0,
    spaced: bool = True,
    generic: tuple[str, ...] = (),
) -> KeywordList:
    return KeywordList("en", spaced, medical, biology, count, density, frozenset(generic))


# --- as released ----------------------------------------------------------------------------------------


def test_step_1_entries_that_differ_in_case_count_twice() -> None:
    """The union is made before lower-casing, so SIDA and Sida are two keywords that both hit `sida`."""
    found = decide("le sida", words("SIDA", "Sida"), mode="as_released")

    assert found.count == 2
    assert found.density == 8 / 7


def test_the_french_list_holds_the_pair_that_shows_it() -> None:
    """The shipped French list keeps SIDA and Sida, and the corrected rule counts them once."""
    french = keyword_list("fr")

    assert decide("le sida", french, mode="as_released").count == 2
    assert decide("le sida", french).count == 1


@pytest.mark.parametrize(
    ("keyword", "long"),
    [
        ("dermatolog", False),
        ("dermatology", True),
        ("a flu", False),
        ("bad flu", True),
        ("cancer", False),
        ("bone marrow", True),
    ],
)
def test_step_2_long_is_over_10_characters_or_over_5_and_several_words(keyword: str, long: bool) -> None:
    """10 and 11 characters, 5 and 7 with a space: each side of both borders."""
    assert is_long(keyword) is long


def test_step_3_long_keywords_match_inside_words_and_without_overlap() -> None:
    """`cardiologist` is a substring of `xcardiologistx`; characters = occurrences times length."""
    found = decide("XCardiologistX cardiologist", words("cardiologist"), mode="as_released")

    assert found.hits == (("cardiologist", 2),)
    assert found.density == 24 / 27


def test_step_3_occurrences_of_one_keyword_do_not_overlap() -> None:
    """As str.count counts: `ana ana ana` holds `ana ana` once."""
    found = decide("ana ana ana", words("ana ana"), mode="as_released")

    assert found.hits == (("ana ana", 1),)


def test_step_5_short_keywords_have_to_equal_a_word_between_white_space() -> None:
    """The defect with punctuation: `cancer,` is not `cancer`."""
    found = decide("cancer, (cancer) cancers Cancer", words("cancer"), mode="as_released")

    assert found.hits == (("cancer", 1),)


def test_step_5_a_short_keyword_of_two_words_never_matches() -> None:
    """`a flu` has 5 characters, so it is short, and no word between spaces equals it."""
    assert decide("it is a flu now", words("a flu"), mode="as_released").count == 0


@pytest.mark.parametrize(
    ("count", "density", "accepted"),
    [(2, 0.5, True), (3, 0.5, False), (2, 0.51, False), (1, 0.49, True)],
)
@pytest.mark.parametrize("mode", ["as_released", "corrected"])
def test_step_6_both_thresholds_are_inclusive(count: int, density: float, accepted: bool, mode: str) -> None:
    """8 of 16 characters and 2 keywords: exactly at the threshold is in, just above is out."""
    listed = words("liver", "flu", count=count, density=density)

    assert decide("liver ###### flu", listed, mode=mode).accepted is accepted  # type: ignore[arg-type]


def test_step_6_the_denominator_is_the_whole_original_text() -> None:
    """White space counts: `flu` among 10 characters is 0.3."""
    assert decide("flu       ", words("flu"), mode="as_released").density == 0.3


@pytest.mark.parametrize("mode", ["as_released", "as_released_cjk", "corrected"])
def test_step_7_an_empty_text_is_rejected_without_a_division(mode: str) -> None:
    """Count 0 and density 0, whatever the density threshold."""
    found = decide("", words("flu"), mode=mode)  # type: ignore[arg-type]

    assert (found.accepted, found.count, found.density, found.reason) == (False, 0, 0.0, TOO_FEW)


def test_nested_keywords_count_twice_as_released_and_once_corrected() -> None:
    """`chest pain` holds `pain`: as released the density passes 1."""
    listed = words("chest pain", "pain")
    released, corrected = decide("chest pain", listed, mode="as_released"), decide("chest pain", listed)

    assert (released.count, released.density) == (2, 1.4)
    assert (corrected.count, corrected.density) == (1, 1.0)


def test_as_released_keeps_next_to_nothing_of_chinese() -> None:
    """As executed, zh and ja take the branch for spaced languages; as intended they match anywhere."""
    text = "糖尿病患者需要接受胰岛素治疗,医生诊断为高血压和感染。" * 3
    chinese = keyword_list("zh")

    assert not decide(text, chinese, mode="as_released").accepted
    assert decide(text, chinese, mode="as_released_cjk").accepted
    assert decide(text, chinese).accepted


def test_lower_cased_abbreviations_never_match_upper_case_japanese_text() -> None:
    """DNA, RNA and HIV: keywords are lower-cased and the text is not; corrected finds all three."""
    listed = words("DNA", "RNA", "HIV", spaced=False)
    text = "DNAとRNAとHIV"

    assert decide(text, listed, mode="as_released_cjk").count == 0
    assert decide(text, listed).count == 3


def test_the_modes_disagree_on_a_planted_text() -> None:
    """Punctuation after every keyword: the released rule sees none of them."""
    text = "asthma, fever; cough. (vaccine) insulin:"
    english = keyword_list("en")

    assert decide(text, english, mode="as_released").reason == TOO_FEW_AND_THIN
    assert decide(text, english).accepted


# --- corrected ------------------------------------------------------------------------------------------


def test_keywords_match_between_unicode_word_borders() -> None:
    """Quotes, apostrophes, dashes and ideographic commas are borders; letters and digits are not."""
    found = decide("l’asthme «asthme» asthme-like asthmes 2asthme asthme、", words("asthme"))

    assert found.hits == (("asthme", 4),)


def test_decomposed_and_upper_case_letters_match() -> None:
    """NFC and case-folding on both sides: `FIE\u0300VRE` is `fièvre`."""
    assert decide(unicodedata.normalize("NFD", "FIÈVRE"), words("fièvre")).count == 1


def test_the_longest_keyword_wins_where_keywords_overlap() -> None:
    """Of `blood pressure` and `pressure ulcers here`, the longer is kept and the other is not."""
    found = decide("blood pressure ulcers here", words("blood pressure", "pressure ulcers here", "blood"))

    assert dict(found.hits) == {"pressure ulcers here": 1, "blood": 1}


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        (words("flu", count=2), TOO_FEW),
        (words("flu", density=0.9), TOO_THIN),
        (words("flu", count=2, density=0.9), TOO_FEW_AND_THIN),
        (words("flu", "cough", count=2, generic=("cough",)), TOO_GENERIC),
    ],
)
def test_every_rejection_says_why(listed: KeywordList, reason: str) -> None:
    """Count, density, both, and too few keywords that are not generic."""
    text = "the flu and cough" if reason == TOO_GENERIC else "the flu and"

    assert decide(text, listed, least_specific=0 if reason != TOO_GENERIC else 2).reason == reason


@pytest.mark.parametrize(
    "word", ["مرض", "المرض", "والمرض", "بالمرض", "وبالمرض", "للمرض", "فللمرض", "كمرض", "لمرض"]
)
def test_arabic_clitics_before_a_keyword_are_stripped(word: str) -> None:
    """Conjunction, preposition and article, alone and in a row, as they are written."""
    assert decide(f"هذا {word}، نعم", keyword_list("ar")).hits == (("مرض", 1),)


@pytest.mark.parametrize("word", ["تمرض", "مرضك", "الومرض", "بومرض"])
def test_other_letters_around_an_arabic_keyword_are_no_clitics(word: str) -> None:
    """A verb prefix, a suffix, and clitics in an order that Arabic does not have."""
    assert decide(word, keyword_list("ar")).count == 0


def test_arabic_is_matched_normalised() -> None:
    """Tashkeel, tatweel and the forms of alef and ta marbuta do not hide a keyword."""
    found = decide("الأَدْوِيَة والإصـــابة و الاصابه", keyword_list("ar"))

    assert dict(found.hits) == {"ادويه": 1, "اصابه": 2}


def test_an_arabic_article_about_food_is_rejected_and_one_about_disease_accepted() -> None:
    """The shipped Arabic list tells them apart."""
    food = "طبخت أمي الأرز مع الخضار واللحم في المطبخ الكبير، ثم جلسنا حول الطاولة نأكل ونضحك حتى المساء."
    disease = "يعاني المريض من ارتفاع ضغط الدم والسكري، ووصف له الطبيب دواء لعلاج التهاب الكبد."

    assert not decide(food, keyword_list("ar")).accepted
    assert decide(disease, keyword_list("ar")).accepted


# --- lists ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", shipped_languages())
def test_each_list_has_two_groups_origin_date_and_thresholds(code: str) -> None:
    """At least 120 different words, all generic ones among them, and most words not generic."""
    listed = keyword_list(code)
    different = {fold(word, listed) for word in (*listed.medical, *listed.biology)}

    assert listed.language == code
    assert len(different) >= 120
    assert min(len(listed.medical), len(listed.biology)) >= 60
    assert len(listed.generic) < len(different) / 4
    assert listed.origin and listed.source and re.fullmatch(r"\d{4}-\d\d-\d\d", listed.date)


def test_lists_exist_for_seven_languages() -> None:
    """The six of MMedC, and Arabic, which its release lacked."""
    assert set(shipped_languages()) >= {"ar", "en", "es", "fr", "ja", "ru", "zh"}


# --- against reference rules ----------------------------------------------------------------------------


def released_reference(text: str, listed: KeywordList) -> tuple[bool, int, float]:
    """Steps 1 to 7 word by word, with str.count and str.split."""
    keywords = [word.lower() for word in {*listed.medical, *listed.biology}]
    low, count, characters = text.lower(), 0, 0
    split = low.split()
    for keyword in keywords:
        times = low.count(keyword) if is_long(keyword) else split.count(keyword)
        count += times > 0
        characters += times * len(keyword)
    density = characters / len(text) if text else 0.0
    accepted = count >= listed.count and density >= listed.density
    return accepted, count, density


def corrected_reference(text: str, listed: KeywordList) -> Counter[str]:
    """Longest keyword first, each place used once, by regular expressions."""
    folded = fold(text, listed)
    free = [True] * len(folded)
    hits: Counter[str] = Counter()
    every = {fold(word, listed) for word in (*listed.medical, *listed.biology)}
    for keyword in sorted(every, key=lambda word: (-len(word), word)):
        border = (r"(?<![^\W_])", r"(?![^\W_])") if listed.spaced else ("", "")
        for found in re.finditer(f"(?={border[0]}({re.escape(keyword)}){border[1]})", folded):
            start, end = found.span(1)
            if all(free[start:end]):
                free[start:end] = [False] * (end - start)
                hits[keyword] += 1
    return hits


def texts_of(code: str, seed: int) -> str:
    """Return a text that mixes keywords of a language, filler, punctuation and white space."""
    draw = random.Random(f"{code}:{seed}")
    listed = keyword_list(code)
    pool = [
        *draw.sample(listed.medical, 30),
        *draw.sample(listed.biology, 30),
        *["filler", "x", "12", "\u00a0"] * 20,
    ]
    pieces = [draw.choice([str, str.upper, str.title])(word) for word in draw.choices(pool, k=80)]
    return "".join(piece + draw.choice([" ", " ", ", ", "\n", "-", ""]) for piece in pieces)


@pytest.mark.parametrize("code", ["en", "es", "fr", "ru"])
def test_the_automaton_decides_as_the_released_rule_written_plainly(code: str) -> None:
    """Same verdict, count and density on 30 mixed texts a language."""
    listed = keyword_list(code)
    for seed in range(30):
        text = texts_of(code, seed)
        found = decide(text, listed, mode="as_released")

        assert (found.accepted, found.count, found.density) == released_reference(text, listed)


@pytest.mark.parametrize("code", ["en", "es", "ru", "zh", "ja"])
def test_the_automaton_finds_what_the_corrected_rule_finds_written_plainly(code: str) -> None:
    """Same keywords, same number of occurrences on 30 mixed texts a language."""
    listed = keyword_list(code)
    for seed in range(30):
        text = texts_of(code, seed)

        assert dict(decide(text, listed).hits) == dict(corrected_reference(text, listed))


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30), st.integers(1, 6))).map(
        lambda rows: [(index, start, start + length) for index, start, length in rows]
    )
)
def test_spans_without_overlap_are_what_global_greed_gives(spans: list[tuple[int, int, int]]) -> None:
    """Cutting the spans into clusters changes nothing: no two overlap, and every refused one is blocked."""
    kept = without_overlap(spans)
    taken: set[int] = set()
    for _, start, end in sorted(spans, key=lambda span: (span[1] - span[2], span[1])):
        if not taken & set(range(start, end)):
            taken |= set(range(start, end))

    assert {place for _, start, end in kept for place in range(start, end)} == taken
    assert sum(end - start for _, start, end in kept) == len(taken)
