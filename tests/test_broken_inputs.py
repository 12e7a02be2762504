"""Whatever a user hands in, the command line ends with a message that names the place and the next step.

Each case is a folder of files, a command, the exit code it has to end with (1 failed, 2 usage or recipe,
3 data missing), and words of the message. Single records that cannot be used inside a good file are
dropped with a reason instead.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard

from bimedix import cli
from bimedix.records import Dropped

Content = str | bytes | None | list[dict[str, Any]]
"""Text or bytes of a file, rows of JSON Lines, or None for a folder."""


@dataclass(frozen=True)
class Case:
    """One broken input."""

    command: str
    """Words of the command line; files lie in the working folder."""
    code: int
    told: tuple[str, ...]
    """What the message has to say: the place, what was seen, the mend."""
    files: Mapping[str, Content] = field(default_factory=dict)


@dataclass(frozen=True)
class End:
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., End]


@pytest.fixture
def bimedix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process, in a folder of its own; any other exception fails the test."""
    monkeypatch.chdir(tmp_path)
    for name in ("BIMEDIX_DATA", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)

    def _run(*words: str) -> End:
        monkeypatch.setattr(sys, "argv", ["bimedix", *words])
        code: Any = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        told = capsys.readouterr()
        return End(code, told.out, told.err)

    return _run


def lay_out(folder: Path, files: Mapping[str, Content]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir()
            continue
        if isinstance(content, list):
            content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def recipe(source: str, path: str, more: str = "", rest: str = "") -> str:
    """Return a recipe with one data set."""
    return f'name = "x"\n[sources]\ndata = [{{ source = "{source}", path = "{path}"{more} }}]\n{rest}'


def room(name: str, lines: str = "") -> str:
    """Return a recipe with one room; what `lines` says begins in line 3."""
    return f'name = "x"\n[{name}]\n{lines}\n'


# --- invented rows in published layouts -----------------------------------------------------------------

OPEN = {"kind": "open_question", "id": "m:1", "language": "en", "origin": {"dataset": "m"},
        "question": "Why?", "answer": "So."}  # fmt: skip
CHOICE = {"kind": "multiple_choice", "id": "m:2", "language": "en", "origin": {"dataset": "m"},
          "question": "Which?", "options": ["a", "b"], "answers": [0]}  # fmt: skip
TALK = {"kind": "conversation", "id": "m:3", "language": "en", "origin": {"dataset": "m"}, "type": "qa",
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}  # fmt: skip
MEDMCQA = {"question": "Which?", "exp": None, "cop": 4, "opa": "a", "opb": "b", "opc": "c", "opd": "d",
           "subject_name": "S", "topic_name": None, "id": "u1", "choice_type": "single"}  # fmt: skip
MEDQA = {"question": "Which?", "answer": "a", "options": {"A": "a", "B": "b", "C": "c", "D": "d"},
         "meta_info": "step1", "answer_idx": "A", "metamap_phrases": []}  # fmt: skip
IGAKU = {"problem_id": "112A1", "problem_text": "Which?", "choices": ["a", "b", "c", "d", "e"],
         "text_only": True, "answer": ["a"], "points": "1"}  # fmt: skip
GOOD = json.dumps(OPEN) + "\n"
BOMB = "<!DOCTYPE d [<!ENTITY a0 'aaaaaaaaaa'>" + "".join(
    f"<!ENTITY a{i} '{f'&a{i - 1};' * 10}'>" for i in range(1, 10)
) + "]><Document id='1'><Focus>&a9;</Focus></Document>"  # fmt: skip
OUTSIDE = (
    "<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><Document id='1'><Focus>&a;</Focus></Document>"
)
TMX = '<tmx version="1.4"><header srclang="en"/><body>{}</body></tmx>'
UNIT = '<tu><tuv xml:lang="en"><seg>knee</seg></tuv><tuv xml:lang="ar"><seg>ركبة</seg></tuv></tu>'
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"
PACKED = zstandard.ZstdCompressor(write_checksum=True).compress(GOOD.encode() * 500)
CHINESE = json.dumps({**OPEN, "question": "患者血压"}, ensure_ascii=False).encode("gb18030")
NOT_A_BOOK = "not an XLSX file", "Save it"

READ = "run r.toml --out run -q --until sources"


def reading(source: str, name: str, content: Content, code: int, *told: str, more: str = "") -> Case:
    """Return the case of a file that a source cannot read; the message names the file."""
    return Case(READ, code, (name, *told), {"r.toml": recipe(source, name, more), name: content})


def setting(line: str, *told: str, table: str = "sources", code: int = 2) -> Case:
    """Return the case of a wrong value; the message names line 3 of the recipe."""
    return Case("validate r.toml", code, ("r.toml:3: ", *told), {"r.toml": room(table, line)})


FILES: dict[str, Case] = {
    "truncated JSON line": reading(
        "records", "a.jsonl", GOOD + GOOD[:40], 1, "a.jsonl:2", "truncated", "Mend"
    ),
    "truncated JSON list": reading(
        "chatdoctor5k", "a.json", '[{"instruction": "a", "input": "b", "output": "c"}, {"in', 1, ":1", "Mend"
    ),
    "list in place of a row": reading("records", "a.jsonl", GOOD + "[1]\n", 1, "a.jsonl:2", "array", "Mend"),
    "number in place of a text": reading("records", "a.jsonl", [{**OPEN, "answer": 7}], 1, ":1", "$.answer"),
    "null in place of a text": reading("records", "a.jsonl", [{**OPEN, "answer": None}], 1, ":1", "$.answer"),
    "misspelt optional key": reading(
        "records", "a.jsonl", [{**OPEN, "contxt": "a"}], 1, ":1", "Did you mean 'context'"
    ),
    "misspelt needed key": reading(
        "messages", "a.jsonl", [{"mesages": []}], 1, ":1", "'messages' is needed; seen: 'mesages'"
    ),
    "unknown kind of record": reading(
        "records", "a.jsonl", [{**OPEN, "kind": "open"}], 1, "a.jsonl:1", "'open' is no kind", "Known:"
    ),
    "record that is no source's": reading("records", "a.jsonl", [{"kind": "verdict"}], 1, ":1", "Known:"),
    "no language anywhere": reading(
        "sharegpt", "a.json", [{"conversations": [{"from": "gpt", "value": "a"}]}], 1, ":1", 'language = "en"'
    ),
    "unknown language in a row": reading(
        "records", "a.jsonl", [{**OPEN, "language": "eng"}], 1, "a.jsonl:1", "Did you mean 'en'"
    ),
    "option letter outside": reading(
        "medqa", "US/a.jsonl", [MEDQA, {**MEDQA, "question": "B?", "answer_idx": "F"}], 1, ":2", "'F'", "Mend"
    ),
    "answer text of another option": reading(
        "medqa", "US/a.jsonl", [{**MEDQA, "answer": "b"}], 1, "a.jsonl:1", "is not the option A", "Mend"
    ),
    "answer index 9": reading(
        "medmcqa", "dev.json", [MEDMCQA, {**MEDMCQA, "cop": 9}], 1, ":2", "cop 9", "1..4"
    ),
    "answer index of either base": reading(
        "medmcqa", "dev.json", [{**MEDMCQA, "cop": 2}], 1, "neither 0 nor 4", "index_base = 1"
    ),
    "answer letter of own rows": reading(
        "mcq_rows",
        "a.jsonl",
        [{"question": "a", "options": ["x", "y"], "answer_idx": "C", "lang": "en"}],
        1,
        ":1",
        "none of the letters AB",
        "Mend",
    ),
    "unknown speaker": reading(
        "sharegpt",
        "a.json",
        [{"conversations": [{"from": "nurse", "value": "a"}]}],
        1,
        "a.json:1",
        "from 'nurse'",
        "human",
        more=', language = "en"',
    ),
    "GB18030 read as UTF-8": reading("records", "a.jsonl", CHINESE, 1, "a.jsonl:1", 'encoding = "gb18030"'),
    "UTF-16": reading("records", "a.jsonl", GOOD.encode("utf-16"), 1, "a.jsonl:1", "0xff is not utf-8"),
    "missing file": Case(
        READ,
        3,
        ("b.jsonl", "no file of source 'records'", "data folder"),
        {"r.toml": recipe("records", "b.jsonl")},
    ),
    "folder in place of a file": reading("records", "a.jsonl", None, 3, "is a folder", "my/file.jsonl"),
    "folder without the source's files": reading(
        "medqa", "data", None, 3, "no file of source", "US/4_options"
    ),
    "Git LFS pointer": reading("records", "a.jsonl", POINTER, 3, "a.jsonl:1", "git lfs pull"),
    "Git LFS pointer as XML": reading("medquad", "a.xml", POINTER, 3, "a.xml:1", "git lfs pull"),
    "empty file": reading("records", "a.jsonl", "", 1, "a.jsonl:1", "is empty", "download"),
    "blank file": reading("medmcqa", "dev.json", " \n\n", 1, "dev.json:1", "is empty", "download"),
    "empty XML": reading("medquad", "a.xml", "", 1, "a.xml:1", "no element found", "Copy the file again"),
    "header without rows": reading(
        "mentalqa",
        "Train_Dev.tsv",
        "question\tanswer\tfinal_QT\tfinal_AS\n",
        1,
        "no record in 1 files",
        "Look",
    ),
    "binary file": reading("records", "a.jsonl", bytes(range(256)) * 4, 1, "a.jsonl:2", "0x80 is not utf-8"),
    "NUL bytes": reading(
        "records", "a.jsonl", GOOD.replace("Why", "W\0y"), 1, "a.jsonl:1", "not JSON", "Mend"
    ),
    "brackets without end": reading("records", "a.jsonl", "[" * 100_000, 1, "a.jsonl:1", "not JSON", "Mend"),
    "objects without end": reading(
        "records", "a.jsonl", '{"a":' * 100_000, 1, "a.jsonl:1", "not JSON", "Mend"
    ),
    "XML bomb": reading("medquad", "a.xml", BOMB, 1, "a.xml:1", "declares the entity", "Remove"),
    "XML that names a file": reading(
        "medquad", "a.xml", OUTSIDE, 1, "a.xml:1", "declares the entity", "Remove"
    ),
    "XML that is cut off": reading(
        "medquad", "a.xml", "<Document id='1'><Focus>a", 1, ":1", "not well-formed"
    ),
    "XML of another root": reading(
        "medquad", "a.xml", "<Doc/>", 1, ":1", "<Document> is needed", "ls sources"
    ),
    "TMX without a unit": reading(
        "tmx", "a.tmx", TMX.format(""), 1, "a.tmx:1", "no translation unit", "Export"
    ),
    "TMX that is HTML": reading("tmx", "a.tmx", "<html></html>", 1, "a.tmx:1", "<tmx> is needed"),
    "CSV with another header": reading(
        "mts_dialog", "MTS-Dialog-TrainingSet.csv", "ID,section,text,talk\n1,a,b,c\n", 1, ":1", "no column"
    ),
    "CSV of no known kind": reading(
        "medarabiq",
        "multiple-choice-questions.csv",
        "Frage,Answer\na,b\n",
        1,
        "Frage",
        "Known: Question, Answer",
    ),
    "CSV with a ragged row": reading(
        "mmlu_medical", "en/test/anatomy_test.csv", "q,a,b,c,d,A\nq,a,b\n", 1, ":2", "3 cells; 6", "quotes"
    ),
    "CSV with a cell without end": reading(
        "tico19",
        "terminologies/f_en-ar_AR.csv",
        'id,sourceLang,targetLang,sourceString,targetString\n1,en,"ar',
        1,
        ":2",
        "cells",
    ),
    "XLSX that is text": reading("medicationqa", "a.xlsx", "Question,Answer", 1, "a.xlsx:1", *NOT_A_BOOK),
    "XLSX that is a bare zip": reading(
        "medicationqa", "a.xlsx", b"PK\x05\x06" + bytes(18), 1, ":1", *NOT_A_BOOK
    ),
    "XLSX with a password": reading(
        "medicationqa", "a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), 1, "password", "Save it"
    ),
    "damaged zstd": reading(
        "records", "a.jsonl.zst", PACKED[:25] + b"\0\1\2\3" * 3 + PACKED[37:], 1, "zstd", "again"
    ),
    "cut zstd": reading("records", "a.jsonl.zst", PACKED[:-20], 1, "cut off", "again"),
    "damaged Parquet": reading("records", "a.parquet", b"PAR1" + b"x" * 60 + b"PAR1", 1, ":1", "not Parquet"),
    "option count of one's own record": reading(
        "records", "a.jsonl", [{**CHOICE, "options": ["a"], "answers": []}], 1, ":1", "has 2 to 8"
    ),
    "answer outside one's own options": reading(
        "records", "a.jsonl", [{**CHOICE, "answers": [2]}], 1, ":1", "outside the 2 options"
    ),
}

HEAD = "".join(f"{line}\n" for line in ("first", "second"))

RECIPES: dict[str, Case] = {
    "missing recipe": Case("run nope.toml", 3, ("nope.toml: no such recipe", "Shipped:")),
    "recipe that is a folder": Case("run r.toml", 2, ("r.toml: is a folder", "TOML file"), {"r.toml": None}),
    "TOML syntax": Case("run r.toml", 2, ("r.toml:2: not TOML",), {"r.toml": 'name = "x"\nseed =\n'}),
    "doubled key": Case(
        "run r.toml", 2, ("r.toml:2: not TOML", "overwrite"), {"r.toml": 'name="x"\nname="y"\n'}
    ),
    "doubled table": Case(
        "run r.toml", 2, ("r.toml:3: not TOML",), {"r.toml": 'name="x"\n[sources]\n[sources]\n'}
    ),
    "recipe in Latin-1": Case(
        "run r.toml",
        2,
        ("r.toml:2: byte 0xe9 is not UTF-8", "Save"),
        {"r.toml": b'name = "x"\ntitle = "\xe9"\n'},
    ),
    "recipe that is binary": Case("run r.toml", 2, ("r.toml:1: ", "UTF-8"), {"r.toml": b"\xff\xfe\0\0name"}),
    "recipe in JSON": Case("run r.toml", 2, ("r.toml:1: not TOML",), {"r.toml": '{"name": "x"}'}),
    "recipe without a name": Case(
        "run r.toml", 2, ("r.toml:1: needs the key name",), {"r.toml": "seed = 1\n"}
    ),
    "recipe without a stage": Case("run r.toml", 2, ("r.toml: no stage", "none"), {"r.toml": 'name = "x"\n'}),
    "unknown room": Case(
        "run r.toml", 2, ("r.toml:2: ", "Did you mean 'translate'"), {"r.toml": 'name = "x"\n[translat]\n'}
    ),
    "unknown --until": Case(
        "run r.toml --until trane", 2, ("no stage 'trane'; it has: curate",), {"r.toml": room("curate")}
    ),
    "environment variable not set": Case(
        "run r.toml",
        3,
        ("NOT_SET_ANYWHERE", "export"),
        {"r.toml": 'data = "${NOT_SET_ANYWHERE}"\n' + room("curate")},
    ),
    "variable not set, validated": Case(
        "validate r.toml",
        3,
        ("r.toml", "not there"),
        {"r.toml": 'data = "${NOT_SET_ANYWHERE}"\n' + room("curate")},
    ),
    "data folder not there, validated": Case(
        "validate r.toml",
        3,
        ("r.toml", "missing"),
        {"r.toml": 'data = "nope"\n' + recipe("records", "a.jsonl")},
    ),
    "sources without data": Case(
        "run r.toml -q", 2, ("[sources] names no data", "Add"), {"r.toml": room("sources")}
    ),
    "unknown source": setting('data = [{ source = "medmqa" }]', "'medmqa'", "Did you mean 'medmcqa'"),
    "unknown language": setting('data = [{ language = "eng" }]', "Did you mean 'en'", "Known codes"),
    "unknown language to keep": Case(
        "validate r.toml",
        2,
        ("r.toml:2: ", "'xx' is not in the table"),
        {"r.toml": room("sources", 'languages = ["xx"]')},
    ),
    "unknown split": setting('data = [{ split = "tset" }]', "Did you mean 'test'"),
    "unknown encoding": setting('data = [{ encoding = "gb99" }]', "no encoding is called 'gb99'", "utf-8"),
    "index base 2": setting("data = [{ index_base = 2 }]", "from 0 or from 1"),
    "text in place of a list": setting('data = "medqa"', "a list is needed"),
    "unknown key of an entry": setting('data = [{ soruce = "auto" }]', "Did you mean 'source'"),
    "negative limit": Case(
        "validate r.toml", 2, ("r.toml:2: sources: limit is -1",), {"r.toml": room("sources", "limit = -1")}
    ),
    "limit that is text": setting('limit = "40"', "sources.limit: a whole number is needed, seen '40'"),
    "limit that is half": setting("limit = 1.5", "a whole number is needed"),
    "limit that is true": setting("limit = true", "a whole number is needed"),
    "curate: filter of no kind": setting('filter = "correct"', "Did you mean 'corrected'", table="curate"),
    "curate: list that is text": setting('filter_languages = "ar"', "a list is needed", table="curate"),
    "curate: table that is a list": setting("keywords = []", "a table is needed", table="curate"),
    "curate: document without a language": setting(
        'documents = [{ files = "*.pdf" }]', "needs the key language", table="curate"
    ),
    "curate: document in no known language": setting(
        'documents = [{ files = "*.pdf", language = "eng" }]', "Did you mean 'en'", table="curate"
    ),
    "curate: document outside the data folder": setting(
        'documents = [{ files = "/etc/*.txt", language = "en" }]',
        "data folder",
        "Point `data`",
        table="curate",
    ),
    "curate: share above 1": Case(
        "validate r.toml",
        2,
        ("r.toml:2: curate: least_script_share = 7", "0 to 1"),
        {"r.toml": room("curate", "least_script_share = 7.0")},
    ),
    "curate: no document there": Case(
        "validate r.toml",
        3,
        ("r.toml", "not there"),
        {"r.toml": room("curate", 'documents = [{ files = "*.pdf", language = "en" }]')},
    ),
    "translate: threshold 900": Case(
        "validate r.toml",
        2,
        ("r.toml:2: translate: ", "threshold = 900", "0 to 100"),
        {"r.toml": room("translate", "threshold = 900")},
    ),
    "translate: threshold that is text": setting('threshold = "90"', "a number is needed", table="translate"),
    "translate: target language": Case(
        "validate r.toml",
        2,
        ("r.toml:2: ", "'arabic' is not in the table", "Did you mean 'ar'"),
        {"r.toml": room("translate", 'target_language = "arabic"')},
    ),
    "translate: rounds below 0": Case(
        "validate r.toml", 2, ("r.toml:2: ", "rounds = -1"), {"r.toml": room("translate", "rounds = -1")}
    ),
    "translate: completer of no kind": Case(
        "validate r.toml",
        2,
        ("r.toml:4: ", "Did you mean 'memory'"),
        {"r.toml": room("translate", '[translate.completer]\nkind = "memroy"')},
    ),
    "synthesize: share 2": Case(
        "validate r.toml",
        2,
        ("r.toml:2: ", "share = 2", "0 to 1"),
        {"r.toml": room("synthesize", "share = 2")},
    ),
    "synthesize: unknown kind": Case(
        "validate r.toml",
        2,
        ("r.toml:2: ", "dialogue, rationale"),
        {"r.toml": room("synthesize", 'kinds = ["chat"]')},
    ),
    "train: rate 0": Case(
        "validate r.toml",
        2,
        ("r.toml:3: ", "above zero"),
        {"r.toml": room("train", "[[train.phases]]\nlearning_rate = 0")},
    ),
    "train: schedule of no kind": Case(
        "validate r.toml",
        2,
        ("r.toml:4: ", "Did you mean 'cosine'"),
        {"r.toml": room("train", '[[train.phases]]\nschedule = "cosin"')},
    ),
    "train: target of no kind": Case(
        "validate r.toml",
        2,
        ("r.toml:4: ", "'w4' is not one of"),
        {"r.toml": room("train", '[train.adapter]\ntargets = ["q", "w4"]')},
    ),
    "train: rank 0": Case(
        "validate r.toml", 2, ("r.toml:3: ", "rank 0"), {"r.toml": room("train", "[train.adapter]\nrank = 0")}
    ),
    "evaluate: unknown protocol": Case(
        "validate r.toml",
        2,
        ("r.toml:2: ", "Did you mean 'letters'"),
        {"r.toml": room("evaluate", 'protocols = ["leters"]')},
    ),
    "evaluate: benchmark without a file": Case(
        "validate r.toml",
        2,
        ("r.toml:3: ", "needs the key path"),
        {"r.toml": room("evaluate", '[[evaluate.benchmarks]]\nname = "medqa"')},
    ),
    "review: verdicts not there": Case(
        "validate r.toml", 3, ("r.toml", "not there"), {"r.toml": room("review", 'verdicts = ["filled.csv"]')}
    ),
    "review: no reviews": Case(
        "validate r.toml",
        2,
        ("r.toml:2: review: reviews = 0", "at least 1"),
        {"r.toml": room("review", "reviews = 0")},
    ),
    "mix: ratio 0": Case(
        "validate r.toml",
        2,
        ("r.toml:2: mix: ratio = [0.0, 0.0]", "both may not be 0"),
        {"r.toml": room("mix", "ratio = [0, 0]")},
    ),
    "mix: ratio of one": setting("ratio = 1", "a list is needed", table="mix"),
    "mix: unknown basis": setting('basis = "token"', "Did you mean 'tokens'", table="mix"),
    "mix: source among the targets": Case(
        "validate r.toml",
        2,
        ("r.toml:2: mix: ", "both the source and a target"),
        {"r.toml": room("mix", 'languages = ["en"]')},
    ),
    "mix: registered tests not there": Case(
        "validate r.toml", 3, ("r.toml", "not there"), {"r.toml": room("mix", 'tests = ["held/*.jsonl"]')}
    ),
    "train: passages without all tokens": Case(
        "validate r.toml",
        2,
        ("r.toml:3: ", "holds no replies"),
        {"r.toml": room("train", '[[train.phases]]\ndata = "passages"')},
    ),
    "train: model folder not there": Case(
        "validate r.toml", 3, ("r.toml", "not there"), {"r.toml": room("train", 'base = "./models/mixtral"')}
    ),
    "evaluate: no test sets": Case("validate r.toml", 2, ("r.toml", "error"), {"r.toml": room("evaluate")}),
    "evaluate: test set not there": Case(
        "validate r.toml",
        3,
        ("r.toml", "not there"),
        {"r.toml": room("evaluate", '[[evaluate.benchmarks]]\nname = "medqa"\npath = "medqa.jsonl"')},
    ),
    "serve: port that is text": setting('port = "8765"', "a whole number is needed", table="serve"),
    "--set without a value": Case(
        "run r.toml --set curate.filter", 2, ("room.key=value",), {"r.toml": room("curate")}
    ),
    "--set of no key": Case(
        "run r.toml --set =3", 2, ("--set =3", "room.key=value"), {"r.toml": room("curate")}
    ),
    "--set of an unknown key": Case(
        "run r.toml --set curate.filtr=off",
        2,
        ("--set curate.filtr=off", "Did you mean 'filter'"),
        {"r.toml": room("curate")},
    ),
    "--set of an unknown room": Case(
        "run r.toml --set curat.filter=off",
        2,
        ("--set curat.filter=off", "Did you mean 'curate'"),
        {"r.toml": room("curate")},
    ),
    "--set of a wrong value": Case(
        "run r.toml --set curate.filter=on",
        2,
        ("--set curate.filter=on", "'on' is not one of"),
        {"r.toml": room("curate")},
    ),
    "--set past the end": Case(
        "run r.toml --set sources.data.3.path=a",
        2,
        ("no entry of the list (0 to 0)",),
        {"r.toml": recipe("medqa", "a")},
    ),
    "--set below a value": Case(
        "run r.toml --set name.x=1", 2, ("'name' is a value",), {"r.toml": room("curate")}
    ),
}

ALONE = "--recipe r.toml -q"
COMMANDS: dict[str, Case] = {
    "unknown command": Case("translte a b", 2, ("no command 'translte'", "Did you mean 'translate'")),
    "unknown option": Case("run r.toml --fast", 2, ("--fast", "--help"), {"r.toml": room("curate")}),
    "no recipe named": Case("run", 2, ("Missing argument", "--help")),
    "too many arguments": Case("init tiny a b", 2, ("unexpected extra argument", "--help")),
    "listing of nothing": Case("ls langages", 2, ("langages", "languages")),
    "output below a file": Case(
        "run r.toml --out a.jsonl/run -q",
        1,
        ("a.jsonl/run", "Name a folder"),
        {"r.toml": recipe("records", "a.jsonl"), "a.jsonl": GOOD},
    ),
    "output that is a file": Case(
        "run r.toml --out a.jsonl -q",
        1,
        ("a.jsonl", "Name a folder"),
        {"r.toml": recipe("records", "a.jsonl"), "a.jsonl": GOOD},
    ),
    "output where nothing may be written": Case(
        "run r.toml --out /proc/bimedix -q",
        1,
        ("/proc/bimedix", "Name a folder"),
        {"r.toml": recipe("records", "a.jsonl"), "a.jsonl": GOOD},
    ),
    "room without a table": Case(
        f"curate a.jsonl out {ALONE}",
        2,
        ("r.toml: has no table [curate]; it has: translate",),
        {"r.toml": room("translate"), "a.jsonl": GOOD},
    ),
    "room on a missing file": Case(
        f"curate a.jsonl out {ALONE}", 2, ("a.jsonl", "does not exist"), {"r.toml": room("curate")}
    ),
    "room on a folder without records": Case(
        f"curate data out {ALONE}",
        3,
        ("data/records.jsonl", "other.txt"),
        {"r.toml": room("curate"), "data/other.txt": "a"},
    ),
    "room on another file": Case(
        f"curate notes.txt out {ALONE}",
        1,
        ("notes.txt:1: not a record", "bimedix sources"),
        {"r.toml": room("curate"), "notes.txt": "Some notes.\n"},
    ),
    "room on rows of another form": Case(
        f"curate a.jsonl out {ALONE}",
        1,
        ("a.jsonl:1: not a record", "`kind`"),
        {"r.toml": room("curate"), "a.jsonl": [{"question": "Why?"}]},
    ),
    "room on a cut file": Case(
        f"curate a.jsonl out {ALONE}",
        1,
        ("a.jsonl:2: not a record", "cut off"),
        {"r.toml": room("curate"), "a.jsonl": GOOD + GOOD[:50]},
    ),
    "room on Parquet": Case(
        f"curate a.jsonl out {ALONE}",
        1,
        ("a.jsonl:1", "Parquet", "source `records`"),
        {"r.toml": room("curate"), "a.jsonl": b"PAR1" + bytes(90) + b"PAR1"},
    ),
    "room on a lone surrogate": Case(
        f"curate a.jsonl out {ALONE}",
        1,
        ("a.jsonl:1: not a record", "surrogate"),
        {"r.toml": room("curate"), "a.jsonl": GOOD.replace("Why", "\\ud800")},
    ),
    "room on a Git LFS pointer": Case(
        f"curate a.jsonl out {ALONE}",
        3,
        ("records.jsonl:1", "git lfs pull"),
        {"r.toml": room("curate"), "a.jsonl": POINTER},
    ),
    "keyword list not there": Case(
        f"curate a.jsonl out {ALONE}",
        3,
        ("k.toml: no such keyword list", "Shipped"),
        {"r.toml": room("curate", 'keywords = { en = "k.toml" }'), "a.jsonl": GOOD},
    ),
    "keyword list that is text": Case(
        f"curate a.jsonl out {ALONE}",
        1,
        ("k.toml: not TOML",),
        {"r.toml": room("curate", 'keywords = { en = "k.toml" }'), "a.jsonl": GOOD, "k.toml": "heart\n"},
    ),
    "filter without a list": Case(
        f"curate a.jsonl out {ALONE}",
        3,
        ("'de'", "[curate.keywords]"),
        {"r.toml": room("curate", 'filter_languages = ["de"]'), "a.jsonl": GOOD},
    ),
    "documents not there": Case(
        f"curate a.jsonl out {ALONE}",
        3,
        ("'*.pdf'", "data folder"),
        {"r.toml": room("curate", 'documents = [{ files = "*.pdf", language = "en" }]'), "a.jsonl": GOOD},
    ),
    "nothing below a folder": Case(
        "sources data out -q", 3, ("data: no source finds", "ls sources"), {"data": None}
    ),
    "source of no name": Case(
        "sources data out --source medmqa", 2, ("Did you mean 'medmcqa'",), {"data": None}
    ),
    "negative limit of a folder": Case("sources data out --limit -2", 2, ("limit is -2",), {"data": None}),
    "memory without files": Case(
        f"translate a.jsonl out {ALONE}",
        2,
        ("kind = 'memory' needs files", "memory ="),
        {"r.toml": room("translate"), "a.jsonl": GOOD},
    ),
    "memory not there": Case(
        f"translate a.jsonl out {ALONE}",
        3,
        ("b.tmx", "no such file"),
        {"r.toml": room("translate", '[translate.completer]\nmemory = ["b.tmx"]'), "a.jsonl": GOOD},
    ),
    "memory that is no TMX": Case(
        f"translate a.jsonl out {ALONE}",
        1,
        ("b.tmx:1", "not well-formed"),
        {
            "r.toml": room("translate", '[translate.completer]\nmemory = ["b.tmx"]'),
            "a.jsonl": GOOD,
            "b.tmx": "en,ar\n",
        },
    ),
    "memory of another root": Case(
        f"translate a.jsonl out {ALONE}",
        1,
        ("b.tmx:1", "<tmx>"),
        {
            "r.toml": room("translate", '[translate.completer]\nmemory = ["b.tmx"]'),
            "a.jsonl": GOOD,
            "b.tmx": "<xliff/>",
        },
    ),
    "memory with entities": Case(
        f"translate a.jsonl out {ALONE}",
        1,
        ("b.tmx:1", "declares the entity"),
        {
            "r.toml": room("translate", '[translate.completer]\nmemory = ["b.tmx"]'),
            "a.jsonl": GOOD,
            "b.tmx": "<!DOCTYPE tmx [<!ENTITY a 'b'>]><tmx/>",
        },
    ),
    "glossary with another header": Case(
        f"translate a.jsonl out {ALONE}",
        1,
        ("terms.csv:1",),
        {
            "r.toml": room(
                "translate", '[translate.completer]\nmemory = ["b.tmx"]\nglossary = ["terms.csv"]'
            ),
            "a.jsonl": GOOD,
            "b.tmx": TMX.format(UNIT),
            "terms.csv": "Wort,Bedeutung\na,b\n",
        },
    ),
    "endpoint's key not set": Case(
        f"translate a.jsonl out {ALONE}",
        3,
        ("NO_SUCH_KEY", "shell"),
        {
            "r.toml": room(
                "translate",
                '[translate.completer]\nkind = "openai"\nmodel = "m"\n'
                'price_in = 0.0\nkey_env = "NO_SUCH_KEY"',
            ),
            "a.jsonl": GOOD,
        },
    ),
    "price not known": Case(
        f"translate a.jsonl out {ALONE}",
        2,
        ("price of 'nobodys-model'", "price_in"),
        {
            "r.toml": room("translate", '[translate.completer]\nkind = "openai"\nmodel = "nobodys-model"'),
            "a.jsonl": GOOD,
        },
    ),
    "endpoint that is no address": Case(
        f"translate a.jsonl out {ALONE}",
        2,
        ("base_url = 'localhost'", "http://"),
        {
            "r.toml": room(
                "translate",
                '[translate.completer]\nkind = "openai"\nmodel = "m"\nprice_in = 0.0\nbase_url = "localhost"',
            ),
            "a.jsonl": GOOD,
        },
    ),
    "recording not there": Case(
        f"translate a.jsonl out {ALONE}",
        3,
        ("told.jsonl", "no such file"),
        {
            "r.toml": room(
                "translate", '[translate.completer]\nkind = "recording"\nrecording = "told.jsonl"'
            ),
            "a.jsonl": GOOD,
        },
    ),
    "training without a mix": Case(
        f"train data out {ALONE}",
        3,
        ("data/train.jsonl", "other.txt"),
        {"r.toml": room("train"), "data/other.txt": "a"},
    ),
    "training on nothing": Case(
        f"train train.jsonl out {ALONE}",
        1,
        ("train.jsonl: holds no conversation", "dropped.jsonl"),
        {"r.toml": room("train"), "train.jsonl": ""},
    ),
    "training on another kind": Case(
        f"train train.jsonl out {ALONE}",
        1,
        ("train.jsonl:1: not a Conversation record", "Seen:"),
        {"r.toml": room("train"), "train.jsonl": GOOD},
    ),
    "training on pickled weights": Case(
        f"train train.jsonl out {ALONE}",
        3,
        ("needs *.safetensors", "pytorch_model.bin", "Convert"),
        {
            "r.toml": room("train", 'base = "model"\ntokenizer = "mixtral"'),
            "train.jsonl": [TALK],
            "model/config.json": '{"architectures": ["MixtralForCausalLM"]}',
            "model/pytorch_model.bin": b"\x80\x02}q",
        },
    ),
    "training on a model with code": Case(
        f"train train.jsonl out {ALONE}",
        1,
        ("'auto_map' asks to run code", "refused"),
        {
            "r.toml": room("train", 'base = "model"\ntokenizer = "mixtral"'),
            "train.jsonl": [TALK],
            "model/config.json": '{"architectures": ["MixtralForCausalLM"], "auto_map": {"AutoModel": "x"}}',
        },
    ),
    "training on an unknown architecture": Case(
        f"train train.jsonl out {ALONE}",
        1,
        ("architectures ['InternLM2ForCausalLM']", "known here"),
        {
            "r.toml": room("train", 'base = "model"\ntokenizer = "mixtral"'),
            "train.jsonl": [TALK],
            "model/config.json": '{"architectures": ["InternLM2ForCausalLM"]}',
        },
    ),
    "training on a missing model": Case(
        f"train train.jsonl out {ALONE}",
        3,
        ("no such model folder", "hub id"),
        {"r.toml": room("train", 'base = "./nowhere"\ntokenizer = "mixtral"'), "train.jsonl": [TALK]},
    ),
    "mixing a side that is empty": Case(
        f"mix a.jsonl out {ALONE}",
        2,
        ("no record in 'ar' was admitted", "ratio = ["),
        {"r.toml": room("mix"), "a.jsonl": [OPEN]},
    ),
    "review of other records": Case(
        f"review a.jsonl out {ALONE}",
        1,
        ("a.jsonl:1: not a Translation record", "Seen:"),
        {"r.toml": room("review"), "a.jsonl": [OPEN]},
    ),
    "review with lost verdicts": Case(
        f"review a.jsonl out {ALONE}",
        3,
        ("filled.csv does not exist", "Name filled sheets"),
        {"r.toml": room("review", 'verdicts = ["filled.csv"]'), "a.jsonl": ""},
    ),
    "synthesis without questions": Case(
        f"synthesize data out {ALONE}",
        3,
        ("records.jsonl",),
        {
            "r.toml": room("synthesize", '[synthesize.completer]\nkind = "recording"\nrecording = "a.jsonl"'),
            "data": None,
            "a.jsonl": "",
        },
    ),
    "show a missing file": Case(
        "show a.jsonl", 3, ("a.jsonl: no such file", "The folder holds: b.jsonl"), {"b.jsonl": GOOD}
    ),
    "show a missing id": Case(
        "show a.jsonl --id m:9", 3, ("no record with the id 'm:9'", "Did you mean 'm:1'"), {"a.jsonl": GOOD}
    ),
    "show a folder without records": Case(
        "show data", 3, ("data: holds no records.jsonl", "Name a records file"), {"data": None}
    ),
    "show a run": Case(
        "show run", 3, ("Choose a stage: 01_sources",), {"run/01_sources/records.jsonl": GOOD}
    ),
    "show text": Case("show a.txt", 1, ("a.txt:1: not a record", "bimedix sources"), {"a.txt": "hello\n"}),
    "show less than nothing": Case("show a.jsonl -n -3", 2, ("-3", "--help"), {"a.jsonl": GOOD}),
    "init onto a file": Case(
        "init real_sample a.toml", 2, ("a.toml: exists already", "OTHER.toml"), {"a.toml": "mine"}
    ),
    "init of no recipe": Case("init real_sampel", 3, ("Did you mean 'real_sample'", "Shipped:")),
    "chat without a model": Case("chat data", 3, ("data: holds no model", "bimedix run"), {"data": None}),
    "chat with a missing folder": Case("chat nowhere", 3, ("nowhere", "bimedix run")),
    "serve without a model": Case("serve data", 3, ("data: holds no model", "bimedix run"), {"data": None}),
}

CASES = FILES | RECIPES | COMMANDS
NEXT_STEP = (
    "\n  ", "Did you mean", "needed", "needs", "it has:", "--help", "write it as", "is a value", "0 to",
    "not TOML", "limit is", "is not one of", "above zero", "rank 0", "list (", "or from 1", "0 or more",
    "known are", "at least", "lines marked", "such as", "the name of",
)  # fmt: skip
"""A message has a second line, or says in its first what is needed."""


@pytest.mark.parametrize("name", CASES)
def test_a_broken_input_ends_in_a_message_with_place_and_next_step(
    name: str, tmp_path: Path, bimedix: Run
) -> None:
    """The exit code fits, no traceback is shown, and nothing is left that looks finished."""
    case = CASES[name]
    lay_out(tmp_path, case.files)

    end = bimedix(*case.command.split())

    assert end.code == case.code, end.err
    assert [words for words in case.told if words not in end.err] == [], end.err
    assert "Traceback" not in end.err and "a mistake in bimedix itself" not in end.err
    assert any(sign in end.err for sign in NEXT_STEP), end.err
    assert not list(tmp_path.rglob("ledger.json"))


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 60
    assert {case.code for case in CASES.values()} == {1, 2, 3}


def test_a_folder_in_use_names_the_process(tmp_path: Path, bimedix: Run) -> None:
    from bimedix.path import locked

    lay_out(tmp_path, {"r.toml": recipe("records", "a.jsonl"), "a.jsonl": GOOD})
    with locked(tmp_path / "run"):
        end = bimedix("run", "r.toml", "--out", "run", "-q")

    assert end.code == 2
    assert f"process {os.getpid()} is working" in end.err and "--out" in end.err


# --- single records that cannot be used -----------------------------------------------------------------

DROPS: dict[str, tuple[str, str, list[dict[str, Any]], str]] = {
    "empty answer": (
        "records",
        "a.jsonl",
        [OPEN, {**OPEN, "id": "m:9", "answer": " "}],
        "the answer is empty",
    ),
    "empty option": (
        "records",
        "a.jsonl",
        [CHOICE, {**CHOICE, "id": "m:9", "options": ["a", ""]}],
        "an option is empty",
    ),
    "empty message": (
        "messages",
        "a.jsonl",
        [
            {"messages": TALK["messages"], "lang": "en"},
            {"messages": [{"role": "assistant", "content": ""}], "lang": "en"},
        ],
        "a message is empty",
    ),
    "empty question": (
        "medmcqa",
        "dev.json",
        [MEDMCQA, {**MEDMCQA, "id": "u2", "question": ""}],
        "the question is empty",
    ),
    "repeat": (
        "medmcqa",
        "dev.json",
        [MEDMCQA, {**MEDMCQA, "id": "u2"}],
        "repeats an earlier record of this source",
    ),
    "image item": (
        "igakuqa",
        "112-A.jsonl",
        [IGAKU, {**IGAKU, "problem_id": "112A2", "text_only": False}],
        "image",
    ),
    "item without options": (
        "igakuqa",
        "112-A.jsonl",
        [IGAKU, {**IGAKU, "problem_id": "112A2", "choices": []}],
        "no options",
    ),
}


@pytest.mark.parametrize("name", DROPS)
def test_a_record_that_cannot_be_used_is_dropped_with_a_reason(
    name: str, tmp_path: Path, bimedix: Run
) -> None:
    """The others are read, and the run goes on."""
    source, file, rows, reason = DROPS[name]
    lay_out(tmp_path, {"r.toml": recipe(source, file), file: rows})

    end = bimedix(*READ.split())

    assert end.code == 0, end.err
    stage = tmp_path / "run" / "01_sources"
    drops = [msgspec.json.decode(row, type=Dropped) for row in (stage / "dropped.jsonl").open("rb")]
    assert len((stage / "records.jsonl").read_text().splitlines()) == 1
    assert len(drops) == 1 and reason in drops[0].reason
    assert drops[0].place or drops[0].record


def test_documents_that_cannot_be_read_are_dropped(tmp_path: Path, bimedix: Run) -> None:
    """Damaged, empty, wrongly encoded: each with its own reason, and the good one is kept."""
    good = "The heart pumps blood through arteries and veins; a physician treats heart disease. " * 5
    lay_out(tmp_path, {
        "r.toml": room("curate", 'documents = [{ files = "docs/*", language = "en" }]'), "a.jsonl": GOOD,
        "docs/a.pdf": "%PDF-1.4 not really", "docs/b.pdf": b"", "docs/c.txt": "",
        "docs/d.txt": b"\xff\xfe\0a",
        "docs/e.docx": b"PK", "docs/f.txt": good,
    })  # fmt: skip

    end = bimedix("curate", "a.jsonl", "out", "--recipe", "r.toml", "-q")

    assert end.code == 0, end.err
    rows = (tmp_path / "out" / "dropped.jsonl").open("rb")
    assert Counter(msgspec.json.decode(row, type=Dropped).reason for row in rows) == {
        "PDF is damaged": 2, "file is empty": 1, "file is not UTF-8 text": 1,
        "file is neither PDF, Markdown nor text": 1,
    }  # fmt: skip
    assert len((tmp_path / "out" / "records.jsonl").read_text().splitlines()) == 2


def test_a_pdf_with_a_password_is_dropped(tmp_path: Path, bimedix: Run, real_data: Path) -> None:
    locked = next(real_data.rglob("*password*.pdf"))
    lay_out(tmp_path, {
        "r.toml": room("curate", 'documents = [{ files = "*.pdf", language = "en" }]'), "a.jsonl": GOOD,
        "a.pdf": locked.read_bytes(),
    })  # fmt: skip

    end = bimedix("curate", "a.jsonl", "out", "--recipe", "r.toml", "-q")

    assert end.code == 0, end.err
    assert "PDF needs a password" in (tmp_path / "out" / "dropped.jsonl").read_text()


@pytest.mark.parametrize(
    "content",
    [b"\xef\xbb\xbf" + GOOD.encode(), GOOD.replace("\n", "\r\n").encode(), GOOD.rstrip().encode(),
     PACKED, GOOD.replace("Why", "\\ud800").encode(), GOOD.replace("Why", "W\\u0000y").encode(),
     GOOD.replace("Why", "a\u2028b\u0085c").encode(), json.dumps([OPEN], indent=2).encode()],
    ids=["byte order mark", "CRLF", "no last line break", "zstd", "lone surrogate", "NUL", "U+2028", "list"],
)  # fmt: skip
def test_odd_but_whole_files_are_read(content: bytes, tmp_path: Path, bimedix: Run) -> None:
    """One record each; what cannot be written in UTF-8 becomes U+FFFD."""
    lay_out(tmp_path, {"r.toml": recipe("records", "a.jsonl"), "a.jsonl": content})

    end = bimedix(*READ.split())

    assert end.code == 0, end.err
    assert len((tmp_path / "run/01_sources/records.jsonl").read_text("utf-8").split("\n")) == 2


# --- the real program -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["truncated JSON line", "XML bomb", "unknown command", "Git LFS pointer", "doubled key"]
)
def test_the_program_itself_ends_the_same_way(name: str, tmp_path: Path) -> None:
    """In a process of its own: the code of the shell, nothing on stdout, no traceback."""
    case = CASES[name]
    lay_out(tmp_path, case.files)
    done = subprocess.run(
        [sys.executable, "-m", "bimedix", *case.command.split()],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == case.code
    assert done.stdout == "" and "Traceback" not in done.stderr
    assert all(words in done.stderr for words in case.told)
