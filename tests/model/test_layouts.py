"""PEFT's layouts both ways, against PEFT itself."""

import json

import pytest
import torch

from bimedix.errors import DataError, UsageError
from bimedix.model.adapters import named_adapters
from bimedix.model.blocks import attach, blocks
from bimedix.model.layouts import read_peft, write_peft
from bimedix.model.load import tiny_model
from bimedix.model.places import PEFT_CARD
from bimedix.model.settings import PAPER_TARGETS, AdapterSettings, TinySettings

SHAPES = {"wide": (64, 96), "hidden = 2 ffn": (64, 32), "square": (64, 64)}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def base(request):
    """Return a maker of plain models; the last two shapes let a transposed matrix fit."""
    hidden, ffn = request.param
    shape = TinySettings(hidden=hidden, ffn=ffn, layers=2, experts=4, vocab=300, init_std=0.2)
    return lambda: tiny_model(shape)


@pytest.mark.parametrize("layout", ["experts", "fused"])
@pytest.mark.parametrize("router", ["full", "lora"])
def test_peft_loads_what_we_write(base, ids, tmp_path, with_values, apart, layout, router):
    """T19: the same logits in PEFT, in either layout, with a router trained either way."""
    peft = pytest.importorskip("peft")
    model = with_values(attach(base(), AdapterSettings(rank=4, alpha=6, router=router)))
    if router == "full":
        for _, block in blocks(model):
            block.gate.weight.data += 0.1 * torch.randn_like(block.gate.weight)
    write_peft(model, tmp_path, layout)
    theirs = peft.PeftModel.from_pretrained(base(), tmp_path)

    assert apart(theirs(ids).logits, model(ids).logits) <= 1e-5
    assert apart(base()(ids).logits, model(ids).logits) > 1e-2


@pytest.mark.parametrize("layout", ["experts", "fused"])
@pytest.mark.parametrize("targets", [PAPER_TARGETS, ("w1", "w2"), ("w3",), ("q", "gate")])
def test_we_read_what_we_write(base, tmp_path, with_values, layout, targets):
    """Both layouts come back to the same canonical tensors, a half of w1 and w3 alone included."""
    model = with_values(attach(base(), AdapterSettings(rank=4, alpha=6, targets=targets, router="lora")))
    write_peft(model, tmp_path, layout)
    again = dict(named_adapters(read_peft(base(), tmp_path)))

    for name, tensor in named_adapters(model):
        assert torch.equal(again.pop(name), tensor), name
    assert not any(bool(left.any()) for left in again.values())


def test_we_read_what_peft_saves(base, ids, tmp_path, with_values, apart):
    """An adapter that went through PEFT and back has the same logits."""
    peft = pytest.importorskip("peft")
    model = with_values(attach(base(), AdapterSettings(rank=4, alpha=6, router="lora")))
    write_peft(model, tmp_path / "ours", "fused")
    peft.PeftModel.from_pretrained(base(), tmp_path / "ours").save_pretrained(tmp_path / "theirs")
    again = read_peft(base(), tmp_path / "theirs")

    assert apart(again(ids).logits, model(ids).logits) <= 1e-6


def test_a_b_that_mixes_w1_and_w3_is_refused(base, tmp_path):
    """It has no form of half the rank; dropping the rest would be silent damage."""
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(
        r=4,
        target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"],
        rank_pattern={r".*\.gate_up_proj": 8},
        init_lora_weights=False,
    )
    peft.get_peft_model(base(), config).save_pretrained(tmp_path)

    with pytest.raises(DataError, match="mixes w1 and w3"):
        read_peft(base(), tmp_path)


def test_what_we_cannot_do_is_refused(base, tmp_path, with_values):
    model = with_values(attach(base(), AdapterSettings(rank=4, router="lora")))
    write_peft(model, tmp_path, "fused")
    config = json.loads((tmp_path / PEFT_CARD).read_text())
    (tmp_path / PEFT_CARD).write_text(json.dumps(config | {"use_dora": True}))

    with pytest.raises(DataError, match="use_dora"):
        read_peft(base(), tmp_path)
    with pytest.raises(UsageError, match="below the 4 experts"):
        write_peft(attach(base(), AdapterSettings(rank=2)), tmp_path, "experts")


def test_fused_adapters_that_may_lie_either_way_round_are_refused(base, tmp_path, with_values):
    """Before 0.19 PEFT swapped inputs and outputs; a version tells, or a shape that fits one way only."""
    model = with_values(attach(base(), AdapterSettings(rank=4, router="lora")))
    write_peft(model, tmp_path, "fused")
    told = json.loads((tmp_path / PEFT_CARD).read_text())
    (tmp_path / PEFT_CARD).write_text(json.dumps(told | {"peft_version": "0.18.1"}))
    with pytest.raises(DataError, match="the other way round before"):
        read_peft(base(), tmp_path)
    (tmp_path / PEFT_CARD).write_text(json.dumps(told | {"peft_version": None}))
    if model.config.hidden_size in (model.config.intermediate_size, 2 * model.config.intermediate_size):
        with pytest.raises(DataError, match="fit either way round"):
            read_peft(base(), tmp_path)
    else:
        read_peft(base(), tmp_path)


def test_transposed_fused_adapters_are_refused(tmp_path, with_values):
    """By their shapes, whatever the version says."""
    from safetensors.torch import load_file, save_file

    shape = TinySettings(hidden=64, ffn=96, layers=1, experts=4, vocab=300)
    write_peft(
        with_values(attach(tiny_model(shape), AdapterSettings(rank=4, router="lora"))), tmp_path, "fused"
    )
    file = tmp_path / "adapter_model.safetensors"
    tensors = load_file(file)
    places = [
        name.removesuffix("lora_A.weight") for name in tensors if "experts" in name and "lora_A" in name
    ]
    for place in places:
        a, b = tensors[f"{place}lora_A.weight"], tensors[f"{place}lora_B.weight"]
        tensors[f"{place}lora_A.weight"], tensors[f"{place}lora_B.weight"] = (
            b.T.contiguous(),
            a.T.contiguous(),
        )
    save_file(tensors, file)

    with pytest.raises(DataError, match=r"the model needs \[32, 64\] and \[192, 32\]"):
        read_peft(tiny_model(shape), tmp_path)
