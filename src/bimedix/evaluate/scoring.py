"""Scores continuations with a local model: shared prefix once, options as a tree, no padding in the MLPs.

The same scores as one forward per input, within 1e-4 in float32, for any order and batch size:

- batches are cut from the sorted set, so the order of the requests does not matter;
- the last layer's MLP sees the scored rows only: nothing reads what it would make of the others;
- a request whose best two options are closer than the tie guard is scored again alone, the plain way, so
  that the choice does not depend on its neighbours in a batch;
- a sample of every run is replayed the plain way and has to agree.

Works on any causal language model of transformers that takes its attention from the attention interface
(Mixtral, Qwen, Llama, Mistral). Source: evaluate-serve.md, section 4.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bimedix.errors import BimedixError, ShapeError
from bimedix.evaluate.trie import Plan, Scoring, Tree, batches, make_plan

PLANNER_VERSION = "2"
"""Part of the key of cached scores; raise it when scores may change."""
TIE_GUARD = {torch.float32: 2e-4, torch.bfloat16: 0.125, torch.float16: 0.02}
"""Margin, in log-probability, below which a request is scored again alone."""
_ATTENTION = "bimedix_rows"
_HEAD_ROWS = 512
"""Rows of the vocabulary matrix product at once: 512 x 32,000 float32 = 66 MB."""

Scores = tuple[float, ...]
"""Natural log-probability of each continuation."""


@dataclass
class Report:
    """What a run of the planner did."""

    requests: int = 0
    tokens_flat: int = 0
    """Tokens that one input per option would have taken."""
    tokens: int = 0
    """Tokens that were read."""
    guarded: int = 0
    """Requests scored again alone because the best two options were close."""
    verified: int = 0
    """Requests replayed alone."""
    largest_difference: float = 0.0
    """Largest |difference| in log-probability between the plan and the replay."""
    cut: int = 0
    """Requests whose prompt was longer than the model reads, and lost its beginning."""
    merged: int = 0
    """Requests where the tokenizer joins prompt and option at their border."""
    flat: bool = False
    """The model's attention has a window shorter than the inputs: nothing could be shared."""


@dataclass
class _Rows:
    """What the attention of a batch needs to know."""

    slots: Tensor
    """(N, L) index into the packed tokens for every padded place; -1 is padding."""
    packed: Tensor
    """(T,) for every packed token its padded place, flattened."""
    mask: Tensor | None
    """(N, L, prefix + L) additive mask over prefix and own keys; None: plain causal."""
    prefix: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Keys and values of the prefix by layer."""
    keep: bool = False
    """This batch is the prefix: keep its keys and values."""


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Attention of packed rows: each token sees the prefix and its own ancestors.

    query is (1, heads, T, d), key and value (1, kv heads, T, d); returns (1, T, heads, d).
    """
    rows: _Rows = options["bimedix_rows"]
    if rows.keep:
        rows.prefix[module.layer_idx] = (key, value)
        mixed = functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=options["scaling"], enable_gqa=True
        )
        return mixed.transpose(1, 2), None
    n, length = rows.slots.shape
    padded = rows.slots.clamp_min(0).reshape(-1)

    def spread(x: Tensor) -> Tensor:
        return x[0][:, padded].reshape(x.shape[1], n, length, -1).transpose(0, 1)

    keys_NHLD, values_NHLD = spread(key), spread(value)
    if rows.prefix:
        before_k, before_v = rows.prefix[module.layer_idx]
        keys_NHLD = torch.cat((before_k.expand(n, -1, -1, -1), keys_NHLD), dim=2)
        values_NHLD = torch.cat((before_v.expand(n, -1, -1, -1), values_NHLD), dim=2)
    mixed = functional.scaled_dot_product_attention(
        spread(query),
        keys_NHLD,
        values_NHLD,
        attn_mask=None if rows.mask is None else rows.mask.unsqueeze(1),
        is_causal=rows.mask is None,
        scale=options["scaling"],
        enable_gqa=True,
    )
    return mixed.transpose(1, 2).reshape(n * length, query.shape[1], -1)[rows.packed].unsqueeze(0), None


@contextmanager
def _own_attention(model: Any) -> Iterator[None]:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(_ATTENTION, _attend)
    before = model.config._attn_implementation
    model.set_attn_implementation(_ATTENTION)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _rows_of(trees: Sequence[Tree], prefix: int, dtype: torch.dtype, device: torch.device) -> _Rows:
    length = max(map(len, trees))
    slots = torch.full((len(trees), length), -1)
    start = 0
    for row, tree in enumerate(trees):
        slots[row, : len(tree)] = torch.arange(start, start + len(tree))
        start += len(tree)
    mask = None
    if prefix or not all(tree.is_chain for tree in trees):
        seen = torch.stack([_ancestors(tree, length) for tree in trees])
        seen = functional.pad(seen, (prefix, 0), value=True)
        mask = torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, float("-inf")).to(device)
    places = (slots.reshape(-1) >= 0).nonzero().squeeze(1)
    return _Rows(slots.to(device), places.to(device), mask)


def _ancestors(tree: Tree, length: int) -> Tensor:
    """Return (length, length): who sees whom; padding sees itself, so that no row is empty."""
    if tree.is_chain:
        return torch.ones(length, length, dtype=torch.bool).tril()
    seen = torch.eye(length, dtype=torch.bool)
    for index, parent in enumerate(tree.parents):
        if parent >= 0:
            seen[index] |= seen[parent]
    return seen


@contextmanager
def _last_mlp_on(model: Any, rows_R: Tensor) -> Iterator[None]:
    """Let the last MLP see these rows of (1, T, width) only, and leave zeros in the others."""
    mlp = getattr(model.get_decoder().layers[-1], "mlp", None)
    if mlp is None:
        yield
        return
    lengths: list[int] = []

    def narrow(_: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        lengths.append(given[0].shape[1])
        return (given[0][:, rows_R], *given[1:])

    def widen(_: Any, given: Any, made: Any) -> Any:
        narrow_out = made[0] if isinstance(made, tuple) else made
        whole = narrow_out.new_zeros(1, lengths.pop(), narrow_out.shape[-1])
        whole[:, rows_R] = narrow_out
        return (whole, *made[1:]) if isinstance(made, tuple) else whole

    hooks = mlp.register_forward_pre_hook(narrow), mlp.register_forward_hook(widen)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _hidden(
    model: Any, tokens: Sequence[int], positions: Sequence[int], rows: _Rows, places_R: Tensor
) -> Tensor:
    """Return the last hidden states (R, width) of packed tokens at R places."""
    device = model.get_input_embeddings().weight.device
    places_R = places_R.to(device)
    with _last_mlp_on(model, places_R):
        out = model.get_decoder()(
            input_ids=torch.tensor([list(tokens)], device=device),
            position_ids=torch.tensor([list(positions)], device=device),
            use_cache=False,
            bimedix_rows=rows,
        )
    hidden: Tensor = out.last_hidden_state[0, places_R]
    return hidden


def _log_probabilities(model: Any, hidden_RH: Tensor, tokens_R: Tensor) -> Tensor:
    """Return float32 log-probabilities of one token per row."""
    head = model.get_output_embeddings()
    logits = functional.log_softmax(head(hidden_RH).float(), dim=-1)
    return logits.gather(1, tokens_R.unsqueeze(1)).squeeze(1)


@torch.inference_mode()
def score_alone(model: Any, request: Scoring) -> Scores:
    """Score one request the plain way: one forward per continuation, the model's own attention."""
    device = model.get_input_embeddings().weight.device
    out = []
    for path, continuation in zip(request.inputs, request.continuations, strict=True):
        hidden = model.get_decoder()(input_ids=torch.tensor([list(path)], device=device), use_cache=False)
        last = hidden.last_hidden_state[0, len(path) - len(continuation) :]
        found = _log_probabilities(model, last, torch.tensor(continuation, device=device))
        out.append(float(found.double().sum()))
    return tuple(out)


@torch.inference_mode()
def run_plan(
    model: Any,
    plan: Plan,
    *,
    budget: int,
    done: Callable[[dict[str, Scores]], None],
    greedy: dict[tuple[str, int], bool] | None = None,
) -> None:
    """Run a plan; `done` is called after every batch with the scores of its requests by id.

    `greedy` is filled, where given: whether each (request id, continuation) is what greedy decoding writes.
    """
    weight = model.get_input_embeddings().weight
    with _own_attention(model):
        prefix: dict[int, tuple[Tensor, Tensor]] = {}
        if plan.prefix:
            places = torch.arange(len(plan.prefix))
            first = _Rows(places.unsqueeze(0), places, None, keep=True)
            _hidden(model, plan.prefix, range(len(plan.prefix)), first, places[-1:])
            prefix = first.prefix
        for batch in batches(plan.trees, budget=budget):
            rows = _rows_of(batch, len(plan.prefix), weight.dtype, weight.device)
            rows.prefix = prefix
            done(_score_batch(model, batch, rows, len(plan.prefix), greedy))


def _score_batch(
    model: Any,
    batch: Sequence[Tree],
    rows: _Rows,
    prefix: int,
    greedy: dict[tuple[str, int], bool] | None = None,
) -> dict[str, Scores]:
    tokens = [token for tree in batch for token in tree.tokens]
    positions = [prefix + depth for tree in batch for depth in tree.depths]
    keys: list[tuple[str, int]] = []
    places: list[int] = []
    wanted: list[int] = []
    start = 0
    for tree in batch:
        for key, indexes in tree.places.items():
            keys += [key] * len(indexes)
            places += [start + index for index in indexes]
            wanted += tree.wanted[key]
        start += len(tree)
    rows_once, row_of = torch.unique(torch.tensor(places), return_inverse=True)
    hidden_RH = _hidden(model, tokens, positions, rows, rows_once)
    found, best = _gathered(model, hidden_RH, row_of, torch.tensor(wanted), greedy is not None)
    if greedy is not None:
        for key, is_best in zip(keys, best.tolist(), strict=True):
            greedy[key] = greedy.get(key, True) and is_best
    sums: dict[tuple[str, int], float] = {}
    for key, value in zip(keys, found.double().tolist(), strict=True):
        sums[key] = sums.get(key, 0.0) + value
    by_id: dict[str, dict[int, float]] = {}
    for (name, index), value in sums.items():
        by_id.setdefault(name, {})[index] = value
    return {name: tuple(values[index] for index in sorted(values)) for name, values in by_id.items()}


def _gathered(
    model: Any, hidden_RH: Tensor, row_of_W: Tensor, tokens_W: Tensor, want_best: bool
) -> tuple[Tensor, Tensor]:
    """Return float32 log-probabilities of W (row, token) pairs; each row meets the vocabulary once.

    And whether each token is the likeliest of its row, where that is wanted.
    """
    head = model.get_output_embeddings()
    out, best = torch.empty(len(tokens_W)), torch.zeros(len(tokens_W), dtype=torch.bool)
    for start in range(0, len(hidden_RH), _HEAD_ROWS):
        logits = head(hidden_RH[start : start + _HEAD_ROWS]).float()
        mine = ((row_of_W >= start) & (row_of_W < start + len(logits))).nonzero().squeeze(1)
        rows, tokens = (row_of_W[mine] - start).to(logits.device), tokens_W[mine].to(logits.device)
        out[mine] = (logits[rows, tokens] - logits.logsumexp(dim=-1)[rows]).cpu()
        if want_best:
            best[mine] = (logits.argmax(dim=-1)[rows] == tokens).cpu()
    return out, best


def score(
    model: Any,
    requests: Sequence[Scoring],
    *,
    budget: int = 2048,
    verify: int = 32,
    seed: int = 17,
    known: Callable[[str], Scores | None] = lambda _: None,
    keep: Callable[[dict[str, Scores]], None] = lambda scores: None,
) -> tuple[dict[str, Scores], Report]:
    """Score requests and return their scores by id, and what was done.

    Args:
        model: a causal language model of transformers, in evaluation mode.
        requests: with different ids.
        budget: padded tokens of a batch.
        verify: how many requests to replay alone.
        seed: chooses them.
        known: scores from an earlier run, by id; a batch is run again when one of its requests is not known,
            so that a run that was killed gives the same bytes.
        keep: takes the scores of every batch as it is done.

    Raises:
        BimedixError: a replay differs by more than 1e-4 in float32, or chooses another option.
        ShapeError: two requests have one id, or a continuation is empty.
    """
    _check(requests)
    longest = max((len(path) for request in requests for path in request.inputs), default=0)
    window = getattr(model.config, "sliding_window", None)
    report = Report(
        requests=len(requests),
        cut=sum(request.cut for request in requests),
        merged=sum(request.merged for request in requests),
        flat=window is not None and longest > window,
    )
    if report.flat:
        return dict(_one_by_one(model, requests, known, keep)), report
    plan = make_plan(requests)
    report.tokens_flat, report.tokens = plan.tokens_flat, plan.tokens
    scores = _with_known(model, plan, budget, known, keep)
    by_id = {request.id: request for request in requests}
    guard = TIE_GUARD.get(model.get_input_embeddings().weight.dtype, 0.125)
    for name in sorted(name for name, values in scores.items() if _margin(values) < guard):
        scores[name] = score_alone(model, by_id[name])
        report.guarded += 1
    _replay(model, by_id, scores, report, verify, seed)
    return scores, report


def _one_by_one(
    model: Any,
    requests: Sequence[Scoring],
    known: Callable[[str], Scores | None],
    keep: Callable[[dict[str, Scores]], None],
) -> Iterator[tuple[str, Scores]]:
    for request in requests:
        found = known(request.id)
        if found is None:
            found = score_alone(model, request)
            keep({request.id: found})
        yield request.id, found


def _check(requests: Sequence[Scoring]) -> None:
    if len({request.id for request in requests}) != len(requests):
        raise ShapeError(
            "two scoring requests have the same id; ids name the scores, so they have to differ."
        )
    for request in requests:
        if not request.context or not all(request.continuations):
            raise ShapeError(f"{request.id}: a context and every continuation need at least one token.")


def _with_known(
    model: Any,
    plan: Plan,
    budget: int,
    known: Callable[[str], Scores | None],
    keep: Callable[[dict[str, Scores]], None],
) -> dict[str, Scores]:
    """Run the batches that are not wholly known; batches are cut from the whole plan all the same."""
    scores: dict[str, Scores] = {}
    open_trees: list[Tree] = []
    for batch in batches(plan.trees, budget=budget):
        names = sorted({name for tree in batch for name, _ in tree.places})
        found = {name: known(name) for name in names}
        if all(value is not None for value in found.values()):
            scores |= {name: value for name, value in found.items() if value is not None}
        else:
            open_trees += batch

    def done(new: dict[str, Scores]) -> None:
        keep(new)
        scores.update(new)

    if open_trees:
        run_plan(model, Plan(plan.prefix, tuple(open_trees), 0, 0, 0), budget=budget, done=done)
    return scores


def _margin(values: Scores) -> float:
    best = sorted(values, reverse=True)
    return best[0] - best[1] if len(best) > 1 else float("inf")


def _replay(
    model: Any, by_id: dict[str, Scoring], scores: dict[str, Scores], report: Report, verify: int, seed: int
) -> None:
    exact = model.get_input_embeddings().weight.dtype == torch.float32
    for name in Random(seed).sample(sorted(by_id), min(verify, len(by_id))):
        alone = score_alone(model, by_id[name])
        apart = max(abs(a - b) for a, b in zip(alone, scores[name], strict=True))
        report.verified += 1
        report.largest_difference = max(report.largest_difference, apart)
        if exact and (apart > 1e-4 or _best(alone) != _best(scores[name])):
            raise BimedixError(
                f"{name}: scored together with others its log-probabilities differ by {apart:.2e} from "
                "scoring it alone; at most 1e-4 is allowed in float32.\n"
                "  This is a fault of the scorer for this architecture: please report its config.json."
            )


def _best(values: Scores) -> int:
    return max(range(len(values)), key=lambda index: values[index])
