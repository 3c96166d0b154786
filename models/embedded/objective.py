"""The language stage's forward pass and its three losses.

Streaming in small: three streams share the layers.  *Video* attends to the sink and its
window.  *Question* attends, in each layer, to the chunks that its context names: recalled ones
and its window.  *Blind question* sees the sink and itself alone; its mean query is what recall
uses, in training and when it runs.  (A query that had seen the right chunks would carry them
in it, and learn nothing.)

Keys are kept un-rotated and rotated when read, at contiguous positions
[sink | recalled in time order | window | question].  Attention is written by hand: matmul,
softmax, matmul is ten times faster here than the fused one, forward and backward on a CPU.

B films, N chunks a film, Q questions, T their tokens, K chunks a question sees, H query heads,
G key heads, D head dimension, C width.

Sources: ReKV (arXiv 2503.00540) for the score; the contrastive and grounding losses are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlavaOnevisionForConditionalGeneration

from longtake.models.embedded import language
from longtake.models.embedded.batches import Batch
from longtake.models.embedded.network import STEP_TOKENS, VISUAL_TOKENS, see

VIDEO_WINDOW = 4  # chunks before its own that a chunk attends to: 8 s
SHARPNESS = 12.0  # factor on scores in the contrastive loss; at 1 the first layer never learns
CONTRAST_WEIGHT, GROUNDING_WEIGHT = 0.15, 0.3


@dataclass(slots=True)
class Report:
    """What one batch showed."""

    answer_loss: float
    contrast_loss: float
    grounded_mass: float  # share of attention on the referent, in the last layer but one
    recall_at_1: list[float]  # by layer, among all chunks of the batch
    right: list[bool]  # by question: the whole answer, as greedy decoding would give it


def language_loss(
    model: LlavaOnevisionForConditionalGeneration, batch: Batch
) -> tuple[Tensor, Report]:
    """One pass over B films and their Q questions.  Vision is frozen."""
    lm = model.model.language_model
    layers: Any = lm.layers
    video = _embed_video(model, batch)
    question = lm.embed_tokens(batch["ids"])
    plan = _Plan(lm, batch, video, question)
    blind = question[:, : plan.words]
    film, chunks = batch["film"], batch["stamps"].shape[1]

    contrast_loss = ground_loss = video.new_zeros(())
    recall, mass = [], 0.0
    for i, layer in enumerate(layers):
        vq, vk, vv = _project(layer, video)
        qq, qk, qv = _project(layer, question)
        bq, bk, bv = _project(layer, blind)
        sink = len(language.sink_ids())
        keys, values = (x[:, sink:].reshape(-1, STEP_TOKENS, *x.shape[2:]) for x in (vk, vv))
        loss, hit = _contrast((bq * plan.share).sum(1), keys.mean(1), batch)
        contrast_loss = contrast_loss + loss / len(layers)
        recall.append(hit)

        context = batch["context"][i]
        k, v = (
            torch.cat([x[film, :sink], kept[context.clamp(min=0)].flatten(1, 2), own], 1)
            for x, kept, own in ((vk, keys, qk), (vv, values, qv))
        )
        tokens = question.shape[1]
        q = _rotate(qq, *(r[:, -tokens:] for r in plan.question_rope))
        k = _rotate(k, *plan.question_rope)
        if i == len(layers) - 2:
            ground_loss, mass = _ground(q, k, plan.question_mask, batch, context, chunks)
        question = _finish(layer, question, _attend(q, k, v, plan.question_mask))
        if i < len(layers) - 1:  # nobody reads what the last layer makes of these two
            vq, vk_rotated = _rotate(vq, *plan.video_rope), _rotate(vk, *plan.video_rope)
            video = _finish(layer, video, _attend(vq, vk_rotated, vv, plan.video_mask))
            bk, bv = (torch.cat([x[film, :sink], own], 1) for x, own in ((vk, bk), (vv, bv)))
            bq = _rotate(bq, *(r[:, sink:] for r in plan.blind_rope))
            attended = _attend(bq, _rotate(bk, *plan.blind_rope), bv, plan.blind_mask)
            blind = _finish(layer, blind, attended)

    target, given = batch["labels"][:, 1:], batch["labels"][:, 1:] >= 0
    logits = model.lm_head(lm.norm(question)[:, :-1][given])
    answer_loss = F.cross_entropy(logits, target[given])
    right = torch.ones(len(target), dtype=torch.bool)
    right[given.nonzero()[:, 0][logits.argmax(-1) != target[given]]] = False
    total = answer_loss + CONTRAST_WEIGHT * contrast_loss + GROUNDING_WEIGHT * ground_loss
    return total, Report(
        float(answer_loss.detach()), float(contrast_loss.detach()), mass, recall, right.tolist()
    )


def _embed_video(model: LlavaOnevisionForConditionalGeneration, batch: Batch) -> Tensor:
    """``[B, sink + N * STEP_TOKENS, C]``: the sink, then per chunk its stamp and its frames."""
    embed = model.model.language_model.embed_tokens
    films, chunks = batch["stamps"].shape[:2]
    with torch.no_grad():
        visual = see(model, batch["frames"]).reshape(films, chunks, VISUAL_TOKENS, -1)
    tokens = torch.cat([embed(batch["stamps"]), visual], 2).flatten(1, 2)
    sink = embed(torch.tensor(language.sink_ids()))[None].expand(films, -1, -1)
    return torch.cat([sink, tokens], 1)


class _Plan:
    """Positions and masks of the three streams, made once a batch."""

    def __init__(self, lm: Any, batch: Batch, video: Tensor, question: Tensor) -> None:
        sink = len(language.sink_ids())
        count, tokens = batch["ids"].shape
        self.video_rope = lm.rotary_emb(video, torch.arange(video.shape[1])[None])
        self.video_mask = _video_mask(batch["stamps"].shape[1])

        slots = batch["context"].shape[-1] * STEP_TOKENS
        begin = sink + batch["seen"][:, None] * STEP_TOKENS
        remembered = torch.arange(sink + slots).expand(count, -1)
        positions = torch.cat([remembered, begin + torch.arange(tokens)[None]], 1)
        self.question_rope = lm.rotary_emb(question, positions)
        filled = (torch.arange(sink + slots)[None] < begin)[:, None].expand(-1, tokens, -1)
        own = _causal(tokens, tokens)[None].expand(count, -1, -1)
        self.question_mask = torch.cat([filled, own], 2)[:, None]

        asked = batch["asked"].float()
        self.words = int(batch["asked"].sum(1).max())
        self.blind_rope = lm.rotary_emb(question, torch.arange(sink + self.words)[None])
        self.blind_mask = _causal(self.words, sink + self.words)[None, None]
        self.share = (asked[:, : self.words] / asked.sum(1, keepdim=True))[..., None, None]


def _video_mask(chunks: int) -> Tensor:
    """``[1, 1, S, S]``: the sink, the window before its chunk, and causally its own chunk."""
    sink = len(language.sink_ids())
    index = torch.arange(sink + chunks * STEP_TOKENS)
    chunk = torch.where(index < sink, -1, (index - sink) // STEP_TOKENS)
    near = (chunk[None] == -1) | (chunk[:, None] - chunk[None] <= VIDEO_WINDOW)
    return ((index[None] <= index[:, None]) & near)[None, None]


def _causal(new: int, total: int) -> Tensor:
    return torch.arange(total)[None] <= torch.arange(total - new, total)[:, None]


def _project(layer: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``[B, T, C]`` -> un-rotated query ``[B, T, H, D]``, key and value ``[B, T, G, D]``."""
    attention, h = layer.self_attn, layer.input_layernorm(x)
    q, k, v = (
        p(h).view(*x.shape[:2], -1, attention.head_dim)
        for p in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    return q, k, v


def _finish(layer: Any, x: Tensor, attended: Tensor) -> Tensor:
    x = x + layer.self_attn.o_proj(attended)
    out: Tensor = x + layer.mlp(layer.post_attention_layernorm(x))
    return out


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x ``[..., T, H, D]``, cos and sin ``[..., T, D]``."""
    cos, sin, half = cos.unsqueeze(-2), sin.unsqueeze(-2), x.shape[-1] // 2
    swapped = torch.cat((-x[..., half:], x[..., :half]), -1)
    return x * cos + swapped * sin


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """q ``[B, T, H, D]``, k and v ``[B, M, G, D]``, mask bool ``[B or 1, 1, T, M]``
    -> ``[B, T, H*D]``.

    Query heads of one key head become extra query rows: keys are never repeated (15 % of a step).
    """
    b, t, heads, d = q.shape
    m, kv_heads = k.shape[1:3]
    group = heads // kv_heads
    rows = q.view(b, t, kv_heads, group, d).permute(0, 2, 3, 1, 4)
    rows = rows.reshape(b, kv_heads, group * t, d) * d**-0.5
    scores = (rows @ k.permute(0, 2, 3, 1)).view(b, kv_heads, group, t, m)
    scores = scores + torch.zeros(mask.shape).masked_fill_(~mask, -1e9).unsqueeze(2)
    out = scores.softmax(-1).view(b, kv_heads, group * t, m) @ v.transpose(1, 2)
    joined: Tensor = out.view(b, kv_heads, group, t, d).permute(0, 3, 1, 2, 4)
    return joined.reshape(b, t, heads * d)


def _contrast(query: Tensor, keys: Tensor, batch: Batch) -> tuple[Tensor, float]:
    """Multi-positive InfoNCE between mean queries ``[Q, H, D]`` and the mean keys
    ``[B*N, G, D]`` of all chunks of the batch -> loss, recall@1."""
    grouped = query.view(len(query), keys.shape[1], -1, query.shape[2]).sum(2)
    scores = torch.einsum("qgd,ngd->qn", grouped, keys) / query.shape[-1] ** 0.5 * SHARPNESS
    positive, used = batch["positive"], batch["positive"].any(1)
    scores = scores.masked_fill(~(positive | batch["negative"]), -1e4)
    share = torch.logsumexp(scores.masked_fill(~positive, -1e4), 1) - torch.logsumexp(scores, 1)
    hit = positive.gather(1, scores.argmax(1, keepdim=True))[:, 0] & used
    count = used.sum().clamp(min=1)
    return -(share * used).sum() / count, float(hit.sum() / count)


def _ground(
    q: Tensor, k: Tensor, mask: Tensor, batch: Batch, context: Tensor, chunks: int
) -> tuple[Tensor, float]:
    """Loss: -log of the attention that the first answer position gives to the referent's tokens.

    It breaks the plateau 'right chunk, wrong thing in it'.
    """
    sink = len(language.sink_ids())
    rows = torch.arange(len(q))
    first = batch["asked"].sum(1) + len(language.turn_ids()) - 1
    heads = q[rows, first].view(len(q), k.shape[2], -1, q.shape[3])
    scores = torch.einsum("qgnd,qmgd->qgnm", heads, k).flatten(1, 2) / q.shape[-1] ** 0.5
    scores = scores.masked_fill(~mask[rows, 0, first][:, None], -1e9)
    share = scores.softmax(-1).mean(1)[:, sink : sink + context.shape[1] * STEP_TOKENS]
    local = (context - batch["film"][:, None] * chunks).clamp(min=0)
    wanted = batch["grounded"][rows[:, None], local] & (context >= 0)[..., None]
    mass, used = (share * wanted.flatten(1)).sum(1), wanted.flatten(1).any(1)
    count = used.sum().clamp(min=1)
    loss = -(torch.log(mass + 1e-5) * used).sum() / count
    return loss, float((mass.detach() * used).sum() / count)


def trainable(model: LlavaOnevisionForConditionalGeneration) -> list[nn.Parameter]:
    """What the language stage trains: all but vision, which joint training destroys."""
    frozen = {
        id(p)
        for part in (model.model.vision_tower, model.model.multi_modal_projector)
        for p in part.parameters()
    }
    return [p for p in model.parameters() if id(p) not in frozen]
