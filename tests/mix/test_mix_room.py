"""The room `mix`: ratio, order, pairs, splits, what stays out, and statistics that add up."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bimedix.errors import MissingError, RecipeError, UsageError
from bimedix.files import read_records, write_records
from bimedix.mix.room import run
from bimedix.mix.settings import Settings
from bimedix.records import (
    Attempt,
    Conversation,
    Dialogue,
    Dropped,
    MultipleChoice,
    OpenQuestion,
    Origin,
    Passage,
    Record,
    Translation,
    Turn,
    item_fields,
    root_id,
    translated_id,
    with_fields,
)
from bimedix.stage import Context, Summary

SYMPTOMS = ("cough", "fever", "rash", "thirst", "nausea", "vertigo", "fatigue", "oedema", "ataxia", "icterus")
ORGANS = ("liver", "lung", "kidney", "spleen", "heart", "pancreas", "brain", "stomach", "thyroid", "bladder")


def question(number: int, **changes: Any) -> OpenQuestion:
    """Return an open question that looks like no other one."""
    text = f"{SYMPTOMS[number % 10]} {number * 7919} {ORGANS[number // 10 % 10]} {number * 104729}?"
    origin = Origin("books", split=changes.pop("split", "train"))
    return OpenQuestion(f"q:{number}", "en", origin, text, "rest " * (1 + number % 5), **changes)


def exam(number: int, split: str = "train", rationale: str | None = None) -> MultipleChoice:
    options = (f"option {number * 31}", f"option {number * 37 + 1}", f"choice {number}")
    text = f"{ORGANS[number % 10]} {number * 15485863} {SYMPTOMS[number // 10 % 10]}"
    return MultipleChoice(
        f"m:{number}", "en", Origin("exam", split=split), text, options, (1,), rationale=rationale
    )


def arabic(item: Any, prefix: str = "س") -> Any:
    """Return a stand-in translation: the numbers stay, the words become Arabic letters."""
    texts = {name: prefix * 6 + "".join(c for c in text if not c.isascii() or c.isdigit() or c == " ")
             for name, text in item_fields(item).items()}  # fmt: skip
    return with_fields(item, texts, language="ar", id=translated_id(item.id, "ar"))


class Mix:
    """The files of one run."""

    def __init__(self, out: Path, summary: Summary) -> None:
        self.out, self.summary = out, summary
        self.statistics = json.loads((out / "statistics.json").read_text())
        self.records, self.train, self.validation = (
            list(read_records(out / f"{name}.jsonl", Conversation))
            for name in ("records", "train", "validation")
        )
        self.dropped = list(read_records(out / "dropped.jsonl", Dropped))
        self.passages = list(read_records(out / "passages.jsonl", Passage))

    def ids(self, language: str = "") -> list[str]:
        return [record.id for record in self.records if not language or record.language == language]

    def reasons(self) -> dict[str, str]:
        return {row.id: row.reason for row in self.dropped}


def mix(
    tmp_path: Path, curate: Sequence[Record], review: Sequence[Record] = (), seed: int = 17,
    rooms: dict[str, Sequence[Record]] | None = None, **settings: Any,
) -> Mix:  # fmt: skip
    """Write the inputs, run the room, read what it wrote."""
    given = {"curate": curate, "review": review, **(rooms or {})}
    inputs = {}
    for room, records in given.items():
        if records:
            write_records(tmp_path / room / "records.jsonl", records)
            inputs[room] = tmp_path / room
    settings.setdefault("validation_share", 0.0)
    settings.setdefault("near_duplicates", 0.0)
    context = Context(tmp_path / "calls", seed, base=tmp_path)
    return Mix(tmp_path / "mix", run(Settings(**settings), inputs, tmp_path / "mix", context))


ENGLISH = [question(n) for n in range(60)]
ARABIC = [arabic(item) for item in ENGLISH[:20]]


# --- ratio ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "counts"),
    [
        ((1.0, 2.0), (20, 40)),
        ((1.0, 4.0), (15, 60)),
        ((2.0, 1.0), (20, 10)),
        ((1.0, 0.0), (20, 0)),
        ((0.0, 1.0), (0, 60)),
    ],
)
def test_the_ratio_by_samples_is_exact(
    tmp_path: Path, ratio: tuple[float, float], counts: tuple[int, int]
) -> None:
    """The short side stays whole, whichever it is; a 0 leaves its side out."""
    mixed = mix(tmp_path, ENGLISH, ARABIC, ratio=ratio)

    assert (len(mixed.ids("ar")), len(mixed.ids("en"))) == counts


@pytest.mark.parametrize("basis", ["tokens", "characters"])
def test_the_ratio_by_size_is_exact_to_one_record(tmp_path: Path, basis: str) -> None:
    """The source side misses twice the target's size by no more than half its largest record."""
    mixed = mix(tmp_path, ENGLISH, ARABIC, basis=basis)
    sides = mixed.statistics["ratio"][basis]
    largest = max(sum(len(m.content) for m in record.messages) for record in mixed.records)

    assert len(mixed.ids("ar")) == 20
    assert abs(sides["source"] - 2 * sides["target"]) <= largest / 2


def test_all_three_bases_are_reported(tmp_path: Path) -> None:
    """What was asked by samples is told by tokens and characters too, from the records."""
    mixed = mix(tmp_path, ENGLISH, ARABIC)
    ratio = mixed.statistics["ratio"]
    texts = {
        code: sum(len(m.content) for r in mixed.records if r.language == code for m in r.messages)
        for code in ("ar", "en")
    }

    assert ratio["samples"] == {"target": 20, "source": 40, "target_per_source": 0.5}
    assert ratio["characters"]["target_per_source"] == round(texts["ar"] / texts["en"], 4)
    assert ratio["tokens"]["target"] > 0


def test_the_ratio_can_hold_within_each_type(tmp_path: Path) -> None:
    """Ten Arabic exam items allow twenty English ones, however many open questions there are."""
    exams = [exam(n) for n in range(40)]
    mixed = mix(tmp_path, [*ENGLISH, *exams], [*ARABIC, *map(arabic, exams[:10])], per_type=True)
    counts = {kind: sum(record.type == kind for record in mixed.records) for kind in ("qa", "mcqa")}

    assert counts == {"qa": 60, "mcqa": 30}


def test_a_ratio_without_one_side_is_refused(tmp_path: Path) -> None:
    """An empty mix would otherwise pass for a finished one."""
    with pytest.raises(RecipeError, match=r"no record in 'ar' was admitted"):
        mix(tmp_path, ENGLISH)


def test_one_language_alone_needs_no_ratio(tmp_path: Path) -> None:
    """No target languages: everything in the source language is kept."""
    assert len(mix(tmp_path, ENGLISH, languages=()).records) == 60


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ratio": (1.0,)}, "two numbers are needed"),
        ({"ratio": (0.0, 0.0)}, "both may not be 0"),
        ({"validation_share": 1.5}, "between 0 and 1"),
        ({"languages": ("ar", "en")}, "both the source and a target"),
        ({"segment_overlap_tokens": 2048}, "has to be below"),
    ],
)
def test_contradictory_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    """Where they are made, so that a recipe names the line."""
    with pytest.raises(UsageError, match=words):
        Settings(**settings)


# --- order, splits, pairs -------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    """Every file, in two folders; another seed gives another order."""
    first = mix(tmp_path / "a", ENGLISH, ARABIC, validation_share=0.2)
    second = mix(tmp_path / "b", ENGLISH, ARABIC, validation_share=0.2)
    other = mix(tmp_path / "c", ENGLISH, ARABIC, validation_share=0.2, seed=18)

    for path in first.out.iterdir():
        assert path.read_bytes() == (second.out / path.name).read_bytes(), path.name
    assert first.ids() != other.ids()


def test_the_order_of_the_input_does_not_matter(tmp_path: Path) -> None:
    """Order and choice come from the records, not from their places."""
    first, second = mix(tmp_path / "a", ENGLISH, ARABIC), mix(tmp_path / "b", ENGLISH[::-1], ARABIC[::-1])

    assert first.ids() == second.ids()


def test_one_record_more_moves_no_other(tmp_path: Path) -> None:
    """With it the same records stand in the same order, apart from itself and at most one at the border."""
    before = mix(tmp_path / "a", ENGLISH, ARABIC, validation_share=0.2)
    after = mix(tmp_path / "b", [*ENGLISH, question(99)], ARABIC, validation_share=0.2)
    common = set(before.ids()) & set(after.ids())

    assert len(common) >= len(before.ids()) - 1
    assert [i for i in before.ids() if i in common] == [i for i in after.ids() if i in common]
    for name in ("train", "validation"):
        old = [record.id for record in getattr(before, name) if record.id in common]
        assert old == [record.id for record in getattr(after, name) if record.id in common]


def test_a_lineage_stays_on_one_side_of_the_split(tmp_path: Path) -> None:
    """Item, chat and translations; and about the asked share goes to validation."""
    turns = (Turn("user", "I feel ill"), Turn("assistant", "Rest"))
    chats = [Dialogue(f"q:{n}#chat", "en", Origin("books"), turns, parents=(f"q:{n}",)) for n in range(60)]
    translated = [arabic(item) for item in (*ENGLISH, *chats)]
    rooms = {"synthesize": chats}
    mixed = mix(tmp_path, ENGLISH, translated, rooms=rooms, validation_share=0.3, ratio=(1.0, 1.0))
    roots = [{root_id(record.id) for record in part} for part in (mixed.train, mixed.validation)]

    assert not roots[0] & roots[1]
    assert len(mixed.train) + len(mixed.validation) == len(mixed.records) == 240
    assert 0.15 < len(roots[1]) / 60 < 0.45


def test_pairs_may_be_kept_apart(tmp_path: Path) -> None:
    """Then no item is in the mix in both languages, and the ratio holds all the same."""
    mixed = mix(tmp_path, ENGLISH, [arabic(item) for item in ENGLISH], pairs="apart")
    roots = [root_id(name) for name in mixed.ids()]

    assert len(roots) == len(set(roots))
    assert len(mixed.ids("en")) == 2 * len(mixed.ids("ar")) > 20
    assert "another language's version of the item is in the mix" in mixed.summary.dropped


# --- what stays out -------------------------------------------------------------------------------------


def test_test_items_and_what_comes_from_them_never_enter(tmp_path: Path) -> None:
    """The item by its split, its chat and translation by lineage, a copy from elsewhere by its text."""
    test = exam(7, split="test")
    chat = Dialogue(
        "m:7#chat", "en", Origin("exam"), (Turn("user", "Hi"), Turn("assistant", "Hm")), parents=("m:7",)
    )
    copy = OpenQuestion("web:1", "en", Origin("web"), test.question.upper(), "unknown")
    translation = with_fields(arabic(test), item_fields(arabic(test)), language="ar", id="m:7@ar")
    mixed = mix(tmp_path, [*ENGLISH, test, copy], [*ARABIC, translation], rooms={"synthesize": [chat]})

    assert {i: r for i, r in mixed.reasons().items() if not i.startswith("q:")} == {
        "m:7": "belongs to a test split",
        "m:7@ar": "belongs to a test split",
        "m:7#chat": "holds a test item: lineage",
        "web:1": "holds a test item: same stem",
    }
    assert next(row for row in mixed.dropped if row.id == "web:1").place == "m:7"


@pytest.mark.parametrize("room", ["review", "translate"])
def test_the_translation_of_a_leak_is_a_leak(tmp_path: Path, room: str) -> None:
    """Its text shares nothing with the test item; its lineage, or the source it carries, tells."""
    test = exam(7, split="test")
    copy = OpenQuestion("web:1", "en", Origin("web"), test.question.upper(), "unknown")
    target = arabic(copy)
    if room == "review":
        mixed = mix(tmp_path, [*ENGLISH, test, copy], [*ARABIC, target])
    else:
        made = Translation("web:1", copy, target, (Attempt(0, {}, 90.0),), 0, "accepted")
        mixed = mix(tmp_path, [*ENGLISH, test, *ARABIC], rooms={"translate": [made]})

    expected = "holds a test item: " + ("lineage" if room == "review" else "same stem")
    assert mixed.reasons()["web:1@ar"] == expected
    assert {row.place for row in mixed.dropped if row.id.startswith("web")} == {"m:7"}


def test_registered_test_files_count_whatever_their_split(tmp_path: Path) -> None:
    """A test set that is no input of this run; its hash and the counts go into the report."""
    write_records(tmp_path / "sets" / "records.jsonl", [question(5, split="")])
    mixed = mix(tmp_path, ENGLISH, ARABIC, tests=("sets/*.jsonl",))
    report = json.loads((mixed.out / "decontamination.json").read_text())

    assert mixed.reasons()["q:5"] == mixed.reasons()["q:5@ar"] == "holds a test item: lineage"
    assert (report["test_items"], report["checked"], report["dropped_by_rule"]) == (1, 80, {"lineage": 2})
    assert list(report["test_files"]) == ["sets/records.jsonl"] and set(report["inputs"]) == {
        "curate",
        "review",
    }


def test_a_pattern_of_tests_that_finds_nothing_is_an_error(tmp_path: Path) -> None:
    """A misspelt test set would switch the check off unseen."""
    with pytest.raises(MissingError, match="no test set matches 'stes/"):
        mix(tmp_path, ENGLISH, ARABIC, tests=("stes/*.jsonl",))


def test_the_validation_split_of_medmcqa_is_a_test_set(tmp_path: Path) -> None:
    """It is what models are tested on; validation splits of other sets may be trained on."""
    origin = Origin("medmcqa", split="validation")
    held = MultipleChoice("medmcqa:1", "en", origin, "Which vitamin prevents scurvy?", ("A", "C"), (1,))
    other = exam(1, split="validation")
    mixed = mix(tmp_path, [held, other], languages=())

    assert mixed.ids() == ["m:1"]


def test_translations_enter_by_their_route(tmp_path: Path) -> None:
    """Straight from `translate`: accepted and audited targets; the others say why they wait."""
    items = [question(n) for n in range(4)]
    made = [
        Translation(item.id, item, target, (Attempt(0, {}, 90.0),), 0, route)
        for item, target, route in zip(
            items, [*map(arabic, items[:3]), None], ["accepted", "audit", "review", "accepted"], strict=True
        )
    ]  # fmt: skip
    mixed = mix(tmp_path, ENGLISH[10:], rooms={"translate": made})

    assert sorted(mixed.ids("ar")) == ["q:0@ar", "q:1@ar"]
    assert mixed.reasons()["q:2"] == "translation waits for review"
    assert mixed.reasons()["q:3"] == "has no readable translation"


def test_items_without_an_answer_stay_out(tmp_path: Path) -> None:
    """There is nothing to learn from them."""
    blank = MultipleChoice(
        "m:1", "en", Origin("exam"), "Which organ stores bile?", ("gallbladder", "liver"), ()
    )
    empty = OpenQuestion("o:1", "en", Origin("books"), "Why?", " ")
    french = OpenQuestion("o:2", "fr", Origin("books"), "Pourquoi ?", "Parce que.")
    mixed = mix(tmp_path, [*ENGLISH, blank, empty, french, ENGLISH[0]], ARABIC)

    assert mixed.reasons()["m:1"] == "has no answer key"
    assert mixed.reasons()["o:1"] == "the answer is empty"
    assert mixed.reasons()["o:2"] == "language is not in the mix"
    assert mixed.summary.dropped["id occurs twice"] == 1


def test_nothing_gets_lost_and_no_spool_stays(tmp_path: Path) -> None:
    """read = written + passages + dropped; train and validation are the records, in their order."""
    passage = Passage("p:1", "en", Origin("book"), "The heart has four chambers.")
    mixed = mix(tmp_path, [*ENGLISH, passage, exam(3, "test")], ARABIC, validation_share=0.2)

    assert mixed.summary.read == 82 == len(mixed.records) + 1 + len(mixed.dropped)
    assert mixed.passages == [passage]
    in_train = {record.id for record in mixed.train}
    assert [record for record in mixed.records if record.id in in_train] == mixed.train
    assert not list(mixed.out.glob("*.part"))


# --- layout ---------------------------------------------------------------------------------------------


def test_a_share_of_items_shows_its_rationale_alike_in_both_languages(tmp_path: Path) -> None:
    """The draw is the pair's, so a pair is never half with and half without."""
    items = [exam(n, rationale="Because the gland swells.") for n in range(60)]
    mixed = mix(tmp_path, items, [arabic(i) for i in items], with_rationale=0.5, ratio=(1.0, 1.0))
    shown = {r.id: len(r.messages[-1].content.split("\n\n")) == 2 for r in mixed.records}

    assert 15 < sum(shown[i.id] for i in items) < 45
    assert all(shown[i.id] == shown[f"{i.id}@ar"] for i in items)


def test_dialogues_keep_their_turns_and_types_are_named(tmp_path: Path) -> None:
    """chat, mcqa and qa, as BiMediX counts samples; turns are replies of the assistant."""
    talk = Dialogue(
        "d:1", "en", Origin("talks"),
        (Turn("user", "Pain?"), Turn("assistant", "Where?"), Turn("user", "Knee"), Turn("assistant", "Ice")),
    )  # fmt: skip
    mixed = mix(tmp_path, [talk, exam(1), question(2)], languages=())
    rows = {row["type"]: (row["samples"], row["turns"]) for row in mixed.statistics["by_type"]}

    assert rows == {"chat": (1, 2), "mcqa": (1, 1), "qa": (1, 1)}
    assert [m.content for r in mixed.records if r.type == "chat" for m in r.messages] == [
        "Pain?",
        "Where?",
        "Knee",
        "Ice",
    ]


# --- statistics -----------------------------------------------------------------------------------------


def test_statistics_are_sums_over_the_records(tmp_path: Path) -> None:
    """Counted again from the written file: samples, turns, tokens, characters, per type, source, language."""
    from bimedix.tokens import count_tokens

    mixed = mix(tmp_path, [*ENGLISH, *(exam(n) for n in range(9))], ARABIC)
    again: dict[tuple[str, str, str], list[int]] = {}
    for record in mixed.records:
        cell = again.setdefault((record.type, record.origin.dataset, record.language), [0, 0, 0, 0])
        texts = [message.content for message in record.messages]
        for place, more in enumerate((1, 1, sum(map(count_tokens, texts)), sum(map(len, texts)))):
            cell[place] += more
    told = {
        (row["type"], row["source"], row["language"]): [
            row[n] for n in ("samples", "turns", "tokens", "characters")
        ]
        for row in mixed.statistics["by_type_source_language"]
    }

    assert told == again
    assert mixed.statistics["total"]["tokens"] == sum(cell[2] for cell in again.values())
    assert sum(row["samples"] for row in mixed.statistics["licences"]) == len(mixed.records)
    assert sum(row["share_of_tokens"] for row in mixed.statistics["by_source"]) == pytest.approx(1, abs=1e-4)


def test_what_a_language_costs_is_told_over_pairs(tmp_path: Path) -> None:
    """Tokens of the Arabic side by tokens of the same items in English, and per word and character."""
    mixed = mix(tmp_path, ENGLISH, ARABIC)
    found = mixed.statistics["fertility_of_pairs"]["ar"]

    assert found["pairs"] == 20
    assert found["ratio"] == round(found["tokens"] / found["source_tokens"], 4) > 0
    assert mixed.statistics["fertility"]["en"]["tokens_per_word"] > 1


def test_frequent_words_leave_grammar_out_and_join_spellings(tmp_path: Path) -> None:
    """`the` is no topic; إصابة and اصابه are one word."""
    rows = [
        OpenQuestion(f"e:{n}", "en", Origin("b"), f"the pain and the pain of case {n}", "the rest")
        for n in range(3)
    ]
    texts = ("إصابة في الرئة", "اصابه من الرئة")
    ours = [OpenQuestion(f"a:{n}", "ar", Origin("b"), text, "إصابة") for n, text in enumerate(texts)]
    mixed = mix(tmp_path, rows, ours, ratio=(2.0, 3.0), decontaminate=False)
    words = {
        code: {row["word"]: row["count"] for row in rows}
        for code, rows in mixed.statistics["frequent_words"].items()
    }

    assert words["en"]["pain"] == 6 and "the" not in words["en"]
    assert words["ar"]["اصابه"] == 4 and "في" not in words["ar"]


def test_frequent_words_are_those_of_the_items_not_of_their_frames(tmp_path: Path) -> None:
    """Every exam question asks for a letter; that is no subject of the data."""
    mixed = mix(tmp_path, [exam(n) for n in range(9)], languages=())
    words = {row["word"] for row in mixed.statistics["frequent_words"]["en"]}

    assert all("letter" in record.messages[0].content for record in mixed.records)
    assert "option" in words and "letter" not in words


# --- passages -------------------------------------------------------------------------------------------


def test_passages_can_be_cut_for_continued_pre_training(tmp_path: Path) -> None:
    """Segments without overlap join to the text; as released they repeat a part of it, which is told."""
    text = " ".join(f"word{n}" for n in range(300))
    rows = [*ENGLISH, Passage("p:1", "en", Origin("book"), text)]
    cut = mix(tmp_path / "a", rows, ARABIC, segments="corrected", segment_tokens=128)
    released = mix(tmp_path / "b", rows, ARABIC, segments="as_released", segment_tokens=128)

    assert "".join(piece.text for piece in cut.passages) == text
    assert [piece.id for piece in cut.passages][:2] == ["p:1#segment0", "p:1#segment1"]
    assert cut.statistics["passages"]["text_multiplier"] == 1.0
    assert 1.2 < released.statistics["passages"]["text_multiplier"] < 1.45
