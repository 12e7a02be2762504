"""Adapter folders in the layouts of PEFT, both ways; nothing is guessed from shapes or left out.

`experts`: a pair per expert under the names of Mixtral's checkpoints (`experts.3.w1`): what inference
servers read, and PEFT for transformers 5 by its own conversion. `fused`: PEFT from 0.19 on
`target_parameters`: one A over all experts, expert slowest ([E R, in]), one B, expert fastest ([out, R E]);
w1 and w3 as one matrix of twice the rank with a block-diagonal B.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from bimedix.errors import DataError, MissingError, UsageError
from bimedix.files import read_json, write_json, written_whole
from bimedix.model.adapters import WEIGHTS as OUR_WEIGHTS
from bimedix.model.adapters import named_adapters, put_adapters, read_adapter_settings, router_as_lora
from bimedix.model.blocks import attach, blocks
from bimedix.model.load import expert_names
from bimedix.model.places import PEFT_CARD
from bimedix.model.settings import AdapterSettings, RouterMode, Target
from bimedix.model.shards import Checkpoint, shard_files

Layout = Literal["experts", "fused"]
ROOT = "base_model.model."
FUSED_SINCE = "0.19.0"
"""PEFT that lays fused adapters as we do; before, inputs and outputs were the other way round."""
WEIGHTS = "adapter_model.safetensors"
_ATTENTION: dict[str, Target] = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "o_proj": "o"}


def canonical(model: Any) -> dict[str, Tensor]:
    """Return all adapters as pairs A, B by canonical name, a router trained in full as a pair as well."""
    names = expert_names(model.config.model_type)
    starts = {f"model.layers.{at}.{names.block}.gate.weight": b.gate.start for at, b in blocks(model)}
    found = {name: tensor.detach().clone() for name, tensor in named_adapters(model)}
    return as_pairs(found, starts.__getitem__, model.adapter_settings)


def as_pairs(
    tensors: Mapping[str, Tensor], start_of: Callable[[str], Tensor], settings: AdapterSettings
) -> dict[str, Tensor]:
    """Return tensors with every router that was trained in full as a pair.

    Args:
        tensors: by canonical name.
        start_of: gives a router's weight before training by its name.
        settings: of the adapters.

    Raises:
        UsageError: a router was trained in full and the rank is below the number of experts, so that a
            file with one rank for all cannot hold it.
    """
    found = dict(tensors)
    for name in [n for n in found if n.endswith(".gate.weight")]:
        head = name.removesuffix(".weight")
        a, b = router_as_lora(start_of(name).float(), found.pop(name).float())
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
    """Write a model's adapters as `adapter_config.json` and `adapter_model.safetensors`."""
    base = getattr(model, "loaded_from", None)
    write_peft_files(canonical(model), model.config, model.adapter_settings, folder, layout, base)


def convert_adapter(base: Path, adapter: Path, folder: Path, layout: Layout, base_name: str) -> int:
    """Write the adapters of a folder of ours for PEFT, without loading the model; returns how many pairs.

    Args:
        base: folder of the base: its config, and its routers where they were trained in full.
        adapter: folder of adapters.
        folder: where to write.
        layout: of PEFT's.
        base_name: what the card calls the base.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    settings, files = read_adapter_settings(adapter), Checkpoint(shard_files(base))
    pairs = Checkpoint([adapter / OUR_WEIGHTS])
    tensors = as_pairs({name: pairs.read(name) for name in pairs}, files.read, settings)
    write_peft_files(tensors, config, settings, folder, layout, base_name)
    return len(tensors) // 2


def write_peft_files(
    tensors: Mapping[str, Tensor], config: Any, settings: AdapterSettings, folder: Path, layout: Layout,
    base: str | None,
) -> None:  # fmt: skip
    """Write pairs by canonical name in a layout of PEFT; `config` is that of the model."""
    from safetensors.torch import save_file

    names = expert_names(config.model_type)
    modules = [n for n, t in _ATTENTION.items() if t in settings.targets]
    experts = [getattr(names, t) for t in ("w1", "w2", "w3") if t in settings.targets]
    gate = any(f".{names.block}.gate.lora_A" in name for name in tensors)
    told: dict[str, Any] = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": settings.rank, "lora_alpha": settings.alpha,
        "lora_dropout": 0.0, "bias": "none", "inference_mode": True, "base_model_name_or_path": base,
        "peft_version": FUSED_SINCE,
    }  # fmt: skip
    if layout == "experts" or not _expert_count(config):
        told["target_modules"] = modules + experts + (["gate"] if gate else [])
        renamed = {f"{ROOT}{name}.weight": tensor for name, tensor in tensors.items()}
    else:
        fused = [p for p, own in _FUSED.items() if any(t in settings.targets for t in own)]
        told["target_modules"] = modules
        told["target_parameters"] = [f"mlp.experts.{p}" for p in fused] + ["mlp.gate.weight"] * gate
        told["rank_pattern"] = {r".*\.gate_up_proj": 2 * settings.rank}
        told["alpha_pattern"] = {r".*\.gate_up_proj": 2 * settings.alpha}
        renamed = _fuse(config, settings, tensors, fused)
    with written_whole(folder / WEIGHTS) as part:
        save_file({n: t.cpu().contiguous() for n, t in renamed.items()}, part, metadata={"format": "pt"})
    write_json(folder / PEFT_CARD, told)


def _expert_count(config: Any) -> int:
    """Return the experts of a layer, 0 for a dense model."""
    return int(getattr(config, "num_local_experts", None) or getattr(config, "num_experts", None) or 0)


def _widths(config: Any) -> tuple[int, int]:
    """Return the width of the residual stream and that inside an expert."""
    return config.hidden_size, getattr(config, "moe_intermediate_size", None) or config.intermediate_size


_FUSED: dict[str, tuple[Target, ...]] = {"gate_up_proj": ("w1", "w3"), "down_proj": ("w2",)}


def _place(parameter: str, fused: list[str]) -> str:
    """Return where PEFT keeps a parameter's pair: the first one wrapped is the innermost."""
    return "mlp.experts.base_layer" if parameter != fused[-1] else "mlp.experts"


def _block_diagonal(parts: list[Tensor]) -> Tensor:
    whole: Any = torch.block_diag  # untyped in torch
    joined: Tensor = whole(*parts)
    return joined


def _take_pair(
    left: dict[str, Tensor], name: str, config: Any, rank: int, target: str
) -> tuple[Tensor, Tensor]:
    """Take a pair out of `left`; zeros of its shape when this matrix has no adapter."""
    if f"{name}.lora_A" in left:
        return left.pop(f"{name}.lora_A"), left.pop(f"{name}.lora_B")
    hidden, ffn = _widths(config)
    inputs, outputs = (ffn, hidden) if target == "w2" else (hidden, ffn)
    return torch.zeros(rank, inputs), torch.zeros(outputs, rank)


def _fuse(
    config: Any, settings: AdapterSettings, tensors: Mapping[str, Tensor], fused: list[str]
) -> dict[str, Tensor]:
    """Return PEFT's fused tensors of canonical ones; a half without an adapter becomes zeros."""
    names = expert_names(config.model_type)
    left = dict(tensors)
    found: dict[str, Tensor] = {}
    for index in sorted({int(name.split(".")[2]) for name in tensors if ".experts." in name}):
        head = f"model.layers.{index}"
        for parameter in fused:
            whole = [
                [
                    _take_pair(
                        left,
                        f"{head}.{names.block}.experts.{e}.{getattr(names, t)}",
                        config,
                        settings.rank,
                        t,
                    )
                    for t in _FUSED[parameter]
                ]
                for e in range(_expert_count(config))
            ]
            place = f"{ROOT}{head}.{_place(parameter, fused)}"
            found[f"{place}.lora_A.weight"] = torch.cat([a for expert in whole for a, _ in expert])
            b_out_r_e = torch.stack([_block_diagonal([b for _, b in e]) for e in whole], dim=-1)
            found[f"{place}.lora_B.weight"] = b_out_r_e.flatten(1)
    for name, tensor in left.items():
        found[f"{ROOT}{name.replace(f'.{names.block}.gate.', '.mlp.gate.')}.weight"] = tensor
    return found


def read_peft(model: Any, folder: Path) -> Any:
    """Attach the adapters of a PEFT folder, in either layout, to a plain model.

    Raises:
        MissingError, DataError: see `read_peft_files`; or a tensor has no place.
    """
    settings, tensors = read_peft_files(folder, model.config)
    attach(model, settings)
    put_adapters(model, tensors, str(folder / WEIGHTS))
    return model


def read_peft_files(folder: Path, config: Any) -> tuple[AdapterSettings, dict[str, Tensor]]:
    """Return settings and canonical tensors of a PEFT folder, for a model with this config.

    Raises:
        MissingError: the files are not there.
        DataError: the adapter does what ours cannot do (DoRA, biases, ranks by layer, a B of the fused
            w1 and w3 that is not block-diagonal), or which way round its tensors lie would be a guess.
    """
    from safetensors.torch import load_file

    for name in (PEFT_CARD, WEIGHTS):
        if not (folder / name).exists():
            raise MissingError(f"{folder}: no {name}; this is not an adapter folder of PEFT.")
    told = read_json(folder / PEFT_CARD)
    place = folder / PEFT_CARD
    if told.get("peft_type") != "LORA":
        raise DataError(f"{place}: peft_type {told.get('peft_type')!r}; LORA is needed.")
    for key in ("use_dora", "use_rslora", "lora_bias", "modules_to_save", "fan_in_fan_out"):
        if told.get(key):
            raise DataError(f"{place}: {key} = {told[key]!r} is not supported here.")
    tensors = {
        n.removeprefix(ROOT).removesuffix(".weight"): t for n, t in load_file(folder / WEIGHTS).items()
    }
    rank = int(told["r"])
    if told.get("target_parameters"):
        _require_known_order(told, config, place)
        tensors = _split(tensors, config, told["target_parameters"], rank, str(folder / WEIGHTS))
    targets = _targets_of(tensors, expert_names(config.model_type))
    router: RouterMode = "lora" if "gate" in targets else "full"
    return AdapterSettings(rank, float(told["lora_alpha"]), targets, router), tensors


def _require_known_order(told: Mapping[str, Any], config: Any, place: Path) -> None:
    """Refuse fused adapters whose inputs and outputs may lie the other way round: PEFT changed that in 0.19.

    Raises:
        DataError: the file is older, or does not say, and its shapes would fit either way.
    """
    version = str(told.get("peft_version") or "")
    hidden, ffn = _widths(config)
    if version and _numbers(version) < _numbers(FUSED_SINCE):
        raise DataError(
            f"{place}: written by PEFT {version}; fused adapters lay the other way round before "
            f"{FUSED_SINCE}.\n  Merge it with the PEFT that wrote it, and load the merged model."
        )
    if not version and hidden in (ffn, 2 * ffn):
        raise DataError(
            f"{place}: has no peft_version, and its tensors fit either way round (width {hidden}, experts "
            f'{ffn}).\n  Write "peft_version" there if it is {FUSED_SINCE} or newer.'
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _targets_of(tensors: Mapping[str, Tensor], names: Any) -> tuple[Target, ...]:
    """Return which targets the names speak of."""
    leaves = {name.rsplit(".", 2)[-2] for name in tensors}
    known: dict[str, Target] = {**_ATTENTION, names.w1: "w1", names.w2: "w2", names.w3: "w3", "gate": "gate"}
    if unknown := sorted(leaves - known.keys()):
        raise DataError(f"the adapter has pairs on {', '.join(unknown)}; known: {', '.join(sorted(known))}.")
    return tuple(known[leaf] for leaf in sorted(leaves))


def _split(
    tensors: Mapping[str, Tensor], config: Any, parameters: list[str], rank: int, source: str
) -> dict[str, Tensor]:
    """Return canonical tensors of PEFT's fused ones.

    Raises:
        DataError: a shape is not what the config means, or B mixes w1 and w3.
    """
    names, count = expert_names(config.model_type), _expert_count(config)
    hidden, ffn = _widths(config)
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
        b = tensors[name.removesuffix("lora_A") + "lora_B"]
        inputs, outputs = (hidden, 2 * ffn) if len(own) == 2 else (ffn, hidden)
        ranks = count * len(own) * rank
        if tensor.shape != (ranks, inputs) or b.shape != (outputs, ranks):
            raise DataError(
                f"{source}: {name} is {list(tensor.shape)} and its B {list(b.shape)}; the model needs "
                f"{[ranks, inputs]} and {[outputs, ranks]}."
            )
        a = tensor.reshape(count, len(own), rank, -1)
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
