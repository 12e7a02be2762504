"""How an item is put before a model: as token ids for scoring, or as messages for a reply."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from msgspec import structs

from bimedix.evaluate.settings import LETTERS, PLAIN, VERBATIM
from bimedix.evaluate.trie import Ids, Scoring
from bimedix.prompts.packs import pack
from bimedix.prompts.questions import answer_text, option_labels, option_lines, question_message, to_messages
from bimedix.records import Message, MultipleChoice


def encode_pairs(tokenizer: Any, context: str, continuations: Sequence[str]) -> tuple[Ids, tuple[Ids, ...]]:
    """Return ids of a context and of each continuation, split as lm-eval 0.4.13 does.

    Spaces at the context's end go to the continuations, and a continuation is what the whole has more than
    the context.
    """
    head, wholes = _head_and_wholes(tokenizer, context, continuations)
    return head, tuple(whole[len(head) :] for whole in wholes)


def _head_and_wholes(tokenizer: Any, context: str, continuations: Sequence[str]) -> tuple[Ids, list[Ids]]:
    kept = context.rstrip()
    spaces = context[len(kept) :]
    wholes = [tuple(tokenizer.encode(kept + spaces + continuation)) for continuation in continuations]
    return tuple(tokenizer.encode(kept)), wholes


BARE = (PLAIN, VERBATIM)
"""Templates that lay out no chat."""


@dataclass(frozen=True)
class Asker:
    """Puts items before one model."""

    tokenizer: Any
    template: str
    longest: int
    """Tokens the model takes; longer prompts lose their beginning, as in lm-eval."""
    shots: Mapping[str, Sequence[MultipleChoice]] = field(default_factory=dict)
    """Worked examples by language."""

    def messages(self, item: MultipleChoice, *, with_rationale: bool = False) -> tuple[Message, ...]:
        """Return the worked examples and the question as chat messages."""
        examples = [m for shot in self.shots.get(item.language, ()) for m in to_messages(shot)]
        return (*examples, question_message(item, with_rationale=with_rationale))

    def prompt(self, item: MultipleChoice, *, with_rationale: bool = False) -> Ids:
        """Return the ids after which the model's reply begins."""
        if self.template in BARE:
            return tuple(self.tokenizer.encode(self.text(item)))
        from bimedix.prompts.chat import encode_prompt

        messages = self.messages(item, with_rationale=with_rationale)
        return tuple(encode_prompt(messages, self.tokenizer, self.template))

    def scoring(self, key: str, item: MultipleChoice, protocol: str, *, tree: str = "") -> Scoring:
        """Return what to score for an item: a continuation for each option."""
        wordings, merged = self.wordings(item, protocol), False
        if self.template in BARE:
            texts = [f" {wording}" for wording in wordings]
            context, wholes = _head_and_wholes(self.tokenizer, self.text(item), texts)
            continuations = tuple(whole[len(context) :] for whole in wholes)
            merged = any(whole[: len(context)] != context for whole in wholes)
        else:
            from bimedix.prompts.chat import encode_reply

            context = self.prompt(item)
            continuations = tuple(tuple(encode_reply(wording, self.tokenizer)) for wording in wordings)
        room = self.longest + 1 - max(map(len, continuations))
        return Scoring(key, context[-room:], continuations, tree, cut=len(context) > room, merged=merged)

    def wordings(self, item: MultipleChoice, protocol: str) -> tuple[str, ...]:
        """Return what each option is called in the reply: its label, its line, or its bare text."""
        if protocol == LETTERS:
            return option_labels(item)
        return item.options if self.template in BARE else option_lines(item)

    def text(self, item: MultipleChoice) -> str:
        """Return the prompt of the template `plain`: worked examples, question, answer cue.

        Of the template `verbatim`: the question as it stands.
        """
        if self.template == VERBATIM:
            return item.question
        shots = [
            f"{question_message(shot).content}\n{cue(shot.language)} {answer_text(shot)}\n\n"
            for shot in self.shots.get(item.language, ())
        ]
        return "".join(shots) + f"{question_message(item).content}\n{cue(item.language)}"


def cue(code: str) -> str:
    """Return the words before a plain answer, such as `Answer:`."""
    return pack(code).frames["answer_line"].replace("{answer}", "").strip()


def draw_shots(
    pool: Sequence[MultipleChoice], count: int, *, seed: int
) -> dict[str, tuple[MultipleChoice, ...]]:
    """Return the same worked examples for all questions of a language, so that they share a prefix."""
    by_language: dict[str, list[MultipleChoice]] = {}
    for item in pool:
        if item.answers:
            by_language.setdefault(item.language, []).append(item)
    return {
        code: tuple(sorted(items, key=lambda item: Random(f"{seed}:{item.id}").random())[:count])
        for code, items in by_language.items()
    }


def turned(item: MultipleChoice, by: int) -> MultipleChoice:
    """Return the item with its options moved on by `by` places, in a circle, and the answers with them."""
    n = len(item.options)
    return structs.replace(
        item,
        options=tuple(item.options[(index + by) % n] for index in range(n)),
        answers=tuple(sorted((index - by) % n for index in item.answers)),
    )
