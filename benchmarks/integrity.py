"""Integrity checks: recall by class of error, false alarms by data set, pairs per second.

Recall comes from the frozen contrast set (tests/integrity/contrast.py) and from errors seeded into the
human Arabic of TICO-19. False alarms are shares of pairs with at least one finding of severity error: our
own rewordings, the human translations of TICO-19 into five languages and the references of Bio-MQM, which
hold some real errors too (18 French segments of TICO-19 stand beside the wrong source); an unreviewed
machine translation of a FAQ is shown beside them. The Arabic medical MMLU of AceGPT has rows that are no
translation at all: `check_set` has to find them without a model.

    BIMEDIX_DATA=... python benchmarks/integrity.py --quick --json
"""

import csv
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree

from _common import arguments, finish, median_of

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "integrity"))
from contrast import GLOSSARY, PER_CLASS, errors, negatives

from bimedix.integrity import check_pair, check_set, check_texts
from bimedix.languages import language

Pair = tuple[str, str, str]
"""Id, source, target."""
LANGUAGES = ("ar", "es-LA", "fr", "ru", "zh")


def failed(source: str, target: str, code: str) -> bool:
    return any(finding.severity == "error" for finding in check_texts(source, target, "en", code))


def contrast() -> dict[str, Any]:
    """Recall by class and false alarms of the contrast set."""
    hits: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for case in errors():
        total[case.name] += 1
        found = {f.check for f in check_pair(case.source, case.target, GLOSSARY) if f.severity == "error"}
        hits[case.name] += bool(found & case.checks)
    right = list(negatives())
    alarms = sum(
        any(f.severity == "error" for f in check_pair(case.source, case.target, GLOSSARY)) for case in right
    )
    return {
        "contrast_pairs": sum(total.values()),
        "contrast_classes": len(total),
        "contrast_per_class": PER_CLASS,
        "contrast_recall": round(sum(hits.values()) / sum(total.values()), 4),
        "contrast_recall_by_class": {name: round(hits[name] / total[name], 4) for name in total},
        "contrast_negatives": len(right),
        "contrast_false_alarm_share": round(alarms / len(right), 4),
    }


def tico(data: Path, code: str) -> list[Pair]:
    """Read the segments of TICO-19 from English into one language."""
    tree = ElementTree.parse(data / "tico19" / "TM" / f"all.en-{code}.tmx")
    rows = []
    for unit in tree.iter("tu"):
        segments = ["".join(seg.itertext()) for seg in unit.iter("seg")]
        rows.append((unit.get("tuid", ""), segments[0], segments[1]))
    return rows


def seeded(pairs: Iterable[Pair]) -> Iterator[tuple[str, str, str]]:
    """Give (class, source, damaged target) for correct pairs of TICO-19."""
    for key, source, target in pairs:
        random = Random(key)
        whole = list(re.finditer(r"(?<![\w.,٬-])\d{2,}(?![\w.,٬-])", target))
        if whole:
            found = random.choice(whole)
            before, digits, after = target[: found.start()], found.group(), target[found.end() :]
            wrong = digits[:-1] + str((int(digits[-1]) + random.randint(1, 8)) % 10)
            yield "number digit", source, before + wrong + after
            yield "number tenfold", source, before + digits + "0" + after
        words = target.split()
        if len(words) > 8:
            yield "cut in half", source, " ".join(words[: len(words) // 2])
            yield "cut at three quarters", source, " ".join(words[: int(len(words) * 0.75)])
        sign = next((s for s in (" لا ", " لم ", " لن ", " ليس ") if s in target), None)
        if sign and re.search(r"\bnot\b|n't|\bno\b", source):
            yield "negation dropped", source, target.replace(sign, " ", 1)


def mqm(data: Path, code: str) -> list[Pair]:
    rows = json.loads((data / "bio-mqm/v2/round_two" / f"en2{code}" / "reference.json").read_text())
    return [(row["SEG_ID"], row["source"], row["target"]) for row in rows]


def faq(data: Path) -> list[Pair]:
    with (data / "covid-faq-ar/faqs/MT_ar_faq_covidbert.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        (f"{index}:{name}", row[name], row[f"{name}_ar"])
        for index, row in enumerate(rows)
        for name in ("question", "answer")
    ]


def mmlu(data: Path) -> tuple[list[Pair], set[str]]:
    """Return the English and Arabic rows side by side, and the ids of those about address spoofing.

    They are told by their options: addresses together with a firewall or intrusion detection.
    """
    pairs, unrelated = [], set()
    for path in sorted((data / "mmlu-medical" / "en" / "test").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            english = list(csv.reader(file))
        with (data / "mmlu-medical" / "ar" / "test" / path.name).open(encoding="utf-8", newline="") as file:
            arabic = list(csv.reader(file))
        for index, (mine, theirs) in enumerate(zip(english, arabic, strict=True)):
            key = f"{path.stem}:{index}"
            pairs.append((key, "\n".join(mine[:5]), "\n".join(theirs[:5])))
            options = " ".join(theirs[1:5])
            if re.search("عنوان|عناوين", options) and re.search("جدار|الاختراق|التسلل|حماية", options):
                unrelated.add(key)
    return pairs, unrelated


def on_data(data: Path, quick: bool, repeats: int) -> dict[str, Any]:
    """Everything that needs the sample data."""
    figures: dict[str, Any] = {}
    arabic: list[Pair] = []
    shares: dict[str, float] = {}
    for code in LANGUAGES:
        pairs = tico(data, code)
        arabic = pairs if code == "ar" else arabic
        own = language(code).code
        shares[f"tico19 en-{own} ({len(pairs)})"] = _share(pairs, own)
    for code in ("es", "fr", "ru", "zh"):
        pairs = mqm(data, code)
        shares[f"bio-mqm references en-{code} ({len(pairs)})"] = _share(pairs, code)
    pairs = faq(data)
    shares[f"covid-faq machine translation en-ar ({len(pairs)})"] = _share(pairs, "ar")
    figures["error_share_by_data_set"] = shares
    right = [pair for pair in arabic if not failed(pair[1], pair[2], "ar")]
    total: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    for name, source, wrong in seeded(right[::3] if quick else right):
        total[name] += 1
        hits[name] += failed(source, wrong, "ar")
    figures["tico19_seeded_recall_by_class"] = {
        name: {"recall": round(hits[name] / total[name], 4), "pairs": total[name]} for name in total
    }
    timing = median_of(lambda: [failed(s, t, "ar") for _, s, t in arabic], repeats)
    figures["pairs_per_s"] = round(timing.rate(len(arabic)))
    figures["pairs_per_cpu_s"] = round(timing.cpu_rate(len(arabic)))
    figures |= timing.figures("tico19_en_ar_919_pairs")
    return figures | _unrelated(*mmlu(data))


def _share(pairs: list[Pair], code: str) -> float:
    return round(sum(failed(source, target, code) for _, source, target in pairs) / len(pairs), 4)


def _unrelated(pairs: list[Pair], unrelated: set[str]) -> dict[str, Any]:
    found = {
        key
        for key, findings in check_set(pairs).items()
        if any(f.severity == "error" and f.check in {"repeated", "leak"} for f in findings)
    }
    return {
        "mmlu_ar_rows": len(pairs),
        "mmlu_ar_unrelated": len(unrelated),
        "mmlu_ar_unrelated_recall": round(len(found & unrelated) / len(unrelated), 4),
        "mmlu_ar_false_alarm_share": round(len(found - unrelated) / (len(pairs) - len(unrelated)), 4),
    }


def main() -> None:
    options = arguments(__doc__)
    figures = contrast()
    data = os.environ.get("BIMEDIX_DATA")
    left_out = []
    if data and Path(data).is_dir():
        figures |= on_data(Path(data), options.quick, options.repeats)
    else:
        left_out.append("all figures on TICO-19, Bio-MQM, the FAQ and Arabic MMLU: BIMEDIX_DATA is not set")
        cases = [case for case in errors() if case.name.startswith("number")]
        timing = median_of(
            lambda: [check_pair(case.source, case.target, GLOSSARY) for case in cases], options.repeats
        )
        figures["pairs_per_s"] = round(timing.rate(len(cases)))
        figures["pairs_per_cpu_s"] = round(timing.cpu_rate(len(cases)))
    if options.quick and data:
        left_out.append("two of three segments for seeding errors (--quick)")
    figures["left_out"] = left_out
    finish(figures, options.json, packages=("ahocorasick-rs", "numpy", "msgspec"))


if __name__ == "__main__":
    main()
