"""The stub endpoint as a model that knows nothing: it answers our prompts in their form, and fails at times.

Fields are spelled in Arabic letters, with a few words of grammar and whatever glossary and memory the prompt
shows; numbers and names with digits stay. Talks come to the option that the prompt calls right; readers name
the options that a text quotes. One call in five meets the faults of the stub's mix F. The answers are shaped
like translations, judgments and talks; they are none.
"""

import argparse
import asyncio
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "completers"))
import stub

LETTERS = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ابكدهفغحيجقلمنوبقرستوفوكيز")
WORDS = {
    "not": "ليس", "no": "لا", "never": "أبدا", "without": "بدون", "none": "لا شيء", "except": "ما عدا",
    "left": "الأيسر", "right": "الأيمن", "before": "قبل", "after": "بعد", "acute": "حاد", "chronic": "مزمن",
    "increased": "زيادة", "decreased": "نقص", "positive": "إيجابي", "negative": "سلبي", "daily": "يوميا",
    "once": "مرة واحدة", "twice": "مرتين", "one": "واحد", "two": "اثنان", "three": "ثلاثة", "four": "أربعة",
    "yes": "نعم", "maybe": "ربما", "and": "و", "of": "من", "the": "ال", "in": "في", "with": "مع", "is": "هو",
}  # fmt: skip
_PIECE = re.compile(r"[A-Za-z]+(?![\w-]*\d)")


def share(*parts: object) -> float:
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2**32


def data_of(call: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call["messages"][-1]["content"].split("\n")[1])
    return found


def spell(text: str, terms: dict[str, str]) -> str:
    def word(found: re.Match[str]) -> str:
        low = found[0].lower()
        if len(low) > 1 and found[0].isupper() and low not in WORDS:
            return found[0]
        return WORDS.get(low) or low.translate(LETTERS)

    for source in sorted(terms, key=len, reverse=True):
        text = re.sub(rf"\b{re.escape(source)}\b", lambda _, t=terms[source]: t, text, flags=re.IGNORECASE)
    return _PIECE.sub(word, text).replace("?", "؟").replace(",", "،")


def answer(call: dict[str, Any]) -> str:
    """Return what a model would send back to one of our prompts."""
    system, data = call["messages"][0]["content"], data_of(call)
    about = re.findall(r'"id": "([0-9a-f]{12})"', system)[-1]
    if "options" in data:
        return json.dumps(talked(data) | {"id": about})
    if "source" in data:
        return json.dumps(judged(data, about), ensure_ascii=False)
    memory, terms = dict(data.get("memory", ())), dict(data.get("glossary", ()))
    fields = {name: memory.get(text) or spell(text, terms) for name, text in data["fields"].items()}
    if "current" in data:
        fields = {name: text + " " for name, text in fields.items()}
    return json.dumps({"id": about, "fields": fields}, ensure_ascii=False)


def talked(data: dict[str, Any]) -> dict[str, Any]:
    """Write a talk that asks and comes to the right option, or name the options that a text quotes."""
    if "text" in data:
        return {"answers": [o["id"] for o in data["options"] if f"“{o['text']}”" in data["text"]]}
    right = next(o["text"] for o in data["options"] if o["id"] in data["answers"])
    turns = ["Doctor, I am worried and would like to ask you something.", "What is it that worries you?"]
    for _ in range(data["exchanges"] - 2):
        turns += ["It does not get better with rest.", "Did you notice anything else?"]
    turns += [
        "No, that is all.",
        f"What you tell me comes down to “{right}”, and we should look at it today.",
    ]
    roles = ("patient", "doctor")
    return {"turns": [{"role": roles[at % 2], "text": text} for at, text in enumerate(turns)]}


def judged(data: dict[str, Any], about: str) -> dict[str, Any]:
    """Score most texts high, a seventh of them low, with a span; what was revised is better."""
    first = next(iter(data["target"].values()))
    low = share("score", json.dumps(data["source"])) < 0.15 and not first.endswith(" ")
    span = {
        "quote": first.split()[0],
        "side": "target",
        "category": "fluency",
        "severity": "minor",
        "why": "stiff",
    }
    return {"id": about, "nonce": data["nonce"], "spans": [span] if low else [], "score": 70 if low else 95}


class Translator(stub.Stub):
    """Bills and fails like the stub; its words are those of `answer`."""

    def fault(self, call: dict[str, Any], key: str) -> str:
        self.mix_f = share("fault", key) < 0.2
        return super().fault(call, key)

    def bill(self, call: dict[str, Any], key: str, prompt: str, fault: str) -> bytes:
        return super().bill(call, key, answer(call), fault)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=Path(__file__).name)
    parser.add_argument("--port", type=int, default=0)
    stub.Stub = Translator  # type: ignore[misc]
    asyncio.run(stub.serve(parser.parse_args().port, 0.0, 0.0, True))
