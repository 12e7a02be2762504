"""Make the demo's input files from `samples/tiny/bilingual.jsonl`, the one file that people write.

Writes beside it: English records, an English-Arabic translation memory (TMX) with planned gaps, and the
recorded dialogues. Gaps: one memory segment in FUZZY_EVERY holds another number than the record asks for, so
the loop has to revise; one question in MISSING_EVERY is not in the memory at all, so it goes to review.
Test items are complete. Run again after editing the bilingual file; a test checks that this was done.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from bimedix.prompts.synthesis import gold_ids
from bimedix.records import Dialogue, Item, MultipleChoice, OpenQuestion, Origin, Turn, encode, item_fields
from bimedix.text import digits_to_ascii

SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "tiny"
FUZZY_EVERY = 3
"""Among train questions with a number that stands once on both sides."""
MISSING_EVERY = 11
"""Among all train questions and open questions."""
LICENCE = "Apache-2.0"


def dataset_of(row: dict[str, Any]) -> str:
    """Return the data set of a row: items that have a recorded dialogue are a set of their own."""
    return "tiny-vignettes" if row["id"].startswith("tiny-mcq-1") else "tiny"


def to_item(row: dict[str, Any], code: str) -> Item:
    """Return one side of a bilingual row as a record."""
    side = row[code]
    shared: dict[str, Any] = {
        "id": row["id"],
        "language": code,
        "origin": Origin(dataset_of(row), row["id"], licence=LICENCE, split=row.get("split", "train")),
        "subject": row["subject"],
    }
    if row["kind"] == "multiple_choice":
        texts = {name: side[name] for name in ("question", "context", "rationale")}
        return MultipleChoice(
            **shared, options=tuple(side["options"]), answers=tuple(row["answers"]), **texts
        )
    if row["kind"] == "open_question":
        return OpenQuestion(**shared, question=side["question"], answer=side["answer"])
    turns = tuple(Turn(turn["role"], turn["text"]) for turn in side["turns"])
    return Dialogue(**shared, turns=turns, parents=(row["item"],))


def with_other_number(source: str, target: str) -> tuple[str, str] | None:
    """Return both texts with one number changed, when it stands exactly once on each side.

    3 to 9 grow by one and larger numbers by three, so the Arabic noun after it keeps its form.
    """
    for found in re.finditer(r"(?<![\w.])\d{1,3}(?![\w.]\d)", source):
        number = found.group()
        if int(number) < 3 or int(number) == 10 or int(number) % 100 > 96 or int(number) % 100 == 0:
            continue
        other = str(int(number) + (1 if int(number) < 10 else 3))
        folded = digits_to_ascii(target)
        if source.count(number) != 1 or folded.count(number) != 1 or len(folded) != len(target):
            continue
        start = folded.index(number)
        seen = target[start : start + len(number)]
        shift = ord(seen[0]) - ord(number[0])
        return source.replace(number, other), target.replace(
            seen, "".join(chr(ord(d) + shift) for d in other)
        )
    return None


def memory_segments(rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Return (id, English, Arabic) segments, with the planned gaps."""
    segments: dict[str, tuple[str, str, str]] = {}
    numbered = plain = 0
    for row in rows:
        source, target = item_fields(to_item(row, "en")), item_fields(to_item(row, "ar"))
        for name, text in source.items():
            entry = (f"{row['id']}:{name}", text, target[name])
            if name == "question" and row.get("split", "train") == "train":
                plain += 1
                if plain % MISSING_EVERY == 0:
                    continue
                changed = with_other_number(text, target[name])
                numbered += changed is not None
                if changed and numbered % FUZZY_EVERY == 0:
                    entry = (entry[0], *changed)
            segments.setdefault(entry[1], entry)
    return list(segments.values())


def tmx(segments: list[tuple[str, str, str]]) -> str:
    """Return the segments as TMX 1.4."""
    units = "\n".join(
        f'    <tu tuid="{escape(tuid)}">\n'
        f'      <tuv xml:lang="en"><seg>{escape(source)}</seg></tuv>\n'
        f'      <tuv xml:lang="ar"><seg>{escape(target)}</seg></tuv>\n'
        "    </tu>"
        for tuid, source, target in segments
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<tmx version="1.4">\n'
        '  <header creationtool="bimedix" creationtoolversion="1" segtype="block" o-tmf="bimedix"'
        ' adminlang="en" srclang="en" datatype="plaintext"/>\n'
        f"  <body>\n{units}\n  </body>\n</tmx>\n"
    )


def recordings(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the recorded answers of the offline demo: each dialogue, and what its readers concluded."""
    items = {row["id"]: row for row in rows}
    recorded = []
    for row in rows:
        if row["kind"] == "dialogue":
            roles = {"user": "patient", "assistant": "doctor"}
            turns = [{"role": roles[t["role"]], "text": t["text"]} for t in row["en"]["turns"]]
            item = to_item(items[row["item"]], "en")
            assert isinstance(item, MultipleChoice)
            answers = {"answers": sorted(gold_ids(item))}
            replies = {"dialogue": {"turns": turns}, "answer-check": answers, "conclusion-check": answers}
            for purpose, reply in replies.items():
                text = json.dumps(reply, ensure_ascii=False)
                recorded.append({"purpose": purpose, "record_id": item.id, "sample": 0, "reply": text})
    return recorded


def files(rows: list[dict[str, Any]]) -> dict[str, bytes]:
    """Return every generated file by name."""
    english = [to_item(row, "en") for row in rows if row["kind"] != "dialogue"]
    lines = [json.dumps(row, ensure_ascii=False, sort_keys=True).encode() for row in recordings(rows)]
    return {
        "questions.en.jsonl": b"".join(encode(i) + b"\n" for i in english if isinstance(i, MultipleChoice)),
        "answers.en.jsonl": b"".join(encode(i) + b"\n" for i in english if isinstance(i, OpenQuestion)),
        "memory.en-ar.tmx": tmx(memory_segments(rows)).encode(),
        "recording.jsonl": b"".join(line + b"\n" for line in lines),
    }


def read_rows() -> list[dict[str, Any]]:
    """Return the bilingual rows."""
    lines = (SAMPLES / "bilingual.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def main() -> None:
    for name, content in files(read_rows()).items():
        (SAMPLES / name).write_bytes(content)
        sys.stdout.write(f"{name}: {len(content):,} bytes\n")


if __name__ == "__main__":
    main()
