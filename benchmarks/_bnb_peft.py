"""The usual way to adapt four-bit experts, put to the audit that ours has to pass.

bitsandbytes' `replace_parameter_4bit` on both expert projections and PEFT's `target_parameters` on both, by
full paths. The outer wrapper opens torch's parametrize cache; the inner one reads its parameter before it has
registered its own change, so that the change is never seen: no gradient, no effect on the output.
"""

import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bimedix.errors import BimedixError
from bimedix.model.adapters import ATTENTION_PARTS, attach, audit_trained, hash_tensors, named_adapters
from bimedix.model.layouts import write_peft
from bimedix.model.load import tiny_model
from bimedix.model.nf4 import Nf4Weight
from bimedix.model.settings import AdapterSettings, TinySettings

PROJECTIONS = ("gate_up_proj", "down_proj")
EQUAL = 1e-4
"""Largest relative difference of logits (Frobenius norm, float32) that counts as equal."""


def rounded_model(shape: TinySettings) -> Any:
    """Return a model whose attention and experts are what their NF4 says, so that packing loses nothing."""
    model = tiny_model(shape)
    for layer in model.model.layers:
        linear = [getattr(layer.self_attn, name) for name in ATTENTION_PARTS.values()]
        owned = [(module, "weight") for module in linear]
        for owner, name in [*owned, *((layer.mlp.experts, name) for name in PROJECTIONS)]:
            weight = getattr(owner, name)
            weight.data = Nf4Weight(weight.data, "float32").dense(torch.float32)
    return model


def bnb_model(shape: TinySettings, config: Any) -> Any:
    """Return the same model with its experts in bitsandbytes' NF4, and PEFT's adapters."""
    from bitsandbytes.nn.parametrize import replace_parameter_4bit
    from peft import get_peft_model

    model = rounded_model(shape)
    for layer in model.model.layers:
        for name in PROJECTIONS:
            replace_parameter_4bit(layer.mlp.experts, name, compress_statistics=False, quant_type="nf4")
    config.inference_mode = False
    config.target_parameters = [
        f"model.layers.{at}.{name}"
        for at in range(shape.layers)
        for name in (*(f"mlp.experts.{p}" for p in PROJECTIONS), "mlp.gate.weight")
    ]
    return get_peft_model(model, config)


def adapters_of(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield (place and side, parameter) of PEFT's adapters; wrappers inside one another by what they wrap."""
    for name, module in model.named_modules():
        if len(getattr(module, "lora_A", {})):
            wrapped = getattr(module, "parameter_name", "")
            place = name.removeprefix("base_model.model.").replace(".base_layer", "")
            place = f"{place}.{wrapped}".removesuffix(".weight").removesuffix(".")
            yield f"{place}.lora_A", module.lora_A["default"].weight
            yield f"{place}.lora_B", module.lora_B["default"].weight


def step_and_audit(
    model: Any, named: Callable[[Any], Iterator[tuple[str, Tensor]]], ids: Tensor
) -> tuple[Tensor, str]:
    """Take one step of gradient descent; return the logits before it and what a failed audit says."""
    before = hash_tensors(named(model))
    out = model(input_ids=ids, labels=ids, use_cache=False)
    out.loss.backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    torch.optim.SGD(trained, lr=1.0).step()
    try:
        audit_trained(before, hash_tensors(named(model)))
    except BimedixError as error:
        return out.logits.detach(), str(error)
    return out.logits.detach(), ""


def second_pass(model: Any, ids: Tensor) -> str:
    """Return how the next forward pass ends: PEFT leaves what it put over a packed parameter where it is."""
    try:
        model(input_ids=ids)
    except RuntimeError as error:
        return f"RuntimeError: {error}".split("\n")[0]
    return "done"


def audit(shape: TinySettings, settings: AdapterSettings, ids: Tensor) -> dict[str, Any]:
    """Return what both arms come to; logits are compared with PEFT over the unpacked weights.

    Args:
        shape: inputs of every matrix in blocks of 64.
        settings: `router` has to be "lora".
        ids: tokens enough that every expert gets some, [B, T].
    """
    from peft import PeftConfig, PeftModel

    ours = attach(rounded_model(shape), settings)
    source = torch.Generator().manual_seed(5)
    for _, view in named_adapters(ours):
        view.normal_(0, 0.05, generator=source)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_peft(ours, Path(folder), "fused")
        reference = PeftModel.from_pretrained(rounded_model(shape), folder, is_trainable=True)
        theirs = bnb_model(shape, PeftConfig.from_pretrained(folder))
        values = dict(adapters_of(reference))
        places = dict(adapters_of(theirs))
        if values.keys() != places.keys():
            raise SystemExit(f"adapters differ in name: {sorted(values.keys() ^ places.keys())[:4]}")
        with torch.no_grad():
            for name, parameter in places.items():
                parameter.copy_(values[name])
            right = reference(input_ids=ids).logits
        logits, said = step_and_audit(theirs, adapters_of, ids)
        dead = [name for name, p in places.items() if p.grad is None]
        after = second_pass(theirs, ids)
    our_logits, our_said = step_and_audit(ours, named_adapters, ids)
    apart = float((logits - right).norm() / right.norm())
    ours_apart = float((our_logits - right).norm() / right.norm())
    return {
        "passed": not said,
        "said": said.split("\n")[0],
        "dead_adapters": dead,
        "logits_equal": apart <= EQUAL,
        "logits_difference": apart,
        "second_pass": after,
        "ours_passed": not our_said,
        "ours_logits_equal": ours_apart <= EQUAL,
        "ours_logits_difference": ours_apart,
    }
