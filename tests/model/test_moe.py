"""The experts function against transformers, dense arithmetic, PEFT and numeric gradients."""

import pytest
import torch

from bimedix.model.adapters import gradients_by_name, named_adapters
from bimedix.model.blocks import attach, blocks, install
from bimedix.model.experts import run_experts
from bimedix.model.layouts import write_peft
from bimedix.model.moe import ExpertOptions, Factors, PlainWeights
from bimedix.model.settings import AdapterSettings

ALL = ("q", "k", "v", "o", "w1", "w2", "w3", "gate")


def loss_of(model, ids):
    logits = model(ids).logits
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def test_logits_and_loss_equal_transformers_without_adapter_values(tiny, ids, apart):
    """T1: the block alone, and adapters at zero, change nothing."""
    reference = tiny()
    logits, loss = reference(ids).logits, loss_of(reference, ids)
    swapped = tiny()
    install(swapped)
    adapted = attach(tiny(), AdapterSettings(rank=4, targets=ALL))

    assert apart(swapped(ids).logits, logits) <= 1e-6
    assert apart(adapted(ids).logits, logits) <= 1e-6
    assert abs(loss_of(adapted, ids) - loss) <= 1e-6 * abs(loss)


@pytest.mark.parametrize("router", ["full", "lora", "frozen"])
def test_logits_equal_weights_with_the_delta_folded_in(tiny, ids, apart, with_values, router):
    """T2: random adapters against W + s B A per expert, in a model of transformers."""
    settings = AdapterSettings(rank=4, alpha=6, targets=ALL, router=router)
    ours = with_values(attach(tiny(), settings))
    dense = tiny()
    adapters = dict(named_adapters(ours))
    with torch.no_grad():
        for index, layer in enumerate(dense.model.layers):
            head = f"model.layers.{index}"

            def delta(name, head=head):
                a, b = adapters[f"{head}.{name}.lora_A"], adapters[f"{head}.{name}.lora_B"]
                return settings.scale * (b @ a)

            for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
                getattr(layer.self_attn, part).weight += delta(f"self_attn.{part}")
            for expert in range(6):
                own = f"block_sparse_moe.experts.{expert}"
                gate_up = torch.cat([delta(f"{own}.w1"), delta(f"{own}.w3")])
                layer.mlp.experts.gate_up_proj[expert] += gate_up
                layer.mlp.experts.down_proj[expert] += delta(f"{own}.w2")
            if router == "lora":
                layer.mlp.gate.weight += delta("block_sparse_moe.gate")

    assert apart(ours(ids).logits, dense(ids).logits) <= 1e-5
    assert apart(ours(ids).logits, tiny()(ids).logits) > 1e-2


def peft_pairs(twin):
    """Yield (place, A, B) of PEFT's modules; experts are named by (head, targets)."""
    for index, layer in enumerate(twin.base_model.model.model.layers):
        head = f"model.layers.{index}"
        for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
            theirs = getattr(layer.self_attn, part)
            yield f"{head}.self_attn.{part}", theirs.lora_A.default, theirs.lora_B.default
        outer = layer.mlp.experts
        wrappers = {outer.parameter_name: outer, outer.base_layer.parameter_name: outer.base_layer}
        experts = f"{head}.block_sparse_moe.experts"
        for parameter, targets in (("gate_up_proj", ("w1", "w3")), ("down_proj", ("w2",))):
            theirs = wrappers[parameter]
            yield (experts, targets), theirs.lora_A.default, theirs.lora_B.default
        yield f"{head}.block_sparse_moe.gate", layer.mlp.gate.lora_A.default, layer.mlp.gate.lora_B.default


def fused(values, place, count=6):
    """Return PEFT's A [E R', in] and B [out, R' E] of a place from canonical tensors or gradients."""
    if isinstance(place, str):
        return values[f"{place}.lora_A"], values[f"{place}.lora_B"]
    head, targets = place
    a_all, b_all = [], []
    for expert in range(count):
        a_all += [values[f"{head}.{expert}.{t}.lora_A"] for t in targets]
        b_all.append(torch.block_diag(*(values[f"{head}.{expert}.{t}.lora_B"] for t in targets)))
    return torch.cat(a_all), torch.stack(b_all, dim=-1).flatten(1)


def test_every_gradient_equals_pefts_on_unquantised_experts(tiny, ids, apart, with_values, tmp_path):
    """T3: A and B of q, k, v, o, w1, w2, w3 and the router, at most 5e-6 apart; all of them non-zero."""
    from peft import PeftModel

    ours = with_values(attach(tiny(), AdapterSettings(rank=4, alpha=4, targets=ALL, router="lora")))
    write_peft(ours, tmp_path, "fused")
    twin = PeftModel.from_pretrained(tiny(), tmp_path, is_trainable=True)
    mine, theirs = loss_of(ours, ids), loss_of(twin, ids)
    mine.backward()
    theirs.backward()
    assert abs(mine - theirs) <= 1e-6 * abs(theirs)
    gradients = gradients_by_name(ours)

    for place, a, b in peft_pairs(twin):
        mine_a, mine_b = fused(gradients, place)
        own = b.weight != 0  # Off the diagonal PEFT trains what ties w1 to w3; there is no such weight here.
        assert apart(mine_a, a.weight.grad) <= 5e-6, place
        assert apart(mine_b, b.weight.grad * own) <= 5e-6, place
        assert float(mine_a.abs().max()) > 0
        assert float(mine_b.abs().max()) > 0


def random_case(experts=3, tokens=5, k=2, hidden=4, ffn=3, rank=2, dtype=torch.float64, ids=None):
    source = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(*shape, dtype=dtype, generator=source).requires_grad_()

    chosen = torch.stack([torch.randperm(experts, generator=source)[:k] for _ in range(tokens)])
    return (
        draw(tokens, hidden),
        draw(tokens, k),
        chosen if ids is None else ids,
        PlainWeights(draw(experts, 2 * ffn, hidden), draw(experts, hidden, ffn)),
        Factors(
            draw(experts, 2 * rank, hidden),
            draw(experts, ffn, rank),
            draw(experts, ffn, rank),
            draw(experts, rank, ffn),
            draw(experts, hidden, rank),
        ),
    )


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("save_gate_up", [True, False])
def test_gradients_equal_numeric_ones(save_gate_up, dropout):
    """T4: float64 gradcheck over tokens, routing weights, base weights and every factor."""
    x, shares, chosen, weights, factors = random_case()
    options = ExpertOptions(scale=0.7, save_gate_up=save_gate_up, dropout=dropout, dropout_seed=3)

    def block(x, shares, gate_up, down, *factors):
        plain = PlainWeights(gate_up, down)
        return run_experts(
            x, shares, chosen, plain, 3, options=options, trained_base=plain, factors=Factors(*factors)
        )

    assert torch.autograd.gradcheck(block, (x, shares, *weights, *factors))


@pytest.mark.parametrize("targets", [("w1",), ("w3",), ("w2",), ("w1", "w2"), ("w1", "w3")])
def test_any_set_of_targets_gives_the_folded_result(tiny, ids, apart, with_values, targets):
    """One of w1 and w3 alone finds its own half of the fused matrix."""
    settings = AdapterSettings(rank=3, alpha=6, targets=targets)
    ours = with_values(attach(tiny(), settings))
    block = blocks(ours)[0][1].experts
    x = torch.randn(12, 64)
    chosen = torch.tensor([[0, 1]] * 12)
    shares = torch.rand(12, 2)
    gate_up, down = block.gate_up_proj.clone(), block.down_proj.clone()
    with torch.no_grad():
        for target in targets:
            a, b = block.pair(target)
            delta = settings.scale * (b @ a)
            if target == "w2":
                down += delta
            else:
                rows = slice(0, 96) if target == "w1" else slice(96, None)
                gate_up[:, rows] += delta
    folded = run_experts(x, shares, chosen, PlainWeights(gate_up, down), 6)

    assert apart(block(x, shares, chosen), folded) <= 1e-5


@pytest.mark.parametrize(
    "chosen",
    [
        torch.zeros(5, 1, dtype=torch.long),
        torch.tensor([[2, 0]]),
        torch.tensor([[0, 1, 2]] * 4),
        torch.tensor([[1, 2]] * 5),
    ],
    ids=["all to one, top-1", "one token", "top-k of all", "one expert idle"],
)
def test_idle_experts_get_zero_gradients_and_never_none(chosen):
    """T5: whoever gets no token gets zeros, at any k, down to one token."""
    tokens, k = chosen.shape
    x, shares, _, weights, factors = random_case(tokens=tokens, k=k)
    out = run_experts(
        x, shares, chosen, weights, 3, options=ExpertOptions(scale=0.5), trained_base=weights, factors=factors
    )
    out.square().sum().backward()
    busy = set(chosen.flatten().tolist())

    for stack in (*weights, *factors):
        assert stack.grad is not None
        for expert in range(3):
            assert bool(stack.grad[expert].any()) == (expert in busy)


def test_dropout_leaves_the_mean_alone():
    """T8: over many masks the adapter's output is that without dropout (w2 alone, where it is linear)."""
    x, shares, chosen, weights, factors = random_case(tokens=6)
    x, shares = x.detach(), shares.detach()
    only_w2 = Factors(a2=factors.a2.detach(), b2=factors.b2.detach())

    def out(**options):
        return run_experts(x, shares, chosen, weights, 3, options=ExpertOptions(**options), factors=only_w2)

    plain = out(scale=1.0)
    drawn = [out(scale=1.0, dropout=0.3, dropout_seed=seed) for seed in range(600)]
    spread = torch.stack(drawn).std(0)

    assert float(spread.max()) > 0.1
    assert bool(((torch.stack(drawn).mean(0) - plain).abs() <= 5 * spread / 600**0.5 + 1e-12).all())
