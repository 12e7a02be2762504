"""The room from files to table."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

torch = pytest.importorskip("torch")

from bimedix.completers.base import Reply, Request  # noqa: E402
from bimedix.completers.settings import CompleterSettings  # noqa: E402
from bimedix.errors import DataError, MissingError, RecipeError, UsageError  # noqa: E402
from bimedix.evaluate import remote  # noqa: E402
from bimedix.evaluate.cache import Cache  # noqa: E402
from bimedix.evaluate.items import read_items  # noqa: E402
from bimedix.evaluate.room import run  # noqa: E402
from bimedix.evaluate.settings import Benchmark, Settings  # noqa: E402
from bimedix.files import read_json, read_records, write_records  # noqa: E402
from bimedix.records import Dropped, MultipleChoice, OpenQuestion, Origin, Prediction, Translation  # noqa: E402
from bimedix.stage import Context  # noqa: E402

Maker = Callable[..., list[MultipleChoice]]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, mixtral: Any, tokenizer: Any) -> Path:
    """What the room `train` leaves: a base and an adapter that changes it."""
    import copy

    from bimedix.model.adapters import attach, save_adapter
    from bimedix.model.load import save_model
    from bimedix.model.settings import AdapterSettings

    folder = tmp_path_factory.mktemp("train")
    save_model(mixtral, folder / "base", tokenizer)
    tuned = attach(copy.deepcopy(mixtral), AdapterSettings(rank=2, alpha=64))
    torch.manual_seed(2)
    for name, tensor in tuned.named_parameters():
        if "lora_b" in name.lower():
            tensor.data.normal_(std=0.05)
    save_adapter(tuned, folder / "adapter")
    return folder


@pytest.fixture
def place(tmp_path: Path, items: Maker) -> Path:
    """A recipe's folder with one test set in two languages, and one of two languages in one file."""
    write_records(tmp_path / "en.jsonl", items("en", 14))
    write_records(tmp_path / "ar.jsonl", items("ar", 12))
    write_records(tmp_path / "mixed.jsonl", [*items("ru", 3, name="m"), *items("zh", 4, name="m", options=5)])
    return tmp_path


SETTINGS = Settings(
    benchmarks=(
        Benchmark("exam", "en.jsonl", group="unseen"),
        Benchmark("exam", "ar.jsonl", group="unseen"),
        Benchmark("mixed", "mixed.jsonl", group="taught"),
    ),
    verify=3,
    bootstrap_draws=200,
    compare_base=False,
)


def go(settings: Settings, place: Path, trained: Path, out: str = "out") -> tuple[Any, list[Prediction]]:
    context = Context(calls=place / "calls.sqlite", base=place)
    summary = run(settings, {"train": trained}, place / out, context)
    return summary, list(read_records(place / out / "records.jsonl", Prediction))


def test_every_item_gets_a_prediction_and_every_cell_an_interval(place: Path, trained: Path) -> None:
    """Counts per language add up, chance is one over the options, and the pair has the common items."""
    summary, predictions = go(SETTINGS, place, trained)
    cells = {
        (c["benchmark"], c["language"]): c for c in read_json(place / "out" / "table.json")["accuracies"]
    }
    (pair,) = summary.figures["table"]["pairs"]

    assert {key: cell["items"] for key, cell in cells.items()} == {
        ("exam", "en"): 14, ("exam", "ar"): 12, ("mixed", "ru"): 3, ("mixed", "zh"): 4,
    }  # fmt: skip
    assert cells["mixed", "zh"]["chance"] == pytest.approx(0.2)
    assert len(predictions) == summary.written == 33
    assert all(cell["low"] <= cell["accuracy"] <= cell["high"] for cell in cells.values())
    assert (pair["items"], pair["languages"]) == (12, ("en", "ar"))
    assert pair["bilingual"] == pytest.approx((pair["first"] + pair["second"]) / 2)


def test_the_likeliest_option_is_chosen(place: Path, trained: Path) -> None:
    _, predictions = go(SETTINGS, place, trained)

    for row in predictions:
        best = max(range(row.options), key=lambda index: row.log_probabilities[index])
        assert row.chosen == (best,)
        assert row.correct == (row.gold == (best,))


def test_a_run_that_was_killed_gives_the_same_bytes(
    place: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third batch never returns; the next run takes what is kept and ends with the same files."""
    settings = replace(
        SETTINGS, batch_tokens=300, protocols=("letters", "options", "generation"), max_new_tokens=4
    )
    go(settings, place, trained, "whole")
    true, calls = Cache.put, []

    def dies(cache: Cache, values: Any) -> None:
        calls.append(values)
        if len(calls) == 3:
            raise KeyboardInterrupt
        true(cache, values)

    monkeypatch.setattr(Cache, "put", dies)
    with pytest.raises(KeyboardInterrupt):
        go(settings, place, trained, "cut")
    assert not (place / "cut" / "records.jsonl").exists()
    monkeypatch.setattr(Cache, "put", lambda cache, values: (calls.append(values), true(cache, values)))
    go(settings, place, trained, "cut")

    for name in ("records.jsonl", "dropped.jsonl", "table.json"):
        assert (place / "cut" / name).read_bytes() == (place / "whole" / name).read_bytes()
    kept = {key for values in calls[:2] for key in values}
    assert not kept & {key for values in calls[3:] for key in values}


def test_base_and_tuned_model_are_compared_item_by_item(place: Path, trained: Path) -> None:
    """The adapter changes scores, and the table says what it changed, with exact tests."""
    summary, predictions = go(replace(SETTINGS, compare_base=True), place, trained)
    by_model = {name: [p for p in predictions if p.model == name] for name in ("base", "tuned")}
    comparison = summary.figures["table"]["comparisons"][0]

    assert [p.id for p in by_model["base"]] == [p.id for p in by_model["tuned"]]
    assert by_model["base"][0].log_probabilities != by_model["tuned"][0].log_probabilities
    assert (comparison["first"], comparison["second"], comparison["items"]) == ("base", "tuned", 14)
    right = {name: sum(p.correct for p in rows if p.language == "en") for name, rows in by_model.items()}
    assert comparison["only_first"] - comparison["only_second"] == right["base"] - right["tuned"]


def test_options_are_scored_whole_and_by_character(place: Path, trained: Path) -> None:
    """One run gives both: the second divides by the characters of what was scored."""
    _, predictions = go(replace(SETTINGS, protocols=("options", "options_per_character")), place, trained)
    whole, per_character = predictions[0], predictions[1]

    assert (whole.protocol, per_character.protocol) == ("options", "options_per_character")
    assert all(a < b for a, b in zip(whole.log_probabilities, per_character.log_probabilities, strict=True))
    assert len(predictions) == 66


def test_four_orders_are_told_back_in_the_items_own_order(place: Path, trained: Path) -> None:
    """Gold stays where it was, and a fifth option is turned four times."""
    _, predictions = go(replace(SETTINGS, orders=4), place, trained)
    own = {p.id: p for p in predictions if p.protocol == "letters"}
    turned = [p for p in predictions if p.protocol == "letters@3"]

    assert len(turned) == len(own) == 33
    assert all(own[p.id].gold == p.gold for p in turned)
    assert any(own[p.id].chosen != p.chosen for p in turned)


def test_replies_are_read_and_unread_ones_counted(place: Path, trained: Path) -> None:
    """A random model says nothing that can be read; that is counted, not guessed."""
    _, predictions = go(replace(SETTINGS, protocols=("generation",), max_new_tokens=5), place, trained)
    cells = read_json(place / "out" / "table.json")["accuracies"]

    assert all(p.text is not None and not p.log_probabilities for p in predictions)
    assert [c["unread"] for c in cells] == [
        sum(not p.chosen for p in predictions if (p.benchmark, p.language) == (c["benchmark"], c["language"]))
        for c in cells
    ]


def test_shots_are_shared_and_change_the_scores(place: Path, trained: Path, items: Maker) -> None:
    write_records(place / "shots.jsonl", [*items("en", 3, name="s"), *items("ar", 3, name="s")])
    few = replace(SETTINGS, benchmarks=SETTINGS.benchmarks[:2], shots=2, shots_path="shots.jsonl")
    summary, predictions = go(few, place, trained)
    _, plain = go(replace(SETTINGS, benchmarks=SETTINGS.benchmarks[:2]), place, trained, "plain")
    report = next(iter(summary.figures["runs"].values()))

    assert report["tokens"] < report["tokens_flat"] / 2
    assert predictions[0].log_probabilities != plain[0].log_probabilities


def test_items_that_are_not_asked_are_kept_with_the_reason(place: Path, trained: Path, items: Maker) -> None:
    """No key, other split, other kind, repeated id: each under its own reason."""
    good = items("en", 4)
    origin = Origin("made-up", split="train")
    write_records(
        place / "en.jsonl",
        [
            *good,
            good[0],
            msgspec.structs.replace(good[1], id="x1", answers=()),
            msgspec.structs.replace(good[1], id="x2", origin=origin),
            OpenQuestion("x3", "en", origin, "What?", "That."),
        ],
    )
    settings = replace(SETTINGS, benchmarks=(Benchmark("exam", "en.jsonl", split="test"),) * 2)
    summary, predictions = go(settings, place, trained)

    assert len(predictions) == 4
    assert summary.dropped == {
        "no answer key": 2,
        "not a multiple-choice question": 2,
        "other split": 2,
        "repeats an id of its test set": 6,
    }


def test_targets_of_translations_are_asked(place: Path, trained: Path, items: Maker) -> None:
    """A file of translations gives its targets; one without a readable target is left out."""
    pairs = list(zip(items("en", 3), items("ar", 3), strict=True))
    translations = [Translation(b.id, a, b, (), 0, "accepted") for a, b in pairs[:2]]
    write_records(place / "t.jsonl", [*translations, Translation("bad", pairs[2][0], None, (), -1, "review")])
    summary, predictions = go(replace(SETTINGS, benchmarks=(Benchmark("exam", "t.jsonl"),)), place, trained)

    assert [p.id for p in predictions] == ["q:0@ar", "q:1@ar"]
    assert summary.dropped == {"not a multiple-choice question": 1}


def test_limit_takes_translations_of_the_same_questions(place: Path, trained: Path, items: Maker) -> None:
    write_records(place / "en.jsonl", items("en", 12))
    sets = tuple(replace(b, limit=5) for b in SETTINGS.benchmarks[:2])
    summary, _ = go(replace(SETTINGS, benchmarks=sets), place, trained)

    assert summary.figures["table"]["pairs"][0]["items"] == 5


def test_plain_template_tokenises_like_lm_eval(place: Path, trained: Path) -> None:
    """Base models get text and an answer cue; scores differ from the chat layout's."""
    _, plain = go(replace(SETTINGS, template="plain"), place, trained)
    _, chat = go(SETTINGS, place, trained, "chat")

    assert plain[0].log_probabilities != chat[0].log_probabilities


def test_missing_things_are_named(place: Path, trained: Path) -> None:
    context = Context(calls=place / "calls.sqlite", base=place)
    with pytest.raises(MissingError, match="names no benchmarks"):
        run(Settings(), {}, place / "o", context)
    with pytest.raises(MissingError, match=r"nothing\.jsonl: no such file"):
        go(replace(SETTINGS, benchmarks=(Benchmark("a", "nothing.jsonl"),)), place, trained)
    with pytest.raises(MissingError, match="has no model"):
        run(SETTINGS, {}, place / "o", context)
    with pytest.raises(UsageError, match="Did you mean 'train'"):
        go(replace(SETTINGS, benchmarks=(Benchmark("a", "x", room="trian"),)), place, trained)
    with pytest.raises(MissingError, match=r"holds no item .*language fr"):
        go(replace(SETTINGS, benchmarks=(Benchmark("a", "en.jsonl", language="fr"),)), place, trained)


class Parrot:
    """Answers with the second option's text, or not at all."""

    name, parallel = "parrot", 4

    async def complete(self, request: Request) -> Reply:
        if request.record_id == "q:3":
            return Reply("", finish="error", error="HTTP 400: too long")
        line = next(
            line for line in request.messages[-1].content.splitlines() if line.startswith(("B.", "ب."))
        )
        return Reply(f"I believe: {line[2:]}")

    async def close(self) -> None:
        pass


def test_a_completer_is_asked_in_the_items_own_words(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replies are read; a question without an answer is left out with the reason, and not counted."""
    monkeypatch.setattr(remote, "open_completer", lambda settings, base: Parrot())
    settings = replace(
        SETTINGS,
        benchmarks=SETTINGS.benchmarks[:2],
        protocols=("generation",),
        completer=CompleterSettings("openai", model="parrot"),
    )
    summary, predictions = go(settings, place, place)

    assert len(predictions) == 25
    assert {p.chosen for p in predictions} == {(1,)}
    assert summary.dropped == {"the endpoint gave no answer": 1}
    assert {p.model for p in predictions} == {"parrot"}


class Explainer(Parrot):
    """Gives the Arabic or English reason of the item, then its second option."""

    async def complete(self, request: Request) -> Reply:
        cue = "الإجابة: ب" if "السؤال" in request.messages[0].content else "Answer: B"
        return Reply(f"because of the fever\n{cue}")


def test_rationales_are_compared_with_those_a_person_passed(
    place: Path, items: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three protocols, passed references only, and the four leaderboard files."""
    monkeypatch.setattr(remote, "open_completer", lambda settings, base: Explainer())
    change = msgspec.structs.replace
    marked = [
        change(item, rationale="because of the fever", human_check_passed=number < 4)
        for number, item in enumerate([*items("en", 6), *items("ru", 5)])
    ]
    write_records(place / "en.jsonl", marked)
    settings = replace(
        SETTINGS,
        benchmarks=(Benchmark("mmedbench", "en.jsonl"),),
        protocols=("generation",),
        completer=CompleterSettings("openai", model="explainer"),
        with_rationale=True,
        leaderboard=True,
    )
    summary, _ = go(settings, place, place)
    rows = {(r["protocol"], r["metric"]): r for r in summary.figures["rationales"]["explainer"]}
    lines = (place / "out" / "leaderboard" / "rationale_similarity_metric.csv").read_text().splitlines()

    assert rows["bimedix", "BLEU-4"]["value"] == pytest.approx(1.0)
    assert rows["mmedbench_table", "BLEU-1"]["items"] == 4
    assert lines[1].startswith('"English","4","100.00"')
    answers = (place / "out" / "leaderboard" / "accuracy_metric.csv").read_text()
    assert '"Russian","5",' in answers and '"Average","11",' in answers


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"protocols": ("leters",)}, "Did you mean 'letters'"),
        ({"protocols": ()}, "at least one"),
        ({"completer": CompleterSettings("openai", model="m"), "protocols": ("options",)}, "no log-prob"),
        ({"shots": 3}, "shots_path"),
        ({"with_rationale": True}, "rationales are generated"),
        ({"rationale_protocols": ("bimedics",)}, "Did you mean 'bimedix'"),
        ({"orders": 4, "protocols": ("options",)}, "orders = 4"),
        ({"confidence": 1.0}, "between 0 and 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Settings(**wrong)


def test_a_test_set_is_chosen_from_a_rooms_records_by_data_set_and_subject(place: Path, items: Maker) -> None:
    """What belongs to other test sets of the same file is no drop; a missing key still is."""
    good = [msgspec.structs.replace(item, subject="anatomy") for item in items("en", 3)]
    others = [
        msgspec.structs.replace(good[0], id="o1", subject="genetics"),
        OpenQuestion("o2", "en", good[0].origin, "What?", "That."),
        msgspec.structs.replace(good[0], id="o3", answers=()),
    ]
    write_records(place / "02_curate" / "records.jsonl", [*good, *others])
    chosen = Benchmark("anatomy", "records.jsonl", room="curate", subject="anatomy")
    dropped: list[Dropped] = []

    asked = read_items(chosen, place / "02_curate" / "records.jsonl", dropped.append)

    assert [entry.item.id for entry in asked] == [item.id for item in good]
    assert [drop.reason for drop in dropped] == ["no answer key"]


def test_unsound_test_sets_are_refused_before_a_model_is_loaded(place: Path) -> None:
    """The random texts of the two languages are no translations of each other; no model is there to load."""
    with pytest.raises(DataError, match="rows of the test sets fail an integrity check"):
        run(
            replace(SETTINGS, integrity="refuse"),
            {},
            place / "out",
            Context(place / "calls.sqlite", base=place),
        )

    assert [path.name for path in (place / "out").glob("*.jsonl")] == ["integrity.jsonl"]


def test_unsound_items_are_counted_beside_the_table_unless_told_otherwise(place: Path, trained: Path) -> None:
    summary, _ = go(SETTINGS, place, trained)
    counted = {(row["benchmark"], row["language"]): row for row in summary.figures["integrity"]}
    silent, _ = go(replace(SETTINGS, integrity="off"), place, trained, "off")

    assert counted["exam", "ar"]["paired"] == 12 and counted["exam", "ar"]["with_errors"] > 0
    assert "items fail an integrity check" in (place / "out" / "table.md").read_text()
    assert silent.figures["integrity"] == [] and not (place / "off" / "integrity.jsonl").exists()
