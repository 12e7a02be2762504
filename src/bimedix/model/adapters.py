"""Name adapters, store them, prove that they were trained, merge them.

There is one canonical form, with the names of Mixtral's checkpoints, one pair A, B per matrix and expert:

    model.layers.L.self_attn.q_proj.lora_A                   [R, in]   and lora_B [out, R]
    model.layers.L.block_sparse_moe.experts.E.w1.lora_A      (w2, w3 alike)
    model.layers.L.block_sparse_moe.gate.lora_A, or gate.weight when the router is trained in full
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from bimedix.errors import BimedixError, DataError, MissingError
from bimedix.files import read_json, write_json, written_whole
from bimedix.model.blocks import ATTENTION_PARTS, DENSE_PARTS, MoeBlock, attach
from bimedix.model.load import expert_names
from bimedix.model.lora import LoraLinear
from bimedix.model.nf4 import Nf4Weight
from bimedix.model.places import CARD
from bimedix.model.settings import AdapterSettings

WEIGHTS = "adapter.safetensors"


def named_adapters(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield (canonical name, view) of every trained adapter tensor; writing to a view writes the adapter."""
    names = expert_names(model.config.model_type)
    for index, layer in enumerate(model.model.layers):
        head = f"model.layers.{index}"
        yield from _named_linear(layer.self_attn, f"{head}.self_attn", ATTENTION_PARTS)
        if not isinstance(layer.mlp, MoeBlock):
            yield from _named_linear(layer.mlp, f"{head}.mlp", DENSE_PARTS)
            continue
        gate, experts = layer.mlp.gate, layer.mlp.experts
        if gate.mode == "full":
            yield f"{head}.{names.block}.gate.weight", gate.weight.data
        elif gate.lora_a is not None and gate.lora_b is not None:
            yield f"{head}.{names.block}.gate.lora_A", gate.lora_a.data
            yield f"{head}.{names.block}.gate.lora_B", gate.lora_b.data
        for target in experts.targets:
            a, b = experts.pair(target)
            for expert in range(experts.count):
                own = f"{head}.{names.block}.experts.{expert}.{getattr(names, target)}"
                yield f"{own}.lora_A", a.data[expert]
                yield f"{own}.lora_B", b.data[expert]


def _named_linear(parent: nn.Module, head: str, parts: Mapping[str, str]) -> Iterator[tuple[str, Tensor]]:
    for name in parts.values():
        layer = getattr(parent, name, None)
        if isinstance(layer, LoraLinear):
            yield f"{head}.{name}.lora_A", layer.lora_a.data
            yield f"{head}.{name}.lora_B", layer.lora_b.data


def save_adapter(model: Any, folder: Path) -> None:
    """Write the adapters as safetensors and their settings as JSON."""
    base = getattr(model, "loaded_from", None)
    told = {"architecture": type(model).__name__}
    if base and Path(base) != (folder.parent / "base").resolve():
        told["base_model"] = base
    write_adapter(folder, dict(named_adapters(model)), model.adapter_settings, told)


def write_adapter(
    folder: Path, tensors: Mapping[str, Tensor], settings: AdapterSettings, told: Mapping[str, str]
) -> None:
    """Write tensors under canonical names, and a card with their settings and what else is told."""
    from safetensors.torch import save_file

    own = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    with written_whole(folder / WEIGHTS) as part:
        save_file(own, part, metadata={"format": "pt"})
    write_json(folder / CARD, {"format": 1, **told, "settings": asdict(settings)})


def read_adapter_settings(folder: Path) -> AdapterSettings:
    """Return the settings that an adapter folder was written with."""
    if not (folder / CARD).exists():
        raise MissingError(f"{folder}: no {CARD}; this is not an adapter folder.")
    try:
        return msgspec.convert(read_json(folder / CARD)["settings"], AdapterSettings)
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        raise DataError(f"{folder / CARD}: not the settings of an adapter: {error}.") from error


def load_adapter(model: Any, folder: Path, settings: AdapterSettings | None = None) -> Any:
    """Attach the adapters of a folder to a model without; every tensor has to find its place.

    Args:
        settings: the folder's own where None; to keep the base in another format.

    Raises:
        DataError: names or shapes of the file and of the model differ; nothing is dropped silently.
    """
    from safetensors.torch import load_file

    attach(model, settings or read_adapter_settings(folder))
    if not (folder / WEIGHTS).exists():
        raise MissingError(f"{folder}: no {WEIGHTS}.")
    put_adapters(model, load_file(folder / WEIGHTS), str(folder / WEIGHTS))
    return model


def put_adapters(model: Any, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy tensors by canonical name into the model's adapters; both sides need the same names."""
    own = dict(named_adapters(model))
    if own.keys() != tensors.keys():
        more, less = sorted(tensors.keys() - own.keys()), sorted(own.keys() - tensors.keys())
        raise DataError(
            f"{source}: {len(more)} tensors have no place in the model (such as {more[:2]}), "
            f"{len(less)} of the model's adapters are not in the file (such as {less[:2]})."
        )
    for name, view in own.items():
        if view.shape != tensors[name].shape:
            raise DataError(
                f"{source}: {name} has shape {tuple(tensors[name].shape)}, the model's {tuple(view.shape)}."
            )
        view.copy_(tensors[name])


def fingerprints(model: Any) -> dict[str, str]:
    """Return a hash of every adapter tensor by canonical name."""
    return hash_tensors(named_adapters(model))


def hash_tensors(named: Iterable[tuple[str, Tensor]]) -> dict[str, str]:
    """Return a hash of every tensor's bytes."""
    return {
        name: hashlib.blake2b(
            tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes(), digest_size=16
        ).hexdigest()
        for name, tensor in named
    }


def audit_trained(
    before: Mapping[str, str], after: Mapping[str, str], idle: frozenset[tuple[int, int]] = frozenset()
) -> None:
    """Raise when an adapter that was declared did not move between two fingerprints.

    B starts at zero, so that the first thing to move in a pair is B: a B that stands still has had no
    gradient at all. `idle` names (layer, expert) that received no token, where this is as it should be.

    Raises:
        BimedixError: names how many stood still, and some of them.
    """
    if before.keys() != after.keys():
        raise BimedixError("the adapters before and after training have different names.")
    still = [
        name
        for name in before
        if not name.endswith("lora_A") and before[name] == after[name] and _place(name) not in idle
    ]
    if still:
        raise BimedixError(
            f"{len(still)} of {len(before)} adapter tensors did not change in training, such as "
            f"{', '.join(still[:3])}.\n  They had no gradient; this adapter must not be used."
        )


def _place(name: str) -> tuple[int, int] | None:
    """Return (layer, expert) of an expert's tensor by its canonical name; None for all others."""
    found = re.search(r"\.layers\.(\d+)\..*\.experts\.(\d+)\.", name)
    return (int(found[1]), int(found[2])) if found else None


def router_as_lora(start_EH: Tensor, trained_EH: Tensor) -> tuple[Tensor, Tensor]:
    """Return A [E, H] and B [E, E] with start + B A = trained: a change of E rows has rank E at most.

    B is the identity, so that A is the change itself and nothing is lost but the subtraction's rounding.
    """
    return trained_EH - start_EH, torch.eye(len(start_EH), dtype=start_EH.dtype)


def gradients_by_name(model: Any) -> dict[str, Tensor]:
    """Return the gradients of all adapters under their canonical names, zeros where there is none."""
    trained = [p for p in model.parameters() if p.requires_grad]
    values = [p.data for p in trained]
    try:
        for p in trained:
            p.data = torch.zeros_like(p) if p.grad is None else p.grad.detach().clone()
        return {name: view.clone() for name, view in named_adapters(model)}
    finally:
        for p, value in zip(trained, values, strict=True):
            p.data = value


def measure_bits(model: Any) -> dict[str, float]:
    """Return bits per frozen weight by part, counted from the tensors that are really there."""
    sizes: dict[str, list[float]] = {}
    for name, tensor in model.state_dict().items():
        if ".lora_" in name:
            continue
        part = next((label for mark, label in _PARTS if mark in name), "other")
        counted = sizes.setdefault(part, [0.0, 0.0])
        counted[0] += 8 * tensor.numel() * tensor.element_size()
        quantised = name.endswith((".scales", ".second_scales", ".mean"))
        counted[1] += 0 if quantised else tensor.numel() * (2 if name.endswith(".packed") else 1)
    return {part: round(bits / weights, 4) for part, (bits, weights) in sizes.items()}


_PARTS = (
    (".experts.", "experts"),
    (".self_attn.", "attention"),
    ("embed_tokens", "embeddings"),
    ("lm_head", "embeddings"),
    (".gate.", "router"),
    ("norm", "norms"),
)


def count_weights(model: nn.Module) -> int:
    """Return the number of weights, those in NF4 included."""
    packed = [module for module in model.modules() if isinstance(module, Nf4Weight)]
    return sum(p.numel() for p in model.parameters()) + sum(2 * weight.packed.numel() for weight in packed)


def count_trainable(model: nn.Module) -> int:
    """Return the number of parameters that training changes."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
