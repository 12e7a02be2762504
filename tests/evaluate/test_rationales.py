"""Rationale metrics against sacrebleu, worked examples, and in seven languages."""

from random import Random

import pytest

from bimedix.errors import DataError, UsageError
from bimedix.evaluate.rationales import (
    METRICS,
    Rationale,
    bleu,
    chrf,
    corpus_bleu,
    counted,
    item_scores,
    longest_common,
    rouge,
    rouge_l,
    score_rationales,
    summarise,
)
from bimedix.text import words

TEXTS = {
    "en": "The patient's fever suggests pneumonia, so a chest X-ray is needed.",
    "ar": "تشير حمى المريض إلى التهاب رئوي، لذلك يلزم تصوير الصدر.",
    "es": "La fiebre del paciente sugiere neumonía, así que hace falta una radiografía.",
    "fr": "La fièvre du patient évoque une pneumonie ; il faut une radiographie.",
    "ru": "Лихорадка больного указывает на пневмонию, нужен снимок груди.",
    "zh": "患者发热提示肺炎，因此需要胸部X光检查。",
    "ja": "患者の発熱は肺炎を示唆するため、胸部X線検査が必要です。",
}


def pair(code: str, generated: str, *, passed: bool | None = True, name: str = "r") -> Rationale:
    return Rationale(name, code, TEXTS[code], generated, passed)


@pytest.mark.parametrize("code", sorted(TEXTS))
@pytest.mark.parametrize("protocol", sorted(METRICS))
def test_identical_texts_score_one(code: str, protocol: str) -> None:
    """In all seven languages and by every metric; other tools give 0.0 for Arabic, Chinese and Russian."""
    for row in score_rationales([pair(code, TEXTS[code])], protocol, draws=10):  # type: ignore[arg-type]
        assert row.value == pytest.approx(1.0), row.metric


@pytest.mark.parametrize("code", sorted(TEXTS))
def test_texts_without_a_common_word_score_near_zero(code: str) -> None:
    other = "xyzzy plugh quux" if code != "en" else "не да или"
    found = {row.metric: row.value for row in score_rationales([pair(code, other)], "bimedix", draws=10)}

    assert max(found.values()) < 0.05


def sentences(count: int) -> list[tuple[list[str], list[str]]]:
    draw = Random(1)
    words = [
        "the",
        "a",
        "fever",
        "of",
        "liver",
        "is",
        "and",
        "in",
        "acute",
        "pain",
        "with",
        "no",
        "cough",
        "renal",
        ",",
    ]
    out = []
    for _ in range(count):
        reference = draw.choices(words, k=draw.randint(8, 25))
        generated = [word if draw.random() < 0.8 else draw.choice(words) for word in reference]
        out.append((reference, generated[: draw.randint(6, 25)]))
    return out


def test_bleu_and_chrf_equal_sacrebleu() -> None:
    """Corpus BLEU of given tokens, and sentence chrF, to 1e-6."""
    sacrebleu = pytest.importorskip("sacrebleu")
    pairs = sentences(40)
    theirs = sacrebleu.corpus_bleu(
        [" ".join(generated) for _, generated in pairs],
        [[" ".join(reference) for reference, _ in pairs]],
        tokenize="none",
        smooth_method="none",
    )

    assert corpus_bleu(pairs) == pytest.approx(theirs.score / 100, abs=1e-6)
    for reference, generated in pairs:
        expected = sacrebleu.sentence_chrf(" ".join(generated), [" ".join(reference)], eps_smoothing=True)
        assert chrf(" ".join(reference), " ".join(generated)) == pytest.approx(expected.score / 100, abs=1e-6)


def test_sentence_bleu_and_rouge_equal_nltk_and_rouge_score() -> None:
    """nltk's smoothing method 1 and Google's ROUGE on English tokens, to 1e-6."""
    translate = pytest.importorskip("nltk.translate.bleu_score")
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rouge1", "rouge2", "rougeL"])
    smooth = translate.SmoothingFunction().method1
    for reference, generated in sentences(40):
        expected = translate.sentence_bleu([reference], generated, smoothing_function=smooth)
        assert bleu(reference, generated, 4, short_texts=False) == pytest.approx(expected, abs=1e-6)
        a, b = ([word for word in text if word != ","] for text in (reference, generated))
        theirs = scorer.score(" ".join(a), " ".join(b))
        ours = rouge(a, b, 1), rouge(a, b, 2), rouge_l(a, b)
        assert ours == pytest.approx(
            [theirs[name].fmeasure for name in ("rouge1", "rouge2", "rougeL")], abs=1e-6
        )


def test_sentence_bleu_of_a_worked_example() -> None:
    """5 of 6 words, 3 of 5 pairs, 1 of 4 triples, no quadruple: smoothed to a tenth of a match of 3."""
    reference = ["the", "cat", "is", "on", "the", "mat"]
    generated = ["the", "cat", "sat", "on", "the", "mat"]

    assert bleu(reference, generated, 1) == pytest.approx(5 / 6)
    assert bleu(reference, generated, 2) == pytest.approx((5 / 6 * 3 / 5) ** 0.5)
    assert bleu(reference, generated, 4) == pytest.approx((5 / 6 * 3 / 5 * 1 / 4 * 0.1 / 3) ** 0.25)
    assert bleu(reference, generated[:3], 1) == pytest.approx(2 / 3 * 2.718281828 ** (1 - 6 / 3))


def test_rouge_of_worked_examples() -> None:
    """Lin 2004, section 3.1: the two candidates have the same words and other orders."""
    reference = ["police", "killed", "the", "gunman"]
    first, second = ["police", "kill", "the", "gunman"], ["the", "gunman", "kill", "police"]

    assert rouge_l(reference, first) == pytest.approx(3 / 4)
    assert rouge_l(reference, second) == pytest.approx(2 / 4)
    assert rouge(reference, first, 1) == rouge(reference, second, 1) == pytest.approx(3 / 4)
    assert rouge(reference, first, 2) == pytest.approx(1 / 3)


def test_longest_common_subsequence_equals_the_textbook_table() -> None:
    draw = Random(2)
    for _ in range(50):
        a, b = ([draw.choice("abcd") for _ in range(draw.randint(0, 90))] for _ in range(2))
        table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
        for i, x in enumerate(a):
            for j, y in enumerate(b):
                table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])

        assert longest_common(a, b) == table[-1][-1]


def test_arabic_spelling_variants_are_one_word() -> None:
    """Vowel signs and hamza do not make another word in normal form; as written they do."""
    both = counted(Rationale("r", "ar", "الأَلَم", "الالم"))

    assert both.reference == both.generated and words("الأَلَم", "ar") != words("الالم", "ar")


def test_the_two_readings_of_mmedbench_differ_and_say_so() -> None:
    """What the table is headed is far above what the script computes."""
    generated = "Fever of the patient suggests pneumonia and a chest X-ray is needed."
    headed = score_rationales([pair("en", generated)], "mmedbench_table", draws=10)
    computed = score_rationales([pair("en", generated)], "mmedbench_code", draws=10)

    assert headed[0].value > computed[0].value + 0.1
    assert (headed[0].metric, computed[0].metric) == ("BLEU-1", "BLEU-1 (computed as BLEU-4)")
    assert headed[0].signature.startswith("mmedbench_table|BLEU-1|tokens:words+punctuation")


def test_mean_of_languages_counts_each_language_once() -> None:
    pairs = [pair("en", TEXTS["en"], name=str(n)) for n in range(9)] + [pair("zh", "肺炎")]
    rows = {row.language: row for row in score_rationales(pairs, "mmedbench_table", draws=50)[:3]}

    assert rows["mean"].value == pytest.approx((rows["en"].value + rows["zh"].value) / 2)
    assert rows["mean"].items == 10


def test_unchecked_references_are_refused_unless_asked_for() -> None:
    pairs = [pair("en", "x", name="good"), pair("en", "x", passed=None, name="bad")]
    with pytest.raises(DataError, match=r"1 of 2 reference rationales .* bad"):
        score_rationales(pairs, "bimedix")
    with pytest.raises(UsageError, match="not known"):
        score_rationales(pairs, "meteor")  # type: ignore[arg-type]

    assert score_rationales(pairs, "bimedix", unfiltered=True, draws=10)[0].items == 2


def test_english_texts_as_written_equal_sacrebleu_and_rouge_score() -> None:
    """Raw sentences through our own tokeniser: sentence BLEU-1 to 4 and ROUGE-1, -2, -L, to 1e-6."""
    sacrebleu = pytest.importorskip("sacrebleu")
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rouge1", "rouge2", "rougeL"])
    draw = Random(3)
    text = TEXTS["en"] + " Chest pain, fever and cough (for 3 days) point to the lungs; give 500 mg now."
    for _ in range(30):
        pieces = text.split()
        generated = " ".join(p for p in draw.sample(pieces, len(pieces)) + pieces if draw.random() < 0.6)
        one = counted(Rationale("r", "en", text, generated))
        for order in (1, 2, 3, 4):
            theirs = sacrebleu.sentence_bleu(
                " ".join(one.generated), [" ".join(one.reference)], smooth_method="floor", smooth_value=0.1,
                tokenize="none", use_effective_order=True,
            ) if order == 4 else sacrebleu.BLEU(
                smooth_method="floor", smooth_value=0.1, tokenize="none", effective_order=True,
                max_ngram_order=order,
            ).sentence_score(" ".join(one.generated), [" ".join(one.reference)])  # fmt: skip
            assert bleu(one.reference, one.generated, order) == pytest.approx(theirs.score / 100, abs=1e-6)
        a, b = ([w.lower() for w in t if w.isalnum()] for t in (one.reference, one.generated))
        found = scorer.score(" ".join(a), " ".join(b))
        assert (rouge(a, b, 1), rouge(a, b, 2), rouge_l(a, b)) == pytest.approx(
            [found[name].fmeasure for name in ("rouge1", "rouge2", "rougeL")], abs=1e-6
        )


@pytest.mark.parametrize(
    ("name", "code", "words_seen"),
    [("jieba", "zh", ["患者", "发热"]), ("janome", "ja", ["患者", "の", "発熱"])],
)
def test_word_splitters_cut_words_and_the_signature_says_so(
    name: str, code: str, words_seen: list[str]
) -> None:
    """Characters without them; with them words, and identical texts still score one."""
    pytest.importorskip(name)
    one = pair(code, TEXTS[code])
    rows = score_rationales([one], "bimedix", splitters={code: name}, draws=10)

    assert counted(one, name).reference[: len(words_seen)] == words_seen
    assert counted(one).reference[:2] == list(TEXTS[code][:2])
    assert f"tokens:{name} " in rows[0].signature
    assert all(row.value == pytest.approx(1.0) for row in rows)


def test_means_follow_from_the_single_scores() -> None:
    """What the file of single scores holds gives every figure, by language and over languages."""
    pairs = [pair("en", TEXTS["en"], name="a"), pair("en", "fever", name="b"), pair("zh", "肺炎", name="c")]
    rows = item_scores(pairs, "bimedix")
    found = {(row.metric, row.language): row for row in summarise(rows, draws=20)}
    mine = [row.value for row in rows if (row.metric, row.language) == ("ROUGE-L", "en")]

    assert found["ROUGE-L", "en"].value == pytest.approx(sum(mine) / 2) and len(mine) == 2
    assert found == {(r.metric, r.language): r for r in score_rationales(pairs, "bimedix", draws=20)}
