"""Adapter folders in the layouts of PEFT, both ways; nothing is guessed from shapes or left out.

`experts`: a pair per expert under the names of Mixtral's checkpoints (`experts.3.w1`): what inference
servers read, and PEFT for transformers 5 by its own conversion. `fused`: PEFT from 0.19 on
`target_parameters`: one A over all experts, expert slowest ([E R, in]), one B, expert fastest ([out, R E]);
w1 and w3 as one matrix of twice the rank with a block-diagonal B.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from bimedix.errors import DataError, MissingError, UsageError
from bimedix.files import read_json, write_json, written_whole
from bimedix.model.adapters import named_adapters, put_adapters, router_as_lora
from bimedix.model.blocks import Experts, attach, blocks
from bimedix.model.load import expert_names
from bimedix.model.places import PEFT_CARD
from bimedix.model.settings import AdapterSettings, RouterMode, Target

Layout = Literal["experts", "fused"]
ROOT = "base_model.model."
WEIGHTS = "adapter_model.safetensors"
_ATTENTION: dict[str, Target] = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "o_proj": "o"}


def canonical(model: Any) -> dict[str, Tensor]:
    """Return all adapters as pairs A, B by canonical name, a router trained in full as a pair as well.

    Raises:
        UsageError: the router was trained in full and the rank is below the number of experts, so that a
            file with one rank for all cannot hold it.
    """
    settings: AdapterSettings = model.adapter_settings
    found = {name: tensor.detach().clone() for name, tensor in named_adapters(model)}
    names = expert_names(model.config.model_type)
    for index, block in blocks(model):
        if block.gate.mode != "full":
            continue
        head = f"model.layers.{index}.{names.block}.gate"
        a, b = router_as_lora(block.gate.start.float(), found.pop(f"{head}.weight"))
        if settings.rank < len(a):
            raise UsageError(
                f"rank {settings.rank} is below the {len(a)} experts: PEFT's layout cannot hold a router "
                "that was trained in full.\n  Merge the adapters, or train the router by `lora`."
            )
        rows = settings.rank - len(a)
        found[f"{head}.lora_A"] = torch.nn.functional.pad(a / settings.scale, (0, 0, 0, rows))
        found[f"{head}.lora_B"] = torch.nn.functional.pad(b, (0, rows))
    return found


def write_peft(model: Any, folder: Path, layout: Layout) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors`."""
    from safetensors.torch import save_file

    settings: AdapterSettings = model.adapter_settings
    names = expert_names(model.config.model_type)
    tensors = canonical(model)
    modules = [n for n, t in _ATTENTION.items() if t in settings.targets]
    experts = [getattr(names, t) for t in ("w1", "w2", "w3") if t in settings.targets]
    gate = settings.router_mode != "frozen" and bool(blocks(model))
    config: dict[str, Any] = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": settings.rank, "lora_alpha": settings.alpha,
        "lora_dropout": 0.0, "bias": "none", "inference_mode": True,
        "base_model_name_or_path": getattr(model, "loaded_from", None),
    }  # fmt: skip
    if layout == "experts" or not blocks(model):
        config["target_modules"] = modules + experts + (["gate"] if gate else [])
        renamed = {f"{ROOT}{name}.weight": tensor for name, tensor in tensors.items()}
    else:
        fused = [p for p, own in _FUSED.items() if any(t in settings.targets for t in own)]
        config["target_modules"] = modules
        config["target_parameters"] = [f"mlp.experts.{p}" for p in fused] + ["mlp.gate.weight"] * gate
        config["rank_pattern"] = {r".*\.gate_up_proj": 2 * settings.rank}
        config["alpha_pattern"] = {r".*\.gate_up_proj": 2 * settings.alpha}
        renamed = _fuse(model, tensors, fused)
    with written_whole(folder / WEIGHTS) as part:
        save_file({n: t.cpu().contiguous() for n, t in renamed.items()}, part, metadata={"format": "pt"})
    write_json(folder / PEFT_CARD, config)


_FUSED: dict[str, tuple[Target, ...]] = {"gate_up_proj": ("w1", "w3"), "down_proj": ("w2",)}


def _place(parameter: str, fused: list[str]) -> str:
    """Return where PEFT keeps a parameter's pair: the first one wrapped is the innermost."""
    return "mlp.experts.base_layer" if parameter != fused[-1] else "mlp.experts"


def _block_diagonal(parts: list[Tensor]) -> Tensor:
    whole: Any = torch.block_diag  # untyped in torch
    joined: Tensor = whole(*parts)
    return joined


def _take_pair(left: dict[str, Tensor], name: str, experts: Experts, target: str) -> tuple[Tensor, Tensor]:
    """Take a pair out of `left`; zeros of its shape when this matrix has no adapter."""
    if f"{name}.lora_A" in left:
        return left.pop(f"{name}.lora_A"), left.pop(f"{name}.lora_B")
    _, hidden, ffn = experts.down_proj.shape
    inputs, outputs = (ffn, hidden) if target == "w2" else (hidden, ffn)
    return torch.zeros(experts.rank, inputs), torch.zeros(outputs, experts.rank)


def _fuse(model: Any, tensors: Mapping[str, Tensor], fused: list[str]) -> dict[str, Tensor]:
    """Return PEFT's fused tensors of canonical ones; a half without an adapter becomes zeros."""
    names = expert_names(model.config.model_type)
    left = dict(tensors)
    found: dict[str, Tensor] = {}
    for index, block in blocks(model):
        head = f"model.layers.{index}"
        for parameter in fused:
            whole = [
                [
                    _take_pair(
                        left, f"{head}.{names.block}.experts.{e}.{getattr(names, t)}", block.experts, t
                    )
                    for t in _FUSED[parameter]
                ]
                for e in range(block.experts.count)
            ]
            place = f"{ROOT}{head}.{_place(parameter, fused)}"
            found[f"{place}.lora_A.weight"] = torch.cat([a for expert in whole for a, _ in expert])
            b_out_r_e = torch.stack([_block_diagonal([b for _, b in e]) for e in whole], dim=-1)
            found[f"{place}.lora_B.weight"] = b_out_r_e.flatten(1)
        for side in "AB":
            gate = left.pop(f"{head}.{names.block}.gate.lora_{side}", None)
            if gate is not None:
                found[f"{ROOT}{head}.mlp.gate.lora_{side}.weight"] = gate
    return {**{f"{ROOT}{name}.weight": tensor for name, tensor in left.items()}, **found}


def read_peft(model: Any, folder: Path) -> Any:
    """Attach the adapters of a PEFT folder, in either layout, to a plain model.

    Raises:
        MissingError: the files are not there.
        DataError: the adapter does what ours cannot do (DoRA, biases, ranks by layer, a B of the fused
            w1 and w3 that is not block-diagonal), or a tensor has no place.
    """
    from safetensors.torch import load_file

    for name in (PEFT_CARD, WEIGHTS):
        if not (folder / name).exists():
            raise MissingError(f"{folder}: no {name}; this is not an adapter folder of PEFT.")
    config = read_json(folder / PEFT_CARD)
    place = folder / PEFT_CARD
    if config.get("peft_type") != "LORA":
        raise DataError(f"{place}: peft_type {config.get('peft_type')!r}; LORA is needed.")
    for key in ("use_dora", "use_rslora", "lora_bias", "modules_to_save", "fan_in_fan_out"):
        if config.get(key):
            raise DataError(f"{place}: {key} = {config[key]!r} is not supported here.")
    names = expert_names(model.config.model_type)
    tensors = {
        n.removeprefix(ROOT).removesuffix(".weight"): t for n, t in load_file(folder / WEIGHTS).items()
    }
    rank = int(config["r"])
    if config.get("target_parameters"):
        tensors = _split(tensors, model, config["target_parameters"], rank, str(folder / WEIGHTS))
    targets = _targets_of(tensors, names)
    router: RouterMode = "lora" if "gate" in targets else "full"
    settings = AdapterSettings(rank=rank, alpha=float(config["lora_alpha"]), targets=targets, router=router)
    attach(model, settings)
    put_adapters(model, tensors, str(folder / WEIGHTS))
    return model


def _targets_of(tensors: Mapping[str, Tensor], names: Any) -> tuple[Target, ...]:
    """Return which targets the names speak of."""
    leaves = {name.rsplit(".", 2)[-2] for name in tensors}
    known: dict[str, Target] = {**_ATTENTION, names.w1: "w1", names.w2: "w2", names.w3: "w3", "gate": "gate"}
    if unknown := sorted(leaves - known.keys()):
        raise DataError(f"the adapter has pairs on {', '.join(unknown)}; known: {', '.join(sorted(known))}.")
    return tuple(known[leaf] for leaf in sorted(leaves))


def _split(
    tensors: Mapping[str, Tensor], model: Any, parameters: list[str], rank: int, source: str
) -> dict[str, Tensor]:
    """Return canonical tensors of PEFT's fused ones."""
    names = expert_names(model.config.model_type)
    count = int(getattr(model.config, "num_local_experts", None) or model.config.num_experts)
    fused = [p for p in _FUSED if any(given.endswith(p) for given in parameters)]
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        head, mark, tail = name.partition(".mlp.experts.")
        if not mark:
            found[name.replace(".mlp.gate.", f".{names.block}.gate.")] = tensor
            continue
        if tail.endswith("lora_B"):
            continue
        parameter = fused[0] if tail.startswith("base_layer.") else fused[-1]
        own = _FUSED[parameter]
        a = tensor.reshape(count, len(own), rank, -1)
        b = tensors[name.removesuffix("lora_A") + "lora_B"]
        b = b.reshape(len(own), -1, len(own), rank, count)
        for at, target in enumerate(own):
            for other in range(len(own)):
                if other != at and bool(b[at, :, other].any()):
                    raise DataError(
                        f"{source}: {name}: B mixes w1 and w3 (it was trained as one matrix of rank "
                        f"{2 * rank}); this cannot be split into pairs of rank {rank} without loss.\n"
                        "  Merge it with PEFT, and load the merged model."
                    )
            for expert in range(count):
                place = f"{head}.{names.block}.experts.{expert}.{getattr(names, target)}"
                found[f"{place}.lora_A"] = a[expert, at].contiguous()
                found[f"{place}.lora_B"] = b[at, :, at, :, expert].contiguous()
    return found
