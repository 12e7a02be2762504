"""Token trees: what several scorings share is computed once. No torch here.

A request asks for the log-probability of continuations after a context. Its inputs, context plus each
continuation without its last token, become one tree of tokens; requests that belong together (the option
orders of one question) share a tree. What all requests of a run start with, such as few-shot examples, is
taken off first and kept apart as the prefix.

Source: evaluate-serve.md, section 4.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Ids = tuple[int, ...]
LEAST_PREFIX = 16
"""Tokens below which a shared prefix is not worth a pass of its own."""


@dataclass(frozen=True)
class Scoring:
    """One context and the continuations to score after it, as token ids."""

    id: str
    context: Ids
    continuations: tuple[Ids, ...]
    tree: str = ""
    """Requests with the same tree share tokens; empty: a tree of its own."""
    cut: bool = False
    """The prompt was longer than the model reads, and lost its beginning."""
    merged: bool = False
    """The tokenizer joins the end of the prompt with the beginning of an option, so that the model reads
    other pieces than it would write; scored as lm-eval does it."""

    @property
    def inputs(self) -> tuple[Ids, ...]:
        """What the model reads for each continuation."""
        return tuple(self.context + continuation[:-1] for continuation in self.continuations)


@dataclass
class Tree:
    """Tokens of one row, parents before children."""

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    """Index of the token before it in this row; -1 for those that follow the prefix."""
    depths: list[int] = field(default_factory=list)
    """Tokens of this row on the way to it."""
    places: dict[tuple[str, int], tuple[int, ...]] = field(default_factory=dict)
    """By (request id, continuation): the tokens after which each token of the continuation is read off."""
    wanted: dict[tuple[str, int], Ids] = field(default_factory=dict)
    """By (request id, continuation): its tokens."""
    _children: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, path: Sequence[int]) -> list[int]:
        """Add a path of tokens from the root; return the index of each."""
        at, indexes = -1, []
        for token in path:
            found = self._children.get((at, token))
            if found is None:
                found = len(self.tokens)
                self._children[at, token] = found
                self.tokens.append(token)
                self.parents.append(at)
                self.depths.append(0 if at < 0 else self.depths[at] + 1)
            indexes.append(found)
            at = found
        return indexes

    @property
    def is_chain(self) -> bool:
        """No token has two children, so plain causal attention is right."""
        return all(parent == index - 1 for index, parent in enumerate(self.parents))

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class Plan:
    """How a set of requests is run."""

    prefix: Ids
    trees: tuple[Tree, ...]
    """Sorted by length and tokens, so that the order of the requests does not matter."""
    tokens_flat: int
    """Tokens with one input per distinct path and nothing shared."""
    tokens_prefix: int
    """The same with the prefix read once."""
    tokens: int
    """Tokens of this plan."""


def shared_prefix(requests: Sequence[Scoring]) -> Ids:
    """Return what all contexts start with; each keeps at least its last token, where scoring starts."""
    if len(requests) < 2:
        return ()
    first, last = min(r.context for r in requests), max(r.context for r in requests)
    most = min(len(r.context) for r in requests) - 1
    length = next(
        (i for i, (a, b) in enumerate(zip(first[:most], last[:most], strict=False)) if a != b), max(most, 0)
    )
    return first[:length] if length >= LEAST_PREFIX else ()


def make_plan(requests: Sequence[Scoring], *, shared: bool = True) -> Plan:
    """Return the cheapest way, in tokens, to run the requests.

    Args:
        requests: with different ids.
        shared: False: one row per distinct input and no prefix, as for models whose attention has a window.
    """
    flat = sum(len(path) for request in requests for path in set(request.inputs))
    prefix = shared_prefix(requests) if shared else ()
    trees: dict[str, Tree] = {}
    for request in sorted(requests, key=lambda r: (r.tree, r.id)):
        for index, path in enumerate(request.inputs):
            own = request.tree or f"\0{request.id}"
            tree = trees.setdefault(own if shared else f"{own}\0{request.id}\0{path}", Tree())
            indexes = tree.add(path[len(prefix) :])
            count = len(request.continuations[index])
            tree.places[request.id, index] = tuple(indexes[len(indexes) - count :])
            tree.wanted[request.id, index] = request.continuations[index]
    rows = tuple(sorted(trees.values(), key=lambda tree: (len(tree), tree.tokens)))
    paths = sum(len(set(request.inputs)) for request in requests)
    return Plan(
        prefix,
        rows,
        tokens_flat=flat,
        tokens_prefix=flat - len(prefix) * paths + len(prefix),
        tokens=len(prefix) + sum(map(len, rows)),
    )


def batches(trees: Iterable[Tree], *, budget: int) -> list[list[Tree]]:
    """Cut trees, which come sorted by length, into batches of at most `budget` padded tokens."""
    out: list[list[Tree]] = []
    for tree in trees:
        if out and (len(out[-1]) + 1) * len(tree) <= budget:
            out[-1].append(tree)
        else:
            out.append([tree])
    return out
