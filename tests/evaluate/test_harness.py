"""Tasks for lm-evaluation-harness: the harness sends what this room sends."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec import structs

from bimedix.cli import cli
from bimedix.errors import DataError, UsageError
from bimedix.evaluate.asking import Asker
from bimedix.evaluate.harness import HarnessRow, write_tasks
from bimedix.files import read_records, write_records
from bimedix.languages import LANGUAGES
from bimedix.records import Dropped, MultipleChoice, OpenQuestion, Origin

Maker = Callable[..., list[MultipleChoice]]
ASKER = Asker(tokenizer=None, template="plain", longest=0)


def test_each_language_and_variant_is_a_task_and_the_rest_is_kept_aside(tmp_path: Path, items: Maker) -> None:
    """Records without one right option are counted, with the reason."""
    none, several = (structs.replace(items("en", 1)[0], answers=key) for key in ((), (0, 2)))
    other = OpenQuestion("q", "en", Origin("x"), "Why?", "So.")

    tally = write_tasks(tmp_path / "t", [*items("en", 3), *items("ar", 2), none, several, other])

    tasks = {path.stem for path in (tmp_path / "t").glob("*.yaml")}
    reasons = [row.reason for row in read_records(tmp_path / "t" / "dropped.jsonl", Dropped)]
    assert tally.written == 5
    assert tasks == {
        f"bimedix_made_up_{code}_{kind}" for code in ("en", "ar") for kind in ("letters", "options")
    }
    assert reasons == ["no answer key", "several right options", "not a multiple-choice question"]


def test_rows_hold_the_prompt_and_words_of_the_plain_template(tmp_path: Path, items: Maker) -> None:
    asked = items("ar", 3)
    write_tasks(tmp_path / "t", asked)

    rows = list(read_records(tmp_path / "t" / "bimedix_made_up_ar.jsonl", HarnessRow))
    assert [row.query for row in rows] == [ASKER.text(item) for item in asked]
    assert rows[0].letters == LANGUAGES["ar"].option_letters[:4]
    assert [row.texts[row.answer] for row in rows] == [item.answer_texts[0] for item in asked]


def test_a_folder_with_something_in_it_and_records_without_questions_are_refused(
    tmp_path: Path, items: Maker
) -> None:
    write_tasks(tmp_path / "t", items("en", 1))

    with pytest.raises(UsageError, match="not an empty folder"):
        write_tasks(tmp_path / "t", items("en", 1))
    with pytest.raises(DataError, match="none of 1 records"):
        write_tasks(tmp_path / "u", [OpenQuestion("q", "en", Origin("x"), "Why?", "So.")])


@pytest.mark.slow
def test_the_harness_sends_the_same_requests(
    tmp_path: Path, items: Maker, yes_no: dict[str, tuple[str, ...]]
) -> None:
    """Prompts, continuations and keys are ours, in every language, whatever signs a question holds."""
    tasks = pytest.importorskip("lm_eval.tasks")
    asked = [item for code in ("en", "ar", "ru", "zh") for item in items(code, 4)]
    asked += [structs.replace(item, options=yes_no["ar"], answers=(1,)) for item in items("ar", 2, name="y")]
    odd = structs.replace(
        items("en", 1, options=6, name="odd")[0], question="{{ query }} {% raw %} 5 < 6: [1]?"
    )
    asked.append(odd)
    write_records(tmp_path / "in.jsonl", asked)
    arguments = ["export", str(tmp_path / "in.jsonl"), str(tmp_path / "made"), "--to", "lm-eval"]
    said = CliRunner().invoke(cli, arguments, catch_exceptions=False).output
    folder = (tmp_path / "made").rename(tmp_path / "moved")
    manager = tasks.TaskManager(include_defaults=False, include_path=str(folder))
    loaded = manager.load(["bimedix"])["tasks"]

    seen = {}
    for task in loaded.values():
        task.build_all_requests()
        for request in task.instances:
            key = (request.doc["id"], task.config.task.rpartition("_")[2], request.idx)
            seen[key] = (*request.args, task.doc_to_target(request.doc))
    assert f"{len(asked)} records" in said and len(loaded) == 8
    assert seen == {
        (item.id, variant, index): (ASKER.text(item), f" {wording}", item.answers[0])
        for item in asked
        for variant in ("letters", "options")
        for index, wording in enumerate(ASKER.wordings(item, variant))
    }
