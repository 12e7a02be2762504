"""`bimedix show --tokens`: what training reads of a record, for any template, with its loss mask."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from bimedix.cli import cli
from bimedix.errors import DataError, MissingError, UsageError
from bimedix.files import write_records
from bimedix.records import Conversation, Message, Origin

pytest.importorskip("transformers")

TALK = Conversation(
    "c:1", "ar", Origin("made"),
    (
        Message("user", "ما علاج الحمى؟"), Message("assistant", "الراحة والسوائل."),
        Message("user", "And then?"), Message("assistant", "See a doctor\x1b[31m."),
    ),
    "chat",
)  # fmt: skip
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    write_records(tmp_path / "train.jsonl", [TALK])
    return tmp_path / "train.jsonl"


def saved_tokenizer(folder: Path, template: str | None) -> Path:
    """Write a byte-level tokenizer with this chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({piece: at for at, piece in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|im_end|>", additional_special_tokens=["<|im_start|>"]
    )
    made.chat_template = template
    made.save_pretrained(folder)
    return folder


def shown(talk: Path, *words: str) -> str:
    """Return what the command prints, errors raised."""
    done = CliRunner().invoke(cli, ["show", str(talk), "--tokens", *words], env={"COLUMNS": "400"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def own(tmp_path: Path, template: str | None) -> list[str]:
    folder = saved_tokenizer(tmp_path / "tokenizer", template)
    return ["--recipe", "tiny", "--set", f"train.tokenizer={folder}", "--set", "train.template=tokenizer"]


def test_replies_with_their_stop_token_are_marked(talk):
    """Where there are no colours, in brackets; Mixtral's layout without a recipe."""
    text = shown(talk)

    assert (
        "<s> [INST] ما علاج الحمى؟ [/INST]⟦ الراحة والسوائل.</s>⟧ [INST] And then? [/INST]⟦ See a doctor"
        in text
    )
    assert text.count("⟦") == text.count("⟧") == 2
    assert "in 2 replies; template 'mixtral', tokenizer 'mixtral'" in text


def test_vicunas_layout_is_shown_when_the_recipe_says_so(talk):
    text = shown(talk, "--recipe", "tiny", "--set", "train.template=vicuna")

    assert (
        "USER: ما علاج الحمى؟ ASSISTANT:⟦ الراحة والسوائل.</s>⟧ USER: And then? ASSISTANT:⟦ See a doctor"
        in text
    )


def test_the_template_that_a_tokenizer_carries_is_shown_with_whole_characters(talk, tmp_path):
    """Byte tokens are joined to Arabic letters, and the stop token is learned."""
    text = shown(talk, *own(tmp_path, CHATML))

    assert (
        "<|im_start|>user\nما علاج الحمى؟<|im_end|>\n<|im_start|>assistant\n⟦الراحة والسوائل.<|im_end|>"
        in text
    )
    assert "is not trained" not in text


def test_a_stop_token_outside_the_loss_is_told(talk, tmp_path):
    """A template that ends replies by something else never teaches the model to stop."""
    text = shown(talk, *own(tmp_path, CHATML.replace("<|im_end|>", "|")))

    assert "reply 1: its stop token is not trained" in text


def test_control_characters_of_a_record_do_not_reach_the_terminal(talk):
    text = shown(talk)

    assert "␛[31m" in text and "\x1b" not in text


def test_a_tokenizer_without_a_template_is_refused(talk, tmp_path):
    with pytest.raises(UsageError, match="needs a chat template in the tokenizer; it carries none"):
        shown(talk, *own(tmp_path, None))


def test_a_template_that_tells_no_prompts_apart_is_refused(talk, tmp_path):
    """Never a mask of ones: here prompts are empty."""
    with pytest.raises(DataError, match="every token one of a reply"):
        shown(
            talk,
            *own(tmp_path, "{% for m in messages if m.role == 'assistant' %}{{ m.content }}{% endfor %}"),
        )


def test_settings_need_a_recipe_and_a_recipe_needs_training(talk, tmp_path):
    (tmp_path / "r.toml").write_text('name = "r"\n[mix]\n')

    with pytest.raises(UsageError, match="name one with --recipe"):
        shown(talk, "--set", "train.template=vicuna")
    with pytest.raises(UsageError, match=r"has no table \[train\]"):
        shown(talk, "--recipe", str(tmp_path / "r.toml"))
    with pytest.raises(MissingError, match="no such model folder"):
        shown(
            talk,
            "--recipe",
            "tiny",
            "--set",
            "train.tokenizer=./nowhere",
            "--set",
            "train.template=tokenizer",
        )
