"""Token trees and plans."""

from random import Random

from bimedix.evaluate.trie import Plan, Scoring, Tree, batches, make_plan, shared_prefix


def requests(count: int, *, shared: int = 0, seed: int = 1) -> list[Scoring]:
    draw = Random(seed)
    head = tuple(draw.randrange(1000) for _ in range(shared))
    return [
        Scoring(
            f"r{number}",
            head + tuple(draw.randrange(1000) for _ in range(draw.randint(3, 20))),
            tuple(tuple(draw.randrange(1000) for _ in range(draw.randint(1, 4))) for _ in range(4)),
        )
        for number in range(count)
    ]


def paths(plan: Plan) -> dict[tuple[str, int], list[int]]:
    """Walk every tree back from the last token of each continuation."""
    found = {}
    for tree in plan.trees:
        for key, places in tree.places.items():
            at, walked = places[-1], []
            while at >= 0:
                walked.append(tree.tokens[at])
                at = tree.parents[at]
            found[key] = [*plan.prefix, *reversed(walked)]
    return found


def test_every_input_can_be_walked_in_its_tree() -> None:
    """Prefix and ancestors of the last token give back context and continuation, without its last token."""
    for shared in (0, 40):
        asked = requests(20, shared=shared)
        walked = paths(make_plan(asked))

        for request in asked:
            for index, path in enumerate(request.inputs):
                assert tuple(walked[request.id, index]) == path


def test_the_prefix_is_what_all_contexts_share_and_leaves_each_a_token() -> None:
    """Equal contexts keep their last token, where the first continuation token is read off."""
    asked = requests(5, shared=40)
    same = [Scoring(f"s{n}", tuple(range(30)), ((n,),)) for n in range(3)]

    assert shared_prefix(asked) == asked[0].context[:40]
    assert shared_prefix(same) == tuple(range(29))
    assert shared_prefix(requests(5)) == () == shared_prefix(asked[:1])


def test_a_plan_never_costs_more_than_flat() -> None:
    for seed in range(20):
        plan = make_plan(requests(15, shared=seed * 3, seed=seed))

        assert plan.tokens <= plan.tokens_prefix <= plan.tokens_flat


def test_letter_options_are_one_row() -> None:
    """Continuations of one token have the same input."""
    plan = make_plan([Scoring("q", (1, 2, 3), ((7,), (8,), (9,)))])

    assert (plan.tokens, plan.tokens_flat) == (3, 3)


def test_orders_of_one_question_share_its_stem() -> None:
    stem = tuple(range(100))
    orders = [Scoring(f"o{n}", (*stem, 200 + n, 300 + n), ((1,), (2,)), tree="q") for n in range(4)]
    plan = make_plan([*orders, *requests(2)])
    tree = next(tree for tree in plan.trees if ("o0", 0) in tree.places)

    assert len(tree) == 100 + 4 * 2


def test_batches_do_not_depend_on_the_order_of_requests() -> None:
    asked = requests(30, shared=20)
    mixed = Random(3).sample(asked, len(asked))
    cut = [[tree.tokens for tree in batch] for batch in batches(make_plan(asked).trees, budget=60)]

    assert cut == [[tree.tokens for tree in batch] for batch in batches(make_plan(mixed).trees, budget=60)]
    assert all(len(batch) * max(map(len, batch)) <= 60 or len(batch) == 1 for batch in cut)


def test_batches_stay_the_same_when_some_are_left_out() -> None:
    """A run that goes on after a kill cuts the remaining batches alike."""
    trees = make_plan(requests(40)).trees
    whole = batches(trees, budget=100)
    left: list[Tree] = [tree for batch in whole[1::2] for tree in batch]

    assert batches(left, budget=100) == whole[1::2]
