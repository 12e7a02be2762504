"""Merge adapters into a plain checkpoint, from files into files: memory does not grow with the model.

Every shard of the base becomes a shard of the merged model, tensor by tensor; W + s B A is added in float32
and rounded once to the base's dtype. Before the folder gets its name, the logits of base plus adapters and of
the merged files are compared (`probe`); a merge that is killed leaves only a folder called `NAME.part`.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bimedix.errors import BimedixError, DataError, MissingError, UsageError
from bimedix.files import write_json, write_text
from bimedix.model.adapters import WEIGHTS, read_adapter_settings, write_adapter
from bimedix.model.blocks import ATTENTION_PARTS, DENSE_PARTS
from bimedix.model.capacity import require_disk
from bimedix.model.layouts import read_peft_files
from bimedix.model.load import check_folder, expert_names
from bimedix.model.nf4 import nest, pack, unpack
from bimedix.model.places import CHAT, PEFT_CARD
from bimedix.model.probe import Matrices, probe
from bimedix.model.settings import AdapterSettings, MergeBase
from bimedix.model.shards import Checkpoint, shard_files, write_shard
from bimedix.model.stream import row_blocks
from bimedix.progress import Progress

TOLERANCE = {torch.float32: 1e-4}
"""Largest difference of a logit, relative to the largest logit."""
HALF_TOLERANCE = 0.05
"""The same where merged weights are rounded to half precision."""
CARD = "merge.json"


class Merged(NamedTuple):
    """What a merge came to."""

    base: str
    """What the adapters were added to: `stored bfloat16`, `dequantised nf4` and so on."""
    difference: float
    """Largest difference of a logit, relative to the largest logit, with tokens at the same experts."""
    rerouted: float
    """Share of tokens and layers that go to other experts than before: near-ties that rounding decides."""
    matrices: int
    """Matrices that were changed."""
    bytes: int
    """Size of the weights."""


class _Changed(Matrices):
    """The base, dequantised where asked for, with what the adapters say of it."""

    def __init__(self, files: Checkpoint, adapter: Checkpoint, settings: AdapterSettings, packed: set[str]):
        super().__init__(files)
        self.adapter, self.settings, self.packed = adapter, settings, packed
        self._kept: tuple[tuple[str, ...], Tensor] | None = None

    def rows(self, name: str, block: slice) -> Tensor:
        """Return some rows of a tensor in float32: rounded through NF4, or a router's that replaced it."""
        if name in self.adapter:
            return self.adapter.read(name, block).float()
        read = self.files.read(name, block)
        if name not in self.packed:
            return read.float()
        packed, scales = pack(read)
        if self.settings.nf4_scales == "bfloat16":
            scales = scales.to(torch.bfloat16)
        elif self.settings.nf4_scales == "nested":
            scales = self._nested_scales(name)[block]
        return unpack(packed, scales, torch.float32)

    def _nested_scales(self, name: str) -> Tensor:
        """Return the scales of a tensor in eight bits, which round a whole stack of experts at once."""
        names = self._stack_of(name)
        if self._kept is None or self._kept[0] != names:
            rows = [
                torch.cat([pack(self.files.read(n, block))[1] for block in row_blocks(self.files[n].shape)])
                for n in names
            ]
            scales = torch.cat(rows)
            self._kept = names, nest(scales).unpack().view_as(scales)
        at = sum(self.files[n].shape[0] for n in names[: names.index(name)])
        return self._kept[1][at : at + self.files[name].shape[0]]

    def _stack_of(self, name: str) -> tuple[str, ...]:
        """Return the tensors that lie in one stack with this one, in its order."""
        found = re.fullmatch(r"(.*\.experts\.)\d+\.(\w+)\.weight", name)
        if found is None:
            return (name,)
        families = (expert_names("mixtral"), expert_names(""))
        pairs = [parts for own in families for parts in ((own.w1, own.w3), (own.w2,))]
        parts = next(parts for parts in pairs if found[2] in parts)
        count = sum(n.startswith(found[1]) and n.endswith(f".{found[2]}.weight") for n in self.files)
        return tuple(f"{found[1]}{e}.{part}.weight" for e in range(count) for part in parts)

    def pair(self, name: str) -> tuple[Tensor, Tensor] | None:
        """Return A [R, I] and B [O, R] of a matrix."""
        if f"{name}.lora_A" not in self.adapter:
            return None
        return self.adapter.read(f"{name}.lora_A").float(), self.adapter.read(f"{name}.lora_B").float()

    def added(self, name: str, x_NI: Tensor) -> Tensor | float:
        """Return s (x Aᵀ) Bᵀ."""
        found = self.pair(name)
        return 0.0 if found is None else self.settings.scale * (x_NI @ found[0].T) @ found[1].T

    def merged(self, name: str) -> Tensor:
        """Return one tensor of the merged model, in the base's dtype; blocks of rows are done in place."""
        place = self.files.place(name)
        head = name.removesuffix(".weight")
        found = self.pair(head)
        if found is None and name not in self.adapter and name not in self.packed:
            return self.files.read(name)
        out = torch.empty(place.shape, dtype=place.dtype)
        for block in row_blocks(place.shape):
            value = self.rows(name, block)
            if found is not None:
                value.addmm_(found[1][block], found[0], alpha=self.settings.scale)
            out[block] = value.to(place.dtype)
        return out


def merge_files(
    base: Path,
    adapter: Path,
    out: Path,
    *,
    over: MergeBase = "auto",
    template: str = "",
    base_name: str = "",
    tokenizer: Any = None,
    progress: Progress | None = None,
) -> Merged:
    """Write the model that a base and its adapters are together as a plain checkpoint.

    Args:
        base: folder of the base.
        adapter: folder of adapters, ours or PEFT's.
        out: folder to write; it must not be there.
        over: add to the weights as they are `stored`, or to what NF4 makes of them (`dequantised`); `auto`
            takes what the adapters were trained over.
        template: chat layout that the adapters were taught with, kept for `bimedix chat`.
        base_name: how the base is called in the card; empty: its folder's name.
        tokenizer: to write in place of the base's own.
        progress: told shard by shard.

    Raises:
        UsageError: `out` is there.
        DataError: an adapter has no matrix to go into, or one of another shape.
        BimedixError: no room on the disk, or the merged logits differ from those of base plus adapters.
    """
    if out.exists():
        raise UsageError(f"{out}: is there already.\n  Name another folder, or remove it first.")
    config = check_folder(base)
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    if (adapter / PEFT_CARD).exists():
        adapter = _as_ours(base, adapter, part / "adapter")
    settings = read_adapter_settings(adapter)
    files, pairs = Checkpoint(shard_files(base)), Checkpoint([_weights_of(adapter)])
    dequantises = over == "dequantised" or (over == "auto" and settings.base == "nf4")
    packed = _packed_names(files, config) if dequantises else set[str]()
    changed = _Changed(files, pairs, settings, packed)
    matrices = _check(files, pairs, adapter / WEIGHTS)
    require_disk(out.parent, files.bytes + 2**20, f"merging into {out}")
    told = progress or Progress("quiet")

    part.mkdir(parents=True, exist_ok=True)
    with told.task(f"merging into {out.name}", len(files.files), "shards") as task:
        for file in files.files:
            _write_like(file, part / file.name, changed)
            task.advance(1)
    _copy_rest(base, part)
    if tokenizer is not None:
        tokenizer.save_pretrained(part)
    dtypes = {files[name].dtype for name in _packed_names(files, config)}
    difference, rerouted = _compare(base, part, changed, told)
    bound = max(TOLERANCE.get(dtype, HALF_TOLERANCE) for dtype in dtypes)
    if not difference <= bound:
        raise BimedixError(
            f"{part}: merged logits differ from those of base and adapters by {difference:.2e} (at most "
            f"{bound:g}).\n  The folder is left for a look; do not use it."
        )
    shutil.rmtree(part / "adapter", ignore_errors=True)
    stored = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes))
    over_what = "dequantised nf4" if packed else f"stored {stored}"
    found = Merged(over_what, difference, rerouted, matrices, files.bytes)
    _describe(part, base_name or base.name, settings, found)
    if template:
        write_json(part / CHAT, {"template": template})
    part.rename(out)
    return found


def _as_ours(base: Path, adapter: Path, folder: Path) -> Path:
    """Write an adapter of PEFT in our form; returns its folder."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    settings, tensors = read_peft_files(adapter, config)
    write_adapter(folder, tensors, settings, {})
    return folder


def _weights_of(adapter: Path) -> Path:
    if not (adapter / WEIGHTS).exists():
        raise MissingError(f"{adapter}: no {WEIGHTS}.")
    return adapter / WEIGHTS


def _packed_names(files: Checkpoint, config: dict[str, Any]) -> set[str]:
    """Return the tensors that NF4 holds: matrices of attention, of experts and of dense MLPs."""
    names = expert_names(str(config["model_type"]))
    parts = {*ATTENTION_PARTS.values(), *DENSE_PARTS.values(), names.w1, names.w2, names.w3}
    return {n for n in files if n.endswith(".weight") and n.split(".")[-2] in parts}


def _check(files: Checkpoint, pairs: Checkpoint, source: Path) -> int:
    """Return how many matrices change, after a look at every pair's place and shape."""
    heads = {name.removesuffix(".lora_A").removesuffix(".lora_B") for name in pairs}
    for head in sorted(heads):
        whole = head in pairs  # a router that was trained in full
        name = head if whole else f"{head}.weight"
        if name not in files:
            raise DataError(f"{source}: {head} has no matrix in the base.\n  Is it the right base?")
        shape, ranks = pairs[head].shape if whole else (), set[int]()
        if not whole:
            a, b = pairs.place(f"{head}.lora_A").shape, pairs.place(f"{head}.lora_B").shape
            shape, ranks = (b[0], a[-1]), {a[0], b[-1]}
        if shape != files[name].shape or len(ranks) > 1:
            raise DataError(
                f"{source}: {head} is for a matrix of {list(shape)}; the base's is "
                f"{list(files[name].shape)}.\n"
                "  Is it the right base, and are A [rank, in] and B [out, rank] the right way round?"
            )
    return len(heads)


def _write_like(file: Path, target: Path, changed: _Changed) -> None:
    """Write a shard with the same tensors in the same order."""
    own = {name: place for name, place in changed.files.items() if place.file == file}
    tensors: Iterator[Tensor] = (changed.merged(name) for name in own)
    write_shard(target, {name: (place.dtype, place.shape) for name, place in own.items()}, tensors)


def _copy_rest(base: Path, part: Path) -> None:
    """Copy config, index, tokenizer and template; no weights, and no code."""
    for file in sorted(base.iterdir()):
        if file.is_file() and (file.suffix in (".json", ".jinja") or file.name == "tokenizer.model"):
            shutil.copyfile(file, part / file.name)


def _compare(base: Path, part: Path, changed: _Changed, told: Progress) -> tuple[float, float]:
    """Return the difference of logits, and the share of tokens and layers that are routed otherwise."""
    told.say("comparing logits of base and adapters with those of the merged files")
    wanted = probe(base, changed)
    found = probe(part, Matrices(Checkpoint(shard_files(part))), wanted)
    difference = (found.logits - wanted.logits).abs().max() / wanted.logits.abs().max()
    return float(difference), found.rerouted(wanted)


def _describe(part: Path, base: str, settings: AdapterSettings, found: Merged) -> None:
    """Write what was done as JSON and as a model card."""
    write_json(
        part / CARD,
        {
            "base": found.base,
            "base_model": base,
            "largest_relative_difference": found.difference,
            "rerouted_share": found.rerouted,
            "matrices": found.matrices,
            "rank": settings.rank,
            "alpha": settings.alpha,
            "targets": list(settings.targets),
        },
    )
    write_text(
        part / "README.md",
        f"""---
library_name: transformers
base_model: {base}
tags: [medical, bimedix]
---
# {base} with adapters merged in

Research only. Not for clinical decisions, diagnosis or treatment, and not a medical device.

Low-rank adapters (rank {settings.rank}, alpha {settings.alpha:g}, on {", ".join(settings.targets)})
were added in float32 to the base's weights ({found.base}), {found.matrices:,} matrices in all. On a
fixed row of tokens the logits of these files and of base plus adapters differ by at most
{found.difference:.1e} of the largest logit; rounding sends {100 * found.rerouted:.2f} % of tokens and
layers to another expert.
""",
    )
