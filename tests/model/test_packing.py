"""Packed documents give the numbers they give alone; loss needs the logits of supervised rows only."""

import itertools
from array import array

import pytest
import torch

from bimedix.errors import ShapeError
from bimedix.model.blocks import attach
from bimedix.model.packing import (
    ATTENTION,
    attend_packed,
    document_attention,
    head_loss,
    pack,
    register_attention,
)
from bimedix.model.settings import AdapterSettings
from bimedix.train.loop import Objective

LENGTHS = (7, 1, 12, 20)


def documents():
    source = torch.Generator().manual_seed(8)
    made = [torch.randint(0, 300, (n,), generator=source).tolist() for n in LENGTHS]
    return [(ids, [at % 3 != 1 for at in range(len(ids))]) for ids in made]


def test_rows_point_at_the_next_supervised_token_of_the_same_document():
    """The last token of one document never predicts the first of the next."""
    packed = pack([([5, 6, 7], [True, False, True]), ([8, 9], [True, True])])

    assert packed.rows.tolist() == [1, 3]
    assert packed.targets.tolist() == [7, 9]
    assert packed.positions.tolist() == [[0, 1, 2, 0, 1]]


def loss_and_gradients(model, packs):
    register_attention()
    model.set_attn_implementation(ATTENTION)
    model.train()
    model.zero_grad()
    losses = [Objective(model)(packed) for packed in packs]
    torch.stack(losses).sum().backward()
    grads = [p.grad.clone() for p in model.parameters() if p.requires_grad]
    return [float(loss.detach()) for loss in losses], grads


def test_packed_equals_unpacked(tiny, apart, with_values):
    """T16: the loss of each document and every gradient, packed or one by one."""
    model = with_values(attach(tiny(), AdapterSettings(rank=3)))
    d = documents()
    (whole,), packed_grads = loss_and_gradients(model, [pack(d)])
    alone, grads = loss_and_gradients(model, [pack([one]) for one in d if len(one[0]) > 1])

    assert whole == pytest.approx(sum(alone), rel=1e-6)
    for mine, theirs in zip(packed_grads, grads, strict=True):
        assert apart(mine, theirs) <= 5e-6


def test_losses_equal_those_of_transformers_on_each_document(tiny, with_values):
    """The same numbers as plain sdpa attention over one document at a time with full logits."""
    model = with_values(attach(tiny(), AdapterSettings(rank=3)))
    d = documents()
    expected = 0.0
    with torch.no_grad():
        for ids, marks in d:
            lp = model(torch.tensor([ids])).logits[0].log_softmax(-1)
            expected -= sum(float(lp[t - 1, ids[t]]) for t in range(1, len(ids)) if marks[t])
    (mine,), _ = loss_and_gradients(model, [pack(d)])

    assert mine == pytest.approx(expected, rel=1e-6)


def test_a_change_in_one_document_leaves_the_others_alone(tiny):
    """No attention leaks over a border."""
    register_attention()
    model = tiny()
    model.set_attn_implementation(ATTENTION)
    d = documents()
    changed = [([(t + 1) % 300 for t in d[0][0]], d[0][1]), *d[1:]]

    def hidden(packed):
        return model.model(
            input_ids=packed.ids, position_ids=packed.positions, document_lengths=packed.lengths
        ).last_hidden_state[0, LENGTHS[0] :]

    assert torch.equal(hidden(pack(d)), hidden(pack(changed)))


def test_a_sliding_window_limits_what_is_seen():
    """Row t of a long document sees t - window + 1 to t; a short document takes no mask."""
    q = torch.randn(1, 4, 9, 8)
    k, v = torch.randn(1, 2, 9, 8), torch.randn(1, 2, 9, 8)
    windowed, _ = document_attention(None, q, k, v, None, sliding_window=3)
    last, _ = document_attention(None, q[:, :, 6:], k[:, :, 6:], v[:, :, 6:], None)

    assert torch.allclose(windowed[:, 8], last[:, 2], atol=1e-6)


def attend_each(q, k, v, starts, window):
    """What torch's varlen attention computes, one document after the other; window: (left, right)."""
    parts = []
    for a, b in itertools.pairwise(starts.tolist()):
        at = torch.arange(b - a)
        distance = at[:, None] - at[None]
        seen = (distance >= 0) & ((window[0] < 0) | (distance <= window[0]))
        heads = (t[a:b].transpose(0, 1) for t in (q, k, v))
        parts.append(torch.nn.functional.scaled_dot_product_attention(*heads, attn_mask=seen).transpose(0, 1))
    return torch.cat(parts)


def torch_2_10(q, k, v, cu_seq_q, cu_seq_k, max_q, max_k, is_causal=False):
    assert is_causal
    return attend_each(q, k, v, cu_seq_q, (-1, 0))


def torch_2_11(q, k, v, cu_seq_q, cu_seq_k, max_q, max_k, *, scale=None, window_size=(-1, -1)):
    assert window_size[1] == 0
    return attend_each(q * (1 if scale is None else scale * q.shape[-1] ** 0.5), k, v, cu_seq_q, window_size)


def torch_2_13(
    q, k, v, cu_seq_q, cu_seq_k, max_q, max_k, *, scale=None, window_size=(-1, -1), enable_gqa=False
):
    assert enable_gqa
    k, v = (t.repeat_interleave(2, dim=1) for t in (k, v))
    return torch_2_11(q, k, v, cu_seq_q, cu_seq_k, max_q, max_k, scale=scale, window_size=window_size)


@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("attend", [torch_2_10, torch_2_11, torch_2_13])
def test_one_call_for_all_documents_gives_what_each_alone_gives(apart, attend, window):
    """Whatever the torch: its causal flag or window, its scale, its shared key heads."""
    q, k, v = (torch.randn(1, heads, sum(LENGTHS), 8) for heads in (4, 2, 2))
    flat = [t[0].transpose(0, 1) for t in (q, k, v)]
    if attend is torch_2_10 and window:
        with pytest.raises(ShapeError, match="a sliding window of 5"):
            attend_packed(attend, *flat, LENGTHS, 0.2, window)
        return
    alone, _ = document_attention(
        None, q, k, v, None, scaling=0.2, sliding_window=window, document_lengths=LENGTHS
    )

    assert apart(attend_packed(attend, *flat, LENGTHS, 0.2, window), alone[0]) <= 1e-6


def test_lengths_that_do_not_add_up_are_refused():
    with pytest.raises(ShapeError, match="documents of 5 tokens"):
        document_attention(None, *[torch.zeros(1, 1, 4, 8)] * 3, None, document_lengths=(2, 3))


@pytest.mark.parametrize("chunk", [3, 64])
def test_chunked_head_loss_equals_cross_entropy(apart, chunk):
    """Loss, gradient of the hidden states and of the head, whatever the chunk."""
    hidden = torch.randn(17, 12, dtype=torch.float64, requires_grad=True)
    head = torch.randn(40, 12, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 40, (17,))
    expected = torch.nn.functional.cross_entropy(hidden @ head.T, targets, reduction="sum")
    expected_grads = torch.autograd.grad(expected * 0.3, (hidden, head))
    loss = head_loss(hidden, head, targets, chunk)
    grads = torch.autograd.grad(loss * 0.3, (hidden, head))

    assert float(loss) == pytest.approx(float(expected))
    for mine, theirs in zip(grads, expected_grads, strict=True):
        assert apart(mine, theirs) <= 1e-12


def test_arrays_and_bytes_pack_as_lists_do():
    """What samples hold, 4-byte ids and byte marks, gives the same row as lists of the same numbers."""
    lists = [([5, 6, 7], [True, False, True]), ([8], [True]), ([9, 4], [False, True])]
    held = [(array("i", ids), bytes(marks)) for ids, marks in lists]
    a, b = pack(held), pack(lists)

    assert a.lengths == b.lengths == (3, 1, 2)
    for name in ("ids", "positions", "rows", "targets"):
        assert torch.equal(getattr(a, name), getattr(b, name))
    assert a.ids.tolist() == [[5, 6, 7, 8, 9, 4]]
    assert (a.rows.tolist(), a.targets.tolist()) == ([1, 4], [7, 4])
