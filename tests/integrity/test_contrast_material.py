"""The contrast set is sound in itself: its spans, counts, parts and frozen content. No check is run here."""

import re
import sys
import unicodedata
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from bimedix.files import hash_file
from bimedix.languages import language
from bimedix.records import MultipleChoice, content_hash, item_fields

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "contrast_set"
sys.path.insert(0, str(FOLDER))

import contrast_cases as contrast  # noqa: E402
from contrast_data import LATER, SENTENCES, Edit, apply_edit, read_sentences  # noqa: E402
from contrast_seeding import other_digits  # noqa: E402

FILE_HASH = {
    "sentences": "3f26ed1760d09288bf8a67bc87d8951e",
    "second_open": "ee215093c221aa32b5b81045c9b9c511",
    "third_open": "05d0ab4be4db3a371d5d671c84d3bef8",
    "second_held": "704388321cf7fcd0bec2e3811b498ef3",
}
CASES_HASH: dict[contrast.Part, str] = {
    "open": "2ad7cebe2f351fc46f73b30ff51bd8d5",
    "held": "c658469ce7836819cdec13b31eb0dace",
    "second_open": "b5b054773527aa500702601147f9e888",
    "third_open": "9c88ecba368726a58b580b41387b8062",
    "second_held": "47d301caf6dda491401a63e168386895",
}
"""Frozen: a change of data or seeding makes another contrast set, and figures on the old one are void."""


@cache
def cases() -> tuple[contrast.Case, ...]:
    return tuple(case for part in CASES_HASH for case in cases_of(part))


@cache
def cases_of(part: contrast.Part) -> tuple[contrast.Case, ...]:
    return tuple(contrast.pairs(part))


def texts_of(case: contrast.Case) -> str:
    return "\n".join(item_fields(case.target).values())


def ascii_digits(text: str) -> str:
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)


def numbers_of(case: contrast.Case) -> Counter[str]:
    text = unicodedata.normalize("NFKC", texts_of(case))
    text = re.sub(r"(?<=\d)[,٬](?=\d{3}(?!\d))", "", ascii_digits(text).replace("٫", "."))
    text = re.sub(r"(?<=\d),(?=\d)", ".", text)
    return Counter(re.findall(r"\d+(?:[.,]\d+)*", text))


def test_material_is_frozen() -> None:
    """The sentences and every case made of them are those that were committed before any check was run."""
    files = {path.stem: hash_file(path) for path in (SENTENCES, *LATER.values())}
    made = {part: content_hash([vars(case) for case in cases_of(part)]) for part in CASES_HASH}

    assert files == FILE_HASH
    assert made == CASES_HASH


def test_there_is_enough_of_everything() -> None:
    """150 sentences, 110 of them in Arabic, 12 in each other language, 1,000 errors, 300 harmless cases."""
    first = (*cases_of("open"), *cases_of("held"))
    languages = Counter(code for sentence in read_sentences() for code in sentence.translations)
    errors = Counter(case.cls for case in first if case.family != contrast.HARMLESS)
    sources = [tuple(sentence.source.values()) for sentence in read_sentences()]

    assert len(set(sources)) == len(sources) >= 150
    assert languages["ar"] >= 110
    assert all(languages[code] >= 12 for code in ("es", "fr", "ru", "zh", "ja"))
    assert set(errors) == set(contrast.FAMILIES)
    assert sum(errors.values()) >= 1000
    assert sum(case.family == contrast.HARMLESS for case in first) >= 300


def test_ids_are_unique() -> None:
    assert len({case.id for case in cases()}) == len(cases())


def test_held_part_shares_no_sentence_with_the_open_one() -> None:
    """The parts divide the sentences, about one third held out; unrelated texts come from the same part."""
    parts = {part: {case.sentence_id for case in cases_of(part)} for part in CASES_HASH}
    borrowed = {part: {texts_of(c) for c in cases_of(part) if c.cls == "unrelated"} for part in parts}
    own = {part: {texts_of(c) for c in cases_of(part) if c.cls == "right"} for part in parts}

    assert sum(map(len, parts.values())) == len(set().union(*parts.values()))
    assert 0.25 < len(parts["held"]) / len(parts["open"] | parts["held"]) < 0.42
    assert all(borrowed[part] <= own[part] for part in parts)


def test_every_translation_is_whole_and_in_its_script() -> None:
    """The same fields as the source, none empty, letters of the language in the text."""
    for case in cases():
        if case.cls != "right":
            continue
        named = {unicodedata.name(c, "").split()[0] for c in texts_of(case) if c.isalpha()}

        assert list(item_fields(case.target)) == list(item_fields(case.source)), case.id
        assert language(case.language).script in named, case.id
        assert all(text == text.strip() for text in item_fields(case.target).values()), case.id


def test_no_error_equals_a_right_or_harmless_pair() -> None:
    """What must be found and what must pass are different pairs, each once."""
    pairs = Counter((content_hash(case.source), content_hash(case.target)) for case in cases())

    assert max(pairs.values()) == 1


def test_digit_and_decimal_errors_change_a_number() -> None:
    """A wrong digit or decimal sign leaves other numbers in the text than were there."""
    right = {(c.sentence_id, c.language): numbers_of(c) for c in cases() if c.cls == "right"}
    changed = [c for c in cases() if c.cls in ("number_digit", "number_decimal")]

    assert changed
    assert [c.id for c in changed if numbers_of(c) == right[c.sentence_id, c.language]] == []


def test_other_digits_write_the_same_numbers() -> None:
    """Digits of another script, decimal and group signs with them; names and powers keep theirs."""
    assert other_digits("CD4 180, 2.5 × 10⁵, 10,000", "x") in (
        "CD4 ١٨٠, ٢٫٥ × 10⁵, ١٠٬٠٠٠",
        "CD4 ۱۸۰, ۲٫۵ × 10⁵, ۱۰٬۰۰۰",
    )
    right = {(c.sentence_id, c.language): numbers_of(c) for c in cases() if c.cls == "right"}

    assert all(numbers_of(c) == right[c.sentence_id, c.language] for c in cases() if c.cls == "digit_script")


def test_option_and_key_errors_are_what_they_say() -> None:
    """A dropped option is missing, collapsed ones are equal, exchanged ones all there, the key moved."""
    right = {(c.sentence_id, c.language): c.target for c in cases() if c.cls == "right"}
    seen = Counter[str]()
    for case in cases():
        whole = right[case.sentence_id, case.language]
        if not isinstance(whole, MultipleChoice) or not isinstance(case.target, MultipleChoice):
            continue
        options, answers = case.target.options, case.target.answers
        holds = {
            "option_dropped": len(options) == len(whole.options) - 1,
            "option_collapsed": len(set(options)) == len(options) - 1,
            "option_order": options != whole.options and set(options) == set(whole.options),
            "option_order_words": options != whole.options and set(options) == set(whole.options),
            "key_changed": answers != whole.answers and options == whole.options,
        }
        seen[case.cls] += 1

        assert holds.get(case.cls, case.cls == "unrelated" or answers == whole.answers), case.id
    assert min(seen[cls] for cls in holds) > 0


def test_cut_texts_begin_as_the_right_ones() -> None:
    """A cut takes away the end and nothing else."""
    right = {(c.sentence_id, c.language): item_fields(c.target) for c in cases() if c.cls == "right"}
    cuts = [case for case in cases() if case.family == "cut"]
    for case in cuts:
        whole = right[case.sentence_id, case.language]
        changed = [name for name, text in item_fields(case.target).items() if text != whole[name]]

        assert len(changed) == 1, case.id
        assert whole[changed[0]].startswith(item_fields(case.target)[changed[0]]), case.id


def test_glossaries_come_with_the_families_that_need_them() -> None:
    """Every drug error brings terms; letters, numbers and units bring none."""
    assert all(case.glossary for case in cases() if case.family == "drug")
    assert not any(case.glossary for case in cases() if case.family in ("number", "unit", "letter", "cut"))


def test_an_edit_whose_span_is_not_there_once_is_refused() -> None:
    """The data cannot drift: a span that is missing or doubled stops the reading."""
    with pytest.raises(ValueError, match="2 times"):
        apply_edit({"text": "5 mg, 5 mL"}, Edit("number_digit", "5", "6"))
    with pytest.raises(ValueError, match="0 times"):
        apply_edit({"text": "5 mg"}, Edit("number_digit", "7", "6"))


def test_material_knows_nothing_of_the_checks() -> None:
    """No module of the contrast set imports the checks or anything that runs them."""
    imports = [
        line
        for path in FOLDER.glob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r"\s*(from|import) ", line)
    ]

    assert imports
    assert not [line for line in imports if re.search(r"integrity|soundness|evaluate|translate\b", line)]
