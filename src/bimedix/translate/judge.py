"""The question to one judge, with the reader of its answer."""

from collections.abc import Mapping

from bimedix.completers.base import Job, Request
from bimedix.prompts.asking import Ask, Tally
from bimedix.prompts.judging import JUDGMENT_SCHEMA, Judgment, ask_judge, read_judgment
from bimedix.translate.settings import Settings


def judgment(
    fields: Mapping[str, str],
    texts: Mapping[str, str],
    source: str,
    settings: Settings,
    tally: Tally,
    *,
    record_id: str,
    sample: int,
    seed: int,
) -> Ask[Judgment]:
    """Return the question that has one judge read texts in language `source` and their translation."""
    target, judge = settings.target_language, settings.judge or settings.completer
    question = ask_judge(fields, texts, source, target, salt=str(seed), sample=sample)
    echo = {"id": question.id, "nonce": question.nonce}
    job = Job("judge", source, target, dict(fields), dict(texts), echo=echo)
    request = Request(
        question.messages, "judge", record_id, sample, judge.max_new_tokens, judge.temperature,
        JUDGMENT_SCHEMA, job,
    )  # fmt: skip

    def read(text: str) -> Judgment:
        found = read_judgment(text, question, fields, texts)
        tally.counts[f"read: {found.rung}"] += 1
        tally.counts["quotes not in the text"] += found.quotes_not_found
        tally.counts["spans refused"] += found.spans_refused
        return found

    return Ask(request, read)
