"""A local model as a completer, with a tiny model made here."""

import asyncio
from pathlib import Path

import pytest

from bimedix.completers import Reply, Request
from bimedix.completers.local import LocalCompleter
from bimedix.errors import MissingError
from bimedix.records import Message

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of two layers with forty words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = {"<s>": 0, "</s>": 1, "<unk>": 2} | {f"w{number}": number for number in range(3, 40)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    path = tmp_path_factory.mktemp("model")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(path)
    torch.manual_seed(1)
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=40, bos_token_id=0, eos_token_id=1, **size)).save_pretrained(path)
    return path


def lay_out(messages: tuple[Message, ...]) -> str:
    return " ".join(message.content for message in messages)


def ask(completer: LocalCompleter, *, sample: int = 0, temperature: float = 0.0) -> Reply:
    request = Request(
        (Message("user", "w5 w6"),), "answer", "r", sample=sample, temperature=temperature, max_new_tokens=12
    )
    return asyncio.run(completer.complete(request))


def test_the_same_call_gives_the_same_answer_whatever_came_before(folder: Path) -> None:
    """Greedy and sampled; another sample draws anew."""
    one, two = (LocalCompleter(folder, lay_out=lay_out) for _ in range(2))
    ask(two, sample=7, temperature=1.0)

    assert ask(one).text == ask(two).text
    assert ask(one, temperature=1.0).text == ask(two, temperature=1.0).text
    assert ask(one, temperature=1.0).text != ask(one, sample=1, temperature=1.0).text


def test_a_reply_counts_its_tokens_and_says_how_it_ended(folder: Path) -> None:
    reply = ask(LocalCompleter(folder, lay_out=lay_out))

    assert reply.tokens_in == 2
    assert (reply.finish, reply.tokens_out) == ("length", 12) or reply.tokens_out < 12


def test_a_folder_without_a_model_or_a_chat_layout_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"no config\.json"):
        LocalCompleter(tmp_path)
    with pytest.raises(MissingError, match="no chat template"):
        ask(LocalCompleter(folder))
