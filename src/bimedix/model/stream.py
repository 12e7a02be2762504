"""Load a checkpoint straight into NF4: rows are read, packed and let go of."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bimedix.errors import DataError, UsageError, did_you_mean
from bimedix.model.adapters import load_adapter, read_adapter_settings
from bimedix.model.blocks import ATTENTION_PARTS, DENSE_PARTS, Experts, MoeBlock
from bimedix.model.capacity import require_memory
from bimedix.model.layouts import read_peft
from bimedix.model.load import DTYPES, check_folder, expert_names, find_model, load_model, quiet, told_as
from bimedix.model.lora import FrozenLinear
from bimedix.model.nf4 import BLOCK, Nf4Weight, pack, put_weight
from bimedix.model.places import PEFT_CARD
from bimedix.model.router import EngineState, Router
from bimedix.model.settings import AdapterSettings, ScaleFormat, WeightFormat
from bimedix.model.shards import Checkpoint, shard_files

WEIGHTS_AT_ONCE = 2**22
"""Weights that are unpacked at any one moment."""


def row_blocks(shape: Sequence[int]) -> Iterator[slice]:
    """Cut a tensor into blocks of rows that hold about `WEIGHTS_AT_ONCE` weights."""
    per_row = max(1, torch.Size(shape[1:]).numel())
    step = max(1, WEIGHTS_AT_ONCE // per_row)
    for start, stop in pairwise((*range(0, shape[0], step), shape[0])):
        yield slice(start, stop)


def open_model(
    name: str | Path,
    *,
    adapter: Path | None = None,
    dtype: str = "float32",
    weights: WeightFormat = "auto",
    base: Path | None = None,
    device: str = "cpu",
) -> Any:
    """Load a model, with its adapters if there are any, in evaluation mode.

    Args:
        name: folder or hub id of the base.
        adapter: folder of adapters, ours or PEFT's.
        dtype: of activations and of weights that stay plain.
        weights: `nf4` packs attention and experts while reading; `auto` does so when the adapters were
            trained over NF4.
        base: folder that relative paths start from.
        device: where the model goes; packed weights are packed there.
    """
    ours = adapter is not None and not (adapter / PEFT_CARD).exists()
    settings = read_adapter_settings(adapter) if adapter and ours else None
    if weights != "auto":
        settings = replace(settings or AdapterSettings(), base=weights)
    model = load_base(name, settings, dtype=dtype, base=base, device=device)
    if adapter:
        model = load_adapter(model, adapter, settings) if ours else read_peft(model, adapter)
    return model.eval()


def load_base(
    name: str | Path,
    adapter: AdapterSettings | None,
    *,
    dtype: str = "float32",
    base: Path | None = None,
    device: str = "cpu",
) -> Any:
    """Load the base that adapters with these settings belong on, in NF4 where they say so, else as it is."""
    if adapter is None or adapter.base == "plain":
        return load_model(name, dtype=dtype, base=base).to(device)
    return load_nf4(name, dtype=dtype, scales=adapter.nf4_scales, base=base, device=device)


def load_nf4(
    name: str | Path,
    *,
    dtype: str = "float32",
    scales: ScaleFormat = "auto",
    base: Path | None = None,
    device: str = "cpu",
) -> Any:
    """Load a model with attention and experts (or a dense MLP) in NF4; all else in `dtype`.

    Gives the bytes that packing the loaded model would give, at the memory of the packed model and a block
    of rows.

    Raises:
        DataError: a tensor of the model is not in the files, or one of the files has no place in the model.
        BimedixError: there is not enough memory.
    """
    folder = find_model(str(name), base)
    if dtype not in DTYPES:
        raise UsageError(f"dtype '{dtype}' is not known.{did_you_mean(dtype, DTYPES)}")
    model = empty_model(folder)
    source = _Reader(folder, DTYPES[dtype], scales, device)
    require_memory(
        source.bytes_in_nf4(), f"{folder.name} in NF4",
        "Close other programs, take a smaller model, or a machine with more memory.", device,
    )  # fmt: skip
    model.engine_state = EngineState()
    for index, layer in enumerate(model.model.layers):
        if hasattr(layer.mlp, "experts"):
            layer.mlp = source.moe_block(model, index)
        source.fill(layer, f"model.layers.{index}.")
        source.pack_linear(layer.self_attn, ATTENTION_PARTS.values())
        if not isinstance(layer.mlp, MoeBlock):
            source.pack_linear(layer.mlp, DENSE_PARTS.values())
    source.fill(model, "")
    if left := sorted(source.left(model)):
        raise DataError(f"{folder}: {len(left)} tensors have no place in the model, such as {left[:2]}.")
    model.loaded_from = told_as(name, folder)
    return model.eval()


def empty_model(folder: Path) -> Any:
    """Return the model of a folder's config without memory for its weights.

    Raises:
        MissingError, DataError: see `check_folder`.
    """
    check_folder(folder)
    from transformers import AutoConfig, AutoModelForCausalLM

    quiet()
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        make: Any = AutoModelForCausalLM
        model = make.from_config(config, trust_remote_code=False)
    model.model.rotary_emb = type(model.model.rotary_emb)(config=config)
    return model.requires_grad_(False)


class _Reader:
    """Takes tensors out of a checkpoint into a model, and remembers which."""

    def __init__(self, folder: Path, dtype: torch.dtype, scales: ScaleFormat, device: str) -> None:
        self.files = Checkpoint(shard_files(folder))
        self.dtype, self.scales, self.device = dtype, scales, device
        self.used: set[str] = set()

    def bytes_in_nf4(self) -> int:
        """Return what the model will take: matrices inside layers in four bits, all else in `dtype`."""
        total = 0.0
        for name, place in self.files.items():
            count = torch.Size(place.shape).numel()
            packed = ".layers." in name and len(place.shape) == 2 and not name.endswith(".gate.weight")
            total += count * (4 + 32 / BLOCK) / 8 if packed else count * self.dtype.itemsize
        return int(total)

    def plain(self, name: str) -> Tensor:
        """Return a tensor in the model's dtype."""
        self.used.add(name)
        return self.files.read(name).to(self.device, self.dtype)

    def fill(self, owner: nn.Module, head: str) -> None:
        """Give an owner the tensors that it still lacks.

        Raises:
            MissingError: one of them is not in the files.
            DataError: one has another shape.
        """
        tied = bool(getattr(getattr(owner, "config", None), "tie_word_embeddings", False))
        lacking = [name for name, p in owner.named_parameters() if p.is_meta]
        for name in lacking:
            if tied and name == "lm_head.weight":
                continue
            place, _, leaf = name.rpartition(".")
            parent = owner.get_submodule(place)
            value = self.plain(head + name)
            _same_shape(head + name, value.shape, getattr(parent, leaf).shape)
            setattr(parent, leaf, nn.Parameter(value, requires_grad=False))
        if tied:
            model: Any = owner
            model.lm_head.weight = model.model.embed_tokens.weight
        for name, buffer in list(owner.named_buffers()):
            place, _, leaf = name.rpartition(".")
            owner.get_submodule(place)._buffers[leaf] = buffer.to(self.device)

    def pack_linear(self, parent: nn.Module, names: Any) -> None:
        """Put linear layers into NF4."""
        for name in names:
            frozen = FrozenLinear(getattr(parent, name))
            put_weight(frozen, "weight", self._packed([frozen.weight], frozen.weight.shape))
            setattr(parent, name, frozen)

    def moe_block(self, model: Any, index: int) -> MoeBlock:
        """Return our block with its experts packed as they are read."""
        config, old = model.config, model.model.layers[index].mlp
        names = expert_names(config.model_type)
        head = f"model.layers.{index}.{names.block}"
        gate = Router(
            nn.Parameter(self.plain(f"{head}.gate.weight"), requires_grad=False),
            config.num_experts_per_tok,
            model.engine_state,
            normalise=bool(getattr(config, "norm_topk_prob", True)),
        )
        stacks = []
        for parts, shape in (
            ((names.w1, names.w3), old.experts.gate_up_proj.shape),
            ((names.w2,), old.experts.down_proj.shape),
        ):
            own = [f"{head}.experts.{e}.{part}.weight" for e in range(shape[0]) for part in parts]
            stacks.append(self._packed(own, shape))
        return MoeBlock(gate, Experts(stacks[0], stacks[1], model.engine_state))

    def _packed(self, parts: Sequence[str | Any], shape: Sequence[int]) -> Nf4Weight:
        """Pack tensors that lie one below the other, given or by name, into one weight of this shape."""
        rows = torch.Size(shape[:-1]).numel()
        packed = torch.empty(rows, shape[-1] // 2, dtype=torch.uint8, device=self.device)
        scales = torch.empty(rows, shape[-1] // BLOCK, device=self.device)
        at, stored = 0, self.dtype
        for part in parts:
            if isinstance(part, str):
                place = self.files.place(part)
                self.used.add(part)
                _same_shape(part, place.shape, (rows // len(parts), shape[-1]))
                stored = place.dtype
            for block in row_blocks((rows // len(parts), shape[-1])):
                read = self.files.read(part, block) if isinstance(part, str) else part[block]
                until = at + len(read)
                packed[at:until], scales[at:until] = pack(read.to(self.device, self.dtype))
                at = until
        # The largest of 64 bfloat16 weights is a bfloat16 itself, whatever they are computed in.
        form = "bfloat16" if self.scales == "auto" and stored == torch.bfloat16 else self.scales
        head = tuple(shape[:-1])
        return Nf4Weight.of(packed.view(*head, -1), scales.view(*head, -1), self.dtype, form)

    def left(self, model: Any) -> set[str]:
        """Return names that nothing asked for, but for a tied head and the angles that old files hold."""
        tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
        return {n for n in self.files if not n.endswith("rotary_emb.inv_freq")} - self.used - tied


def _same_shape(name: str, found: Sequence[int], wanted: Sequence[int]) -> None:
    if tuple(found) != tuple(wanted):
        raise DataError(f"{name} has the shape {list(found)}; config.json means {list(wanted)}.")
