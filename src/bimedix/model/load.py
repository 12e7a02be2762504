"""Load models and tokenizers, and only those that cannot run code: safetensors, known architectures."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bimedix.errors import DataError, MissingError, UsageError, did_you_mean
from bimedix.files import read_json, write_json
from bimedix.model.capacity import require_disk, require_memory
from bimedix.model.nf4 import Nf4Weight
from bimedix.model.settings import TinySettings
from bimedix.model.shards import Checkpoint, shard_files
from bimedix.tokens import mixtral_tokenizer_path

ARCHITECTURES = (
    "MixtralForCausalLM", "Qwen3MoeForCausalLM", "LlamaForCausalLM", "MistralForCausalLM",
    "Qwen2ForCausalLM", "Qwen3ForCausalLM",
)  # fmt: skip
UNSAFE_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
CODE_KEYS = ("auto_map", "custom_pipelines", "trust_remote_code")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SHARD_BYTES = 5 * 10**9


def check_folder(folder: Path) -> dict[str, Any]:
    """Return the config of a model folder after the checks that come before anything is loaded.

    Raises:
        MissingError: the folder, its config or its safetensors weights are not there.
        DataError: the architecture is not on the list, or the config names code to run.
    """
    if not (folder / "config.json").exists():
        raise MissingError(f"{folder}: no config.json; this is not a model folder.")
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise DataError(f"{folder}/config.json: not a JSON object.")
    for key in CODE_KEYS:
        if key in config:
            raise DataError(
                f"{folder}/config.json: '{key}' asks to run code that comes with the model; refused.\n"
                "  Use a checkpoint of one of the built-in architectures without that key."
            )
    names = config.get("architectures") or []
    if len(names) != 1 or names[0] not in ARCHITECTURES:
        hint = did_you_mean(str(names[0]), ARCHITECTURES) if names else ""
        raise DataError(
            f"{folder}/config.json: architectures {names}; known here: {', '.join(ARCHITECTURES)}.{hint}"
        )
    if not list(folder.glob("*.safetensors")):
        unsafe = sorted(p.name for pattern in UNSAFE_WEIGHTS for p in folder.glob(pattern))
        seen = f"only {', '.join(unsafe)}, which can run code when opened" if unsafe else "no weights at all"
        raise MissingError(
            f"{folder}: needs *.safetensors; it holds {seen}.\n"
            "  Convert the checkpoint to safetensors on a machine you can throw away, then try again."
        )
    return config


def find_model(name: str, base: Path | None = None) -> Path:
    """Return the folder of a model: a local path, or a hub id that is in the local cache or downloaded.

    Only weights in safetensors, JSON and tokenizer files are fetched from the hub.
    """
    folder = (base or Path()) / name
    if folder.is_dir():
        return folder
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise MissingError(
            f"{folder}: no such model folder, and '{name}' is no hub id (`owner/name`).\n"
            "  Relative paths start from the recipe's data folder."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    wanted = ["*.safetensors", "*.json", "tokenizer.model"]
    try:
        _require_disk(name, wanted)
        return Path(snapshot_download(name, allow_patterns=wanted))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise MissingError(
            f"model '{name}': neither a local folder nor to be had from the hub: {error}\n"
            "  Download it where there is a network, and give its folder."
        ) from error


def _require_disk(name: str, wanted: list[str]) -> None:
    """Raise when the files of a hub model that are not in the cache yet do not fit on its disk."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if constants.HF_HUB_OFFLINE:
        return
    try:
        files: Any = snapshot_download(name, allow_patterns=wanted, dry_run=True)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError):
        return  # The hub is out of reach; what the cache holds may do.
    missing = sum(file.file_size for file in files if file.will_download)
    require_disk(Path(constants.HF_HUB_CACHE), missing, f"model '{name}'")


def load_model(name: str | Path, *, dtype: str = "float32", base: Path | None = None) -> Any:
    """Load a causal language model of transformers, in evaluation mode.

    Args:
        name: local folder or hub id.
        dtype: float32, bfloat16 or float16.
        base: folder that relative paths start from.
    """
    folder = find_model(str(name), base)
    check_folder(folder)
    if dtype not in DTYPES:
        raise UsageError(f"dtype '{dtype}' is not known.{did_you_mean(dtype, DTYPES)}")
    from transformers import AutoModelForCausalLM

    weights = sum(torch.Size(place.shape).numel() for place in Checkpoint(shard_files(folder)).values())
    require_memory(
        weights * DTYPES[dtype].itemsize, f"{folder.name} in {dtype}",
        "Load it in NF4, which takes about a quarter of bfloat16, or take a smaller model.",
    )  # fmt: skip
    quiet()
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=DTYPES[dtype], use_safetensors=True, trust_remote_code=False, local_files_only=True
    )
    model.loaded_from = told_as(name, folder)
    return model.eval()


def told_as(name: str | Path, folder: Path) -> str:
    """Return how a model is named for later: its hub id, or its folder in full."""
    local = folder.resolve().name == Path(name).resolve().name
    return str(folder.resolve()) if local else str(name)


def quiet() -> None:
    """Keep transformers' own bars and notes away from ours."""
    from transformers.utils import logging as hub_logging

    logging: Any = hub_logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def tiny_model(settings: TinySettings) -> Any:
    """Return a random Mixtral of this size in float32; the same settings give the same weights."""
    from transformers import MixtralConfig, MixtralForCausalLM

    quiet()
    config = MixtralConfig(
        vocab_size=settings.vocab,
        hidden_size=settings.hidden,
        intermediate_size=settings.ffn,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.kv_heads,
        num_local_experts=settings.experts,
        num_experts_per_tok=settings.experts_per_token,
        max_position_embeddings=settings.max_positions,
        rope_parameters={"rope_type": "default", "rope_theta": settings.rope_theta},
        initializer_range=settings.init_std,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model: Any = MixtralForCausalLM(config)
    return model.eval()


def mixtral_tokenizer() -> Any:
    """Return Mixtral-8x7B's own tokenizer (32,000 pieces) as a fast one of transformers.

    Gives the ids of sentencepiece on every text, which the shipped conversions do not: they rank merges by
    id, where this model gives runs of spaces the last rank, and put no space before a text that has one.
    """
    from sentencepiece import sentencepiece_model_pb2 as protobuf
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    quiet()
    proto = protobuf.ModelProto()  # type: ignore[attr-defined]
    proto.ParseFromString(mixtral_tokenizer_path().read_bytes())
    vocab = {piece.piece: index for index, piece in enumerate(proto.pieces)}
    scores = {piece.piece: piece.score for piece in proto.pieces if piece.type == piece.NORMAL}
    backend = Tokenizer(
        models.BPE(vocab, _merges(scores), unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    marks = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    backend.add_special_tokens([AddedToken(mark, normalized=False, special=True) for mark in marks.values()])
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", vocab["<s>"])]
    )
    make: Any = PreTrainedTokenizerFast
    return make(tokenizer_object=backend, **marks)


def _merges(scores: dict[str, float]) -> list[tuple[str, str]]:
    """Return the pairs that byte-pair encoding joins, best first, as sentencepiece ranks them.

    Equal scores are taken leftmost first there; only runs of spaces have them, so that longer left parts
    go first here.
    """
    pairs = [
        (-score, -len(piece[:cut]), piece[:cut], piece[cut:])
        for piece, score in scores.items()
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]
    return [(left, right) for *_, left, right in sorted(pairs)]


def load_tokenizer(name: str | Path, base: Path | None = None) -> Any:
    """Load a fast tokenizer: `mixtral` for the built-in one, else a model folder or hub id."""
    if str(name) == "mixtral":
        return mixtral_tokenizer()
    from transformers import AutoTokenizer

    folder = find_model(str(name), base)
    if not (folder / "tokenizer.json").exists() and not (folder / "tokenizer.model").exists():
        raise MissingError(f"{folder}: holds no tokenizer.json or tokenizer.model.")
    quiet()
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def plain_tensors(model: nn.Module) -> Iterable[tuple[str, Tensor]]:
    """Yield (checkpoint name, tensor) of a model whose experts are fused, with the hub's names.

    Mixtral: `block_sparse_moe.gate`, `block_sparse_moe.experts.N.w1|w2|w3`; Qwen3-MoE: `mlp.gate`,
    `mlp.experts.N.gate_proj|down_proj|up_proj`. All others keep their names; adapters are left out.
    """
    config: Any = model.config
    names = expert_names(config.model_type)
    tied = bool(getattr(config, "tie_word_embeddings", False))
    for name, tensor in _dense_state(model):
        if (tied and name == "lm_head.weight") or ".lora_" in name:
            continue
        head, _, tail = name.partition(".mlp.")
        if tail == "experts.gate_up_proj":
            for expert, fused in enumerate(tensor):
                gate, up = fused.chunk(2)
                yield f"{head}.{names.block}.experts.{expert}.{names.w1}.weight", gate
                yield f"{head}.{names.block}.experts.{expert}.{names.w3}.weight", up
        elif tail == "experts.down_proj":
            for expert, down in enumerate(tensor):
                yield f"{head}.{names.block}.experts.{expert}.{names.w2}.weight", down
        elif tail == "gate.weight":
            yield f"{head}.{names.block}.gate.weight", tensor
        else:
            yield name, tensor


def _dense_state(model: nn.Module) -> Iterable[tuple[str, Tensor]]:
    """Yield the state with NF4 weights unpacked, one at a time, under the names of what they replaced."""
    for name, tensor in model.state_dict().items():
        head, _, tail = name.rpartition(".")
        owner = model.get_submodule(head) if head else model
        if not isinstance(owner, Nf4Weight):
            yield name, tensor
        elif tail == "packed":
            yield head, owner.dense(owner.dtype)


class ExpertNames:
    """How a family's checkpoints name the parts of its MoE block."""

    def __init__(self, block: str, w1: str, w2: str, w3: str) -> None:
        self.block, self.w1, self.w2, self.w3 = block, w1, w2, w3


def expert_names(model_type: str) -> ExpertNames:
    """Return the names of a family: `mixtral`, or those of Qwen and of dense models."""
    if model_type == "mixtral":
        return ExpertNames("block_sparse_moe", "w1", "w2", "w3")
    return ExpertNames("mlp", "gate_proj", "down_proj", "up_proj")


def save_model(model: Any, folder: Path, tokenizer: Any = None) -> None:
    """Write a plain checkpoint: config.json, safetensors shards under the hub's names, tokenizer.

    The folder appears when whole.
    """
    if getattr(model, "adapter_settings", None) is not None:
        raise UsageError(f"{folder}: the model has adapters; merge them, or save them beside their base.")
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    _write_shards(part, plain_tensors(model))
    config = json.loads(model.config.to_json_string(use_diff=False))
    config["architectures"] = [type(model).__name__]
    for key in [k for k in config if k.startswith("_")]:
        del config[key]
    write_json(part / "config.json", config)
    if tokenizer is not None:
        tokenizer.save_pretrained(part)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def _write_shards(folder: Path, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Write tensors into `model.safetensors`, or numbered shards with an index when they exceed one."""
    from safetensors.torch import save_file

    shards: list[list[str]] = []
    held: dict[str, Tensor] = {}
    size = total = 0

    def flush() -> None:
        nonlocal size
        save_file(held, folder / f"shard-{len(shards)}", metadata={"format": "pt"})
        shards.append(list(held))
        held.clear()
        size = 0

    for name, tensor in tensors:
        bytes_ = tensor.numel() * tensor.element_size()
        if held and size + bytes_ > SHARD_BYTES:
            flush()
        held[name] = tensor.detach().cpu().clone().contiguous()
        size += bytes_
        total += bytes_
    flush()
    if len(shards) == 1:
        (folder / "shard-0").rename(folder / "model.safetensors")
        return
    weight_map: dict[str, str] = {}
    for index, names in enumerate(shards):
        file = f"model-{index + 1:05d}-of-{len(shards):05d}.safetensors"
        (folder / f"shard-{index}").rename(folder / file)
        weight_map |= dict.fromkeys(names, file)
    write_json(
        folder / "model.safetensors.index.json",
        {"metadata": {"total_size": total}, "weight_map": weight_map},
    )
