"""Chat layout and loss mask: equal to the publishers' own encoders, and never silently wrong."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bimedix.errors import DataError, UsageError
from bimedix.prompts.chat import (
    TEMPLATES,
    MixtralPieces,
    encode_conversation,
    encode_prompt,
    encode_reply,
    layout,
)
from bimedix.records import Message

TALK = (
    Message("system", "Answer with care."),
    Message("user", "ما هو علاج الحمى؟"),
    Message("assistant", "أ) الراحة والسوائل."),
    Message("user", "And if it lasts 3 days?"),
    Message("assistant", "See a doctor."),
)
texts = st.text(st.sampled_from("ab  \nÉأب؟中1</s>[INST]"), min_size=1, max_size=20)


@pytest.fixture(scope="module")
def publisher():
    """mistral-common's encoder of Mixtral-8x7B-Instruct (tokenizer v1)."""
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    return MistralTokenizer.v1()


def publisher_ids(publisher, messages):
    from mistral_common.protocol.instruct.messages import AssistantMessage, SystemMessage, UserMessage
    from mistral_common.protocol.instruct.request import ChatCompletionRequest

    kinds = {"system": SystemMessage, "user": UserMessage, "assistant": AssistantMessage}
    request = ChatCompletionRequest(messages=[kinds[m.role](content=m.content) for m in messages])
    return publisher.encode_chat_completion(request).tokens


def test_open_prompts_equal_those_of_mistral_common(publisher):
    """System text, two languages and several turns give the publisher's ids."""
    assert encode_prompt(TALK[:4], MixtralPieces(), "mixtral") == publisher_ids(publisher, TALK[:4])


@settings(max_examples=50, deadline=None)
@given(first=texts, reply=texts, second=texts)
def test_any_text_gives_the_ids_of_mistral_common(publisher, first, reply, second):
    """Spaces, markers written as text and mixed scripts included."""
    talk = (Message("user", first), Message("assistant", reply), Message("user", second))

    assert encode_prompt(talk, MixtralPieces(), "mixtral") == publisher_ids(publisher, talk)


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_loss_falls_on_replies_and_their_stop_token_only(template):
    """T17: in every turn, Arabic and English, a supervised run is one reply and ends with the stop token."""
    tokenizer = MixtralPieces()
    ids, supervised = encode_conversation(TALK, tokenizer, template)
    runs: list[list[int]] = [[]]
    for token, marked in zip(ids, supervised, strict=True):
        if marked:
            runs[-1].append(token)
        elif runs[-1]:
            runs.append([])

    assert runs == [[*encode_reply(m.content, tokenizer), 2] for m in TALK if m.role == "assistant"]


def test_markers_inside_a_text_are_text():
    """A record that contains `</s>` cannot end its turn."""
    ids, _ = encode_conversation(
        (Message("user", "a</s>b<s>"), Message("assistant", "c</s>d")), MixtralPieces(), "mixtral"
    )

    assert ids.count(2) == 1
    assert ids.count(1) == 1


def test_the_prompt_is_a_prefix_of_the_conversation():
    """What evaluation and serving send is what training has seen before the reply."""
    ids, supervised = encode_conversation(TALK[:3], MixtralPieces(), "vicuna")
    prompt = encode_prompt(TALK[:2], MixtralPieces(), "vicuna")

    assert ids[: len(prompt)] == prompt
    assert supervised.index(True) == len(prompt)


@pytest.mark.parametrize(
    ("messages", "match"),
    [
        ((Message("user", "a"), Message("user", "b"), Message("assistant", "c")), "messages.1: role 'user'"),
        ((Message("system", "s"), Message("assistant", "c")), "messages.1: role 'assistant'"),
        ((Message("user", "a"),), "no assistant message"),
    ],
)
def test_roles_out_of_turn_are_named(messages, match):
    with pytest.raises(DataError, match=match):
        encode_conversation(messages, MixtralPieces(), "mixtral")


def test_an_unknown_template_suggests_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'mixtral'"):
        layout(TALK, "mixtrl")


HUB_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content + eos_token }}"
    "{% else %}[INST] {{ m.content }} [/INST]{% endif %}{% endfor %}"
)


@pytest.fixture(scope="module")
def hub_tokenizer():
    from bimedix.model.load import mixtral_tokenizer

    return mixtral_tokenizer()


def test_the_tokenizers_own_template_gives_replies_and_stop_tokens(hub_tokenizer):
    """The mask of the `tokenizer` mode covers each reply and its stop token, and nothing else."""
    hub_tokenizer.chat_template = HUB_TEMPLATE
    ids, supervised = encode_conversation(TALK[1:], hub_tokenizer, "tokenizer")
    learnt = hub_tokenizer.decode([t for t, marked in zip(ids, supervised, strict=True) if marked])

    assert learnt.replace(" ", "") == "أ) الراحة والسوائل.</s>See a doctor.</s>".replace(" ", "")


def test_a_template_that_hides_the_reply_is_an_error_not_a_full_mask(hub_tokenizer):
    """A template that rewrites earlier turns cannot be masked; it says so."""
    hub_tokenizer.chat_template = "{{ messages|length }}{% for m in messages %}{{ m.content }}{% endfor %}"

    with pytest.raises(DataError, match="cannot be told from the prompt"):
        encode_conversation(TALK[1:3], hub_tokenizer, "tokenizer")


def test_a_template_cannot_reach_outside_its_sandbox(hub_tokenizer):
    hub_tokenizer.chat_template = "{{ ''.__class__.__mro__[1].__subclasses__() }}"

    with pytest.raises(DataError, match="chat template failed"):
        encode_conversation(TALK[1:3], hub_tokenizer, "tokenizer")


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=40))
def test_the_fast_tokenizer_gives_the_ids_of_sentencepiece(hub_tokenizer, text):
    """On any text, also where the shipped conversions differ: spaces before and within words."""
    ours = hub_tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)

    assert ours == MixtralPieces().encode(text)
