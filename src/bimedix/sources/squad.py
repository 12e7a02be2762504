"""SQuAD JSON, as XQuAD and JSQuAD publish it: articles, paragraphs, questions with answers in the text."""

from collections.abc import Iterator
from pathlib import Path

from bimedix.sources.base import Given, Options, drop, json_object, origin, source_id
from bimedix.sources.texts import open_question

NO_ANSWER = "the text holds no answer"
TITLE_MARK = " [SEP] "


def read_squad(
    path: Path, options: Options, *, dataset: str, licence: str, language: str, split: str
) -> Iterator[Given]:
    """Yield an open question per question: its paragraph as context, the first answer as answer.

    JSQuAD opens a paragraph with "title [SEP] "; the title becomes the subject.
    """
    for article in json_object(path, options.encoding).rows("data"):
        title = article.optional("title")
        for paragraph in article.rows("paragraphs"):
            named, context = _without_title(paragraph.text("context"))
            for row in paragraph.rows("qas"):
                key = f"{row.text('id')}/{language}"
                answers = [answer.text("text") for answer in row.rows("answers")]
                if not any(answers) or row.values.get("is_impossible"):
                    yield drop(dataset, row, NO_ANSWER, id=source_id(dataset, key))
                    continue
                yield open_question(
                    row,
                    origin(dataset, licence, row, options, key=key, split=split),
                    language,
                    row.text("question"),
                    next(filter(None, answers)),
                    id=source_id(dataset, key),
                    context=context,
                    subject=title or named,
                )


def _without_title(context: str) -> tuple[str, str]:
    title, mark, text = context.partition(TITLE_MARK)
    return (title, text) if mark else ("", context)
