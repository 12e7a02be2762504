"""The room with sources of texts: annotated translations and pairs have files of their own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bimedix.files import read_any_records
from bimedix.records import OpenQuestion, ParallelText, Translation
from bimedix.sources.room import run
from bimedix.sources.settings import DataSet, Settings
from bimedix.stage import Context

Write = Callable[[str, Any], Path]
SEGMENT = {
    "source": "The knee.", "target": "Le genou.", "SEG_ID": "1", "MT_Engine": "X", "DOC_ID": "d",
    "source_locale": "enus", "target_locale": "frfr", "source_errors": [], "target_errors": [],
    "Annotator_ID": "AB",
}  # fmt: skip


def test_translations_and_pairs_are_kept_apart(write: Write, tmp_path: Path) -> None:
    """What reads records.jsonl meets items only; two annotators of one segment are no repeats."""
    write("data/round_two/en2fr/X.json", [SEGMENT, SEGMENT | {"Annotator_ID": "CG"}])
    write("data/memory/a.tmx", '<tmx><body><tu><tuv xml:lang="en"><seg>Yes</seg></tuv><tuv xml:lang="fr">'
          "<seg>Oui</seg></tuv></tu></body></tmx>")  # fmt: skip
    row = {"instruction": "x", "input": "Why?", "output": "So."}
    write("data/chatdoctor5k.json", [row, row])
    out = tmp_path / "out"

    settings = Settings(data=(DataSet(source="auto", path="data"),))
    summary = run(settings, {}, out, Context(tmp_path / "calls.sqlite", base=tmp_path))

    kinds = {path.stem: [type(r) for r in read_any_records(path)] for path in out.glob("*.jsonl")}
    assert kinds["translations"] == [Translation, Translation]
    assert kinds["parallel"] == [ParallelText]
    assert kinds["records"] == [OpenQuestion]
    assert (summary.read, summary.written) == (5, 4)
    assert summary.dropped == {"repeats an earlier record of this source": 1}


def test_names_that_were_substituted_are_counted_in_the_report(write: Write, tmp_path: Path) -> None:
    row = {"instruction": "x", "input": "Hello Chat Doctor.", "output": "I am other  ChatDoctor.  So rest."}
    write("data/HealthCareMagic-100k.json", [row, {"instruction": "x", "input": "Why?", "output": "So."}])
    settings = Settings(data=(DataSet(source="healthcaremagic", path="data"),))

    summary = run(settings, {}, tmp_path / "out", Context(tmp_path / "calls.sqlite", base=tmp_path))

    assert summary.figures["noticed"] == [
        {"source": "healthcaremagic", "what": "Chat Doctor in place of a name", "count": 2}
    ]


def test_a_language_that_is_not_asked_for_leaves_its_translations_out(write: Write, tmp_path: Path) -> None:
    write("data/round_two/en2fr/X.json", [SEGMENT])
    settings = Settings(data=(DataSet(source="bio_mqm", path="data"),), languages=("en",))

    summary = run(settings, {}, tmp_path / "out", Context(tmp_path / "calls.sqlite", base=tmp_path))

    assert summary.dropped == {"a language that the recipe does not ask for": 1}
