"""BERTScore over transformers: the model is loaded once, a text is read once, whatever it is compared with.

Equals the package bert-score (no idf, no baseline) to 1e-5: vectors of one hidden layer, each token matched
with the nearest of the other text by cosine; the two marks at the ends of a text are matched with, and count
for nothing themselves. The package sees zeros where a batch is padded, so a token without any likeness
scores 0 there and below 0 here. Source: Zhang et al. 2020 (arXiv 1904.09675).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bimedix.errors import DataError, MissingError
from bimedix.evaluate.cache import fingerprint
from bimedix.files import read_json

if TYPE_CHECKING:
    from torch import Tensor

PAIRS_AT_ONCE = 256
"""Vectors of so many pairs are held: 256 pairs of 2 x 200 tokens in 768 float32 are 0.3 GB."""
TOKENS_AT_ONCE = 8192
"""Padded tokens that go through the model together."""


@dataclass(frozen=True)
class Vectors:
    """A text as the model sees it."""

    units: "Tensor"
    """(T, D): one vector of length 1 per token."""
    weights: "Tensor"
    """(T,): 1 for a token of the text, 0 for the marks at its ends."""

    @property
    def empty(self) -> bool:
        """There is nothing between the marks."""
        return not bool(self.weights.any())


class BertScorer:
    """Compares texts by one encoder."""

    def __init__(self, folder: Path, layer: int = 0, device: str = "cpu") -> None:
        """Load an encoder, and cut it off behind a layer.

        Args:
            folder: a local model folder with safetensors and a tokenizer.
            layer: hidden layer whose vectors are compared, from 1; 0: the last one.
            device: where it runs.

        Raises:
            MissingError: no model, or no safetensors.
            DataError: not an encoder of a kind that is known, the layer is not there, or it brings code.
        """
        check_encoder(folder, layer)
        from transformers import AutoModel, AutoTokenizer

        model: Any = AutoModel.from_pretrained(
            folder, use_safetensors=True, trust_remote_code=False, local_files_only=True
        )
        layers = _layers(model, folder)
        self.layer = layer or len(layers)
        del layers[self.layer :]
        self.model = model.to(device).eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
        if None in (self.tokenizer.cls_token_id, self.tokenizer.sep_token_id, self.tokenizer.pad_token_id):
            raise DataError(f"{folder}: its tokenizer marks no beginning, end or padding, as encoders' do.")
        config = model.config
        padded = 2 if config.model_type in ("roberta", "xlm-roberta", "camembert") else 0
        self.longest = min(
            int(self.tokenizer.model_max_length),
            int(getattr(config, "max_position_embeddings", 512)) - padded,
        )
        self.cut = 0
        """Texts that were longer, and are compared by their beginning."""
        self.name = f"{folder.name}@{fingerprint([folder])[:12]}"

    @property
    def signature(self) -> str:
        """Say how a figure is computed, so that it can be computed again."""
        cut = f"|texts cut at {self.longest} tokens:{self.cut}" if self.cut else ""
        return f"model:{self.name}|layer:{self.layer}|no idf|no baseline{cut}"

    def scores(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return F1 of each (reference, generated) pair; 0 where either is empty."""
        order = sorted(range(len(pairs)), key=lambda n: (sum(map(len, pairs[n])), pairs[n]))
        out = [0.0] * len(pairs)
        for start in range(0, len(order), PAIRS_AT_ONCE):
            some = order[start : start + PAIRS_AT_ONCE]
            texts = {text.strip() for n in some for text in pairs[n]}
            seen = self._read(sorted(texts))
            for n in some:
                reference, generated = (seen[text.strip()] for text in pairs[n])
                out[n] = f1(reference, generated)
        return out

    def _read(self, texts: Sequence[str]) -> dict[str, Vectors]:
        ids = {text: self._encode(text) for text in texts}
        found: dict[str, Vectors] = {}
        batch: list[str] = []
        for text in sorted(texts, key=lambda t: (len(ids[t]), t)):
            if batch and (len(batch) + 1) * len(ids[text]) > TOKENS_AT_ONCE:
                found |= self._vectors({t: ids[t] for t in batch})
                batch = []
            batch.append(text)
        return found | (self._vectors({t: ids[t] for t in batch}) if batch else {})

    def _encode(self, text: str) -> list[int]:
        whole: list[int] = self.tokenizer.encode(text, add_special_tokens=True)
        if len(whole) <= self.longest:
            return whole
        self.cut += 1
        short: list[int] = self.tokenizer.encode(
            text, add_special_tokens=True, max_length=self.longest, truncation=True
        )
        return short

    def _vectors(self, ids: dict[str, list[int]]) -> dict[str, Vectors]:
        import torch

        device, width = self.model.device, max(map(len, ids.values()))
        pad = self.tokenizer.pad_token_id
        ids_NT = torch.tensor([row + [pad] * (width - len(row)) for row in ids.values()], device=device)
        mask_NT = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids.values()])
        with torch.inference_mode():
            hidden_NTD = self.model(ids_NT, attention_mask=mask_NT.to(device)).last_hidden_state.float()
        ends = torch.tensor([self.tokenizer.cls_token_id, self.tokenizer.sep_token_id], device=device)
        out = {}
        for row, (text, tokens) in enumerate(ids.items()):
            units = torch.nn.functional.normalize(hidden_NTD[row, : len(tokens)], dim=-1)
            weights = ~torch.isin(ids_NT[row, : len(tokens)], ends)
            out[text] = Vectors(units.cpu(), weights.float().cpu())
        return out


def f1(reference: Vectors, generated: Vectors) -> float:
    """Return the harmonic mean of how well each text finds itself in the other."""
    if reference.empty or generated.empty:
        return 0.0
    alike_GR = generated.units @ reference.units.T
    precision = float(alike_GR.amax(1) @ generated.weights / generated.weights.sum())
    recall = float(alike_GR.amax(0) @ reference.weights / reference.weights.sum())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def check_encoder(folder: Path, layer: int) -> None:
    """Refuse a folder that holds no encoder, before anything is loaded or asked.

    Raises:
        MissingError: no config, or no safetensors.
        DataError: the layer is not there, or the config asks for code.
    """
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise MissingError(
            f"{folder}: holds no config.json with *.safetensors.\n"
            "  Download an encoder such as bert-base-multilingual-cased, and give its folder as `bertscore`."
        )
    config = read_json(folder / "config.json")
    if "auto_map" in config:
        raise DataError(f"{folder}/config.json: asks to run code that comes with the model; refused.")
    layers = config.get("num_hidden_layers", config.get("n_layers", layer))
    if not 0 <= layer <= layers:
        raise DataError(f"{folder}: has {layers} layers, so there is no layer {layer}.")


def _layers(model: Any, folder: Path) -> Any:
    for part in ("encoder", "transformer"):
        layers = getattr(getattr(model, part, None), "layer", None)
        if layers is not None:
            return layers
    raise DataError(
        f"{folder}: {type(model).__name__} is no encoder with a list of layers, as BERT, RoBERTa, XLM-R and "
        "DistilBERT are."
    )
