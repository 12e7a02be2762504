"""A model class for lm-evaluation-harness: its tasks unchanged, scored by our planner. Needs lm-eval.

    python -m bimedix.evaluate.fast_lm run --model_args pretrained=FOLDER --tasks medmcqa --model bimedix

`bimedix` takes all arguments of the harness's own `hf`, and `adapter=FOLDER` for an adapter of ours. What
the options of a question share is read once, few-shot examples once per task, and the vocabulary is met at
scored places only. Generation, and models whose attention has a window, go the harness's way.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM

from bimedix.evaluate.scoring import run_plan
from bimedix.evaluate.trie import LEAST_PREFIX, Ids, Scoring, make_plan

BUDGET_TOKENS = 4096
"""Padded tokens that go through the model at once."""
_DEEPEST = 60
"""Levels to which groups of contexts are split."""

Request = tuple[Any, list[int], list[int]]
"""What the harness asks for: texts, ids of the context, ids of the continuation."""


@register_model("bimedix")
class FastLM(HFLM):  # type: ignore[misc]  # lm-eval has no types
    """The harness's `hf` with another way to log-likelihoods."""

    def __init__(
        self, pretrained: Any, adapter: str = "", budget: int = BUDGET_TOKENS, **options: Any
    ) -> None:
        """Load as `hf` does, then put an adapter on.

        Args:
            pretrained: folder, hub id, or a model of transformers.
            adapter: folder of an adapter that `bimedix` trained.
            budget: padded tokens of a batch; `batch_size` is for generation.
            options: of the harness's `hf`.
        """
        super().__init__(pretrained=pretrained, **options)
        self.budget = int(budget)
        self.tokens_flat = self.tokens = 0
        """Tokens that one input per continuation would have taken, and tokens that were read."""
        if adapter:
            from pathlib import Path

            from bimedix.model.adapters import load_adapter

            load_adapter(self._model, Path(adapter))

    def _loglikelihood_tokens(
        self, requests: list[Request], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """Return log-likelihood, and whether greedy decoding would write it, in the requests' order."""
        if self.backend != "causal" or self._windowed(requests):
            found: list[tuple[float, bool]] = super()._loglikelihood_tokens(
                requests, disable_tqdm=disable_tqdm, override_bs=override_bs
            )
            return found
        asked, places = by_context(requests, self.max_length)
        scores: dict[tuple[str, int], float] = {}
        greedy: dict[tuple[str, int], bool] = {}

        def done(new: dict[str, tuple[float, ...]]) -> None:
            scores.update(((name, n), value) for name, row in new.items() for n, value in enumerate(row))

        model = self._model
        model = model.get_base_model() if hasattr(model, "get_base_model") else model
        for group in groups([one.context for one in asked]):
            plan = make_plan([asked[n] for n in group])
            self.tokens_flat, self.tokens = self.tokens_flat + plan.tokens_flat, self.tokens + plan.tokens
            run_plan(model, plan, budget=self.budget, done=done, greedy=greedy)
        answers = [(scores[place], greedy[place]) for place in places]
        for (texts, *_), answer in zip(requests, answers, strict=True):
            if texts is not None:  # rolling windows have none, and are not kept
                self.cache_hook.add_partial("loglikelihood", texts, answer)
        return answers

    def _windowed(self, requests: Sequence[Request]) -> bool:
        window = getattr(self._model.config, "sliding_window", None)
        return window is not None and any(len(a) + len(b) > window for _, a, b in requests)


def by_context(requests: Sequence[Request], longest: int) -> tuple[list[Scoring], list[tuple[str, int]]]:
    """Gather the continuations of each context, and say where each request's score will stand.

    Too long contexts lose their beginning, as in the harness; equal requests are scored once.
    """
    found: dict[Ids, dict[Ids, int]] = {}
    keys: list[tuple[Ids, Ids]] = []
    for _, context, continuation in requests:
        keep = longest + 1 - len(continuation)
        key = tuple(context[-keep:]), tuple(continuation)
        keys.append(key)
        found.setdefault(key[0], {}).setdefault(key[1], len(found[key[0]]))
    names = {context: str(number) for number, context in enumerate(found)}
    asked = [Scoring(names[context], context, tuple(rows)) for context, rows in found.items()]
    return asked, [(names[context], found[context][continuation]) for context, continuation in keys]


def groups(contexts: Sequence[Ids]) -> list[list[int]]:
    """Part contexts so that what each group begins with saves most; those that share nothing stay together.

    The harness hands in the requests of all tasks at once, and each task has its own examples.
    """
    order = sorted(range(len(contexts)), key=lambda n: contexts[n])
    shared = [_common(contexts[a], contexts[b]) for a, b in pairwise(order)]
    out, rest = [], []
    for start, end, saved in _split(shared, 0, len(order), 0)[1]:
        if saved:
            out.append([order[n] for n in range(start, end)])
        else:
            rest += [order[n] for n in range(start, end)]
    return [*out, rest] if rest else out


def _common(first: Ids, second: Ids) -> int:
    return next(
        (n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b),
        min(len(first), len(second)),
    )


_Parts = list[tuple[int, int, int]]


def _split(shared: Sequence[int], start: int, end: int, depth: int) -> tuple[int, _Parts]:
    """Return the tokens saved by the best parting of sorted contexts [start, end), and its parts."""
    if end - start < 2:
        return 0, [(start, end, 0)]
    inside = shared[start : end - 1]
    least = min(inside)
    whole = least * (end - start - 1) if least >= LEAST_PREFIX else 0
    if depth >= _DEEPEST:
        return whole, [(start, end, whole)]
    cuts = [start, *(start + n + 1 for n, value in enumerate(inside) if value == least), end]
    if len(cuts) == end - start + 1:  # all differ at the same place
        return whole, [(start, end, whole)]
    parts: _Parts = []
    saved = 0
    for a, b in pairwise(cuts):
        more, found = _split(shared, a, b, depth + 1)
        saved, parts = saved + more, parts + found
    return (saved, parts) if saved > whole else (whole, [(start, end, whole)])


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()
