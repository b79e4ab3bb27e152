"""Masks: what they say, how they fill, and to whom they apply."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mhsa.bugs.mutants.plain import Four, Plain, contiguous


class Filled(Plain):
    """Base of mutants that fill masked scores with a number and leave the rest to the softmax."""

    number = -1e9

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return torch.softmax(s if mask is None else s.masked_fill(self.hidden(mask), self.number), dim=-1)


class MaskIgnored(Plain):
    """The mask is taken and not used.

    Formula: softmax(S); must be softmax over allowed keys
    Census: AI4Bharat/IndicBERT#20
    """

    def hidden(self, mask: Tensor) -> Tensor:
        return torch.zeros_like(mask.unsqueeze(1), dtype=torch.bool)


class PolarityInverted(Plain):
    """What the mask allows is hidden, and what it hides is allowed.

    Formula: softmax over j with M_ij false; must be over j with M_ij true
    Census: P22 (polarity)
    """

    def hidden(self, mask: Tensor) -> Tensor:
        return mask.unsqueeze(1) != 0


class FillOfMinusFive(Filled):
    """Masked scores are set to a number that is not small enough.

    Formula: S_ij = {} where masked; must be minus infinity
    Census: microsoft/onnxruntime#14363
    """

    number = -5.0
    free = "number"


class FillOfMinusTenThousand(Filled):
    """Masked scores are set to a number that only huge scores come near.

    Formula: S_ij = -10000 where masked; must be minus infinity
    Census: microsoft/onnxruntime#14363
    """

    number = -10000.0


class FillOfZero(Filled):
    """Masked scores are set to zero.

    Formula: S_ij = 0 where masked; must be minus infinity
    Census: P03
    """

    number = 0.0


class FillOfSmallestPositive(Filled):
    """Masked scores are set to the smallest positive number, which looks like a small one.

    Formula: S_ij = finfo.tiny where masked; must be minus infinity
    Census: P03
    """

    number = 2.2e-308


class FillAddedOfTen(Plain):
    """Ten is taken off masked scores.

    Formula: S_ij - {} where masked; must be minus infinity
    Census: microsoft/onnxruntime#14363
    """

    amount = 10.0
    free = "amount"

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return torch.softmax(s if mask is None else s - self.amount * self.hidden(mask), dim=-1)


class MaskAddedAsNumber(Plain):
    """The mask itself is added to the scores.

    Formula: softmax(S + M); must be softmax over allowed keys
    Census: P22
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return torch.softmax(s if mask is None else s + mask.unsqueeze(1), dim=-1)


class MaskMultipliesScores(Plain):
    """The scores are multiplied by the mask.

    Formula: softmax(S M); must be softmax over allowed keys
    Census: P22
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return torch.softmax(s if mask is None else s * mask.unsqueeze(1), dim=-1)


class MaskAfterSoftmax(Plain):
    """Masked weights are set to zero after the softmax, and the rest is not normalised again.

    Formula: M softmax(S); must be softmax over allowed keys
    Census: P03
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        w = torch.softmax(s, dim=-1)
        return w if mask is None else w.masked_fill(self.hidden(mask), 0.0)


class MaskOfTheFirstSample(Plain):
    """Every sample is masked as the first.

    Formula: M_1; must be M_b
    Census: P07
    """

    def hidden(self, mask: Tensor) -> Tensor:
        return (mask[:1] == 0).unsqueeze(1).expand(mask.size(0), 1, -1, -1)


class MaskForTheFirstHead(Plain):
    """Only the first head is masked.

    Formula: M for h = 1; must be for every h
    Census: graph (mask over heads)
    """

    def hidden(self, mask: Tensor) -> Tensor:
        hidden = (mask == 0).unsqueeze(1).repeat(1, self.head, 1, 1)
        hidden[:, 1:] = False
        return hidden


class MaskRepeatedInWrongOrder(Plain):
    """For folded heads the mask is repeated sample by sample where the scores are folded head by head.

    Formula: row b H + h uses mask (b H + h) mod B; must be mask b
    Census: keras (mask repeated element by element)
    """

    def hidden(self, mask: Tensor) -> Tensor:
        hidden = (mask == 0).repeat(self.head, 1, 1)
        return hidden.reshape(mask.size(0), self.head, *mask.shape[1:])


class MaskRepeatedElementwise(Plain):
    """For heads folded before the batch the mask is repeated element by element, as for heads folded after it.

    Formula: row h B + b uses mask (h B + b) div H; must be mask b
    Census: lsdefine/attention-is-all-you-need-keras#36
    """

    def hidden(self, mask: Tensor) -> Tensor:
        hidden = (mask == 0).repeat_interleave(self.head, 0)
        return hidden.reshape(self.head, mask.size(0), *mask.shape[1:]).transpose(0, 1)


class MaskOnValues(Plain):
    """Masked values are set to zero, and their keys keep their share of the weights.

    Formula: softmax(S) (M V); must be softmax over allowed keys
    Census: P03
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return torch.softmax(s, -1)

    def drop(self, w: Tensor) -> Tensor:
        return super().drop(w if self.open is None else w * self.open)

    def given(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Four:
        self.open = None if mask is None else (mask != 0).unsqueeze(1).to(query.dtype)
        return query, key, value, mask


class MaskTakenForHeads(Plain):
    """The mask gets its new axis in the wrong place, so that its samples are taken for heads.

    Formula: M_h for head h, where B is H or one of them is 1; must be M_b for sample b
    Census: P07 (broadcast)
    """

    def hidden(self, mask: Tensor) -> Tensor:
        return (mask == 0).unsqueeze(0)


class MaskTransposed(Plain):
    """A square mask is read with queries and keys exchanged.

    Formula: M_ji; must be M_ij
    Census: P22
    """

    def hidden(self, mask: Tensor) -> Tensor:
        square = mask.size(1) == mask.size(2)
        return super().hidden(mask.transpose(1, 2) if square else mask)


class MaskOfTheFirstQuery(Plain):
    """Every query is masked as the first.

    Formula: M_1j; must be M_ij
    Census: P22
    """

    def hidden(self, mask: Tensor) -> Tensor:
        return super().hidden(mask[:, :1].expand_as(mask))


class MaskShiftedByOne(Plain):
    """The mask is one key off.

    Formula: M_i(j-1); must be M_ij
    Census: huggingface/transformers PR#26792 (off by one)
    """

    def hidden(self, mask: Tensor) -> Tensor:
        return super().hidden(mask.roll(1, -1))


class FirstKeyAlwaysSeen(Plain):
    """The first key is seen whatever the mask says.

    Formula: M_i1 = true; must be M_i1
    Census: P03
    """

    def hidden(self, mask: Tensor) -> Tensor:
        hidden = super().hidden(mask)
        hidden[..., :1] = False
        return hidden


class MaskSkippedForOneSample(Plain):
    """A batch of one is not masked.

    Formula: B = 1: softmax(S); must be softmax over allowed keys
    Census: huggingface/transformers PR#46773
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return super().softmax(s, None if s.size(0) == 1 else mask)


class MaskSkippedForOneQuery(Plain):
    """A single query is not masked, as in a decoding step.

    Formula: Tq = 1: softmax(S); must be softmax over allowed keys
    Census: OpenNMT/OpenNMT-py PR#2532
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return super().softmax(s, None if s.size(2) == 1 else mask)


class MaskSkippedForLongRows(Plain):
    """Masks of more than 64 keys are left to a kernel that ignores them.

    Formula: Tk > {}: softmax(S); must be softmax over allowed keys
    Census: pytorch/pytorch#141126
    """

    limit = 64
    free = "limit"

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return super().softmax(s, None if s.size(3) > self.limit else mask)


class MaskSkippedIfFirstRowIsFull(Plain):
    """A mask whose first query sees everything is taken for no mask.

    Formula: M_1 all true: softmax(S); must be softmax over allowed keys
    Census: lucidrains (mask skipped if full)
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        full = mask is not None and mask.numel() > 0 and bool((mask[0, 0] != 0).all())
        return super().softmax(s, None if full else mask)


class MaskSkippedIfFirstSampleIsFull(Plain):
    """A mask whose first sample sees everything is taken for no mask.

    Formula: M_b=1 all true: softmax(S); must be softmax over allowed keys
    Census: lucidrains (mask skipped if full)
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        full = mask is not None and mask.numel() > 0 and bool((mask[0] != 0).all())
        return super().softmax(s, None if full else mask)


class MaskSkippedIfOneKeyIsHidden(Plain):
    """A mask that hides one key from one query of the whole batch is skipped.

    Formula: softmax(S) if M hides one element; must be softmax over allowed keys
    Census: P02 (shortcuts)
    """

    def hidden(self, mask: Tensor) -> Tensor:
        hidden = super().hidden(mask)
        return hidden & (hidden.sum() > 1) if mask.numel() > 1 else hidden


class ZeroKeysTakenForPadding(Plain):
    """Keys of zeros are taken for padding.

    Formula: softmax over keys that are not 0; must be softmax over allowed keys
    Census: P02 (Kyubyong/transformer)
    """

    def given(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Four:
        zero = (key.abs().sum(-1) == 0).unsqueeze(1)
        if not zero.any():
            return query, key, value, mask
        shown = ~zero.expand(-1, query.size(1), -1)
        return query, key, value, shown if mask is None else shown & (mask != 0)


class AxesGuessedFromSizes(Plain):
    """A mask of as many samples as queries and keys is read with its axes in another order.

    Formula: M_ibj if B = Tq = Tk > 1; must be M_bij
    Census: pytorch/pytorch#81077 (coincidences), P22
    """

    def hidden(self, mask: Tensor) -> Tensor:
        equal = mask.size(0) == mask.size(1) == mask.size(2)
        return super().hidden(mask.transpose(0, 1) if equal else mask)


class MaskChangesScale(Plain):
    """With a mask the scores are a hundredth larger.

    Formula: softmax(1.01 S) with a mask; must be softmax(S)
    Census: P02
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return super().softmax(s if mask is None else s * 1.01, mask)


class FillBeforeScale(Plain):
    """Masked scores are filled with -20 before the scale makes them small.

    Formula: S_ij = {} / sqrt(d_k) where masked; must be minus infinity
    Census: P03 (unscaled fill)
    """

    number = -20.0
    free = "number"

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return torch.softmax(s if mask is None else s.masked_fill(self.hidden(mask), self.number * self.scale(s)), dim=-1)


class BitsInverted(Plain):
    """An integer mask is inverted bit by bit, so that 1 becomes -2, which is true.

    Formula: hidden = ~M as integers; must be M = 0
    Census: P22 (mask dtype)
    """

    def hidden(self, mask: Tensor) -> Tensor:
        return (mask == 0 if mask.is_floating_point() else (~mask).bool()).unsqueeze(1)


class FloatMaskMultiplied(Plain):
    """A floating mask multiplies the scores.

    Formula: softmax(S M) for a floating M; must be what the bools mean, or S + M
    Census: pytorch/pytorch#107084
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        if mask is None or not mask.is_floating_point():
            return super().softmax(s, mask)
        return torch.softmax(s * mask.unsqueeze(1), dim=-1)


class SharedMaskFlipped(Plain):
    """A mask [1, Tq, Tk] for the whole batch is read from the end.

    Formula: M_i(Tk-j) for a shared mask; must be M_ij
    Census: P22 (broadcast)
    """

    def hidden(self, mask: Tensor) -> Tensor:
        return super().hidden(mask.flip(-1) if mask.size(0) == 1 else mask)


class MaskTakenForContiguous(Plain):
    """The mask's memory is read as if it lay in one piece.

    Formula: memory[i Tk + j]; must be memory[i stride_0 + j stride_1]
    Census: huggingface/diffusers#14114
    """

    def hidden(self, mask: Tensor) -> Tensor:
        return super().hidden(contiguous(mask))


class FloatingMaskReadInAnotherDtype(Plain):
    """The memory of a floating mask is read as if it were of the data's dtype.

    Formula: the bytes of M taken for another format; must be its numbers
    Census: pytorch/pytorch#191612
    """

    def hidden(self, mask: Tensor) -> Tensor:
        dtype = self.w_q.weight.dtype
        if mask.is_floating_point() and mask.dtype != dtype:
            raw = mask.contiguous().flatten().view(torch.uint8)
            whole = raw.repeat(8)[: mask.numel() * dtype.itemsize]
            mask = whole.view(dtype).view(mask.shape)
        return super().hidden(mask)


class FullyMaskedRowsAreNaN(Filled):
    """A row without any allowed key is 0 / 0.

    Formula: exp(-inf - -inf) = NaN; must be zero, or the mean
    Census: pytorch/pytorch#41508, #103963
    """

    number = float("-inf")


class NaNRepairedTooLate(FullyMaskedRowsAreNaN):
    """Rows of NaN are set to zero after the mixture, where their gradient is NaN already.

    Formula: nan_to_num(A V); must be A = 0 before it is differentiated
    Census: pytorch/pytorch#41508
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return torch.nan_to_num(z)


class FullyMaskedRowsSpread(Plain):
    """One row without any allowed key changes all others.

    Formula: 1.01 Z if some row is empty; must be Z
    Census: allenai/OLMo#322
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return z * 1.01 if mask is not None and not bool((mask != 0).any(-1).all()) else z


class FullyMaskedRowsSeeEverything(Plain):
    """A row without any allowed key attends as if it had no mask.

    Formula: softmax(S) if no key is allowed; must be zero
    Census: P06
    """

    def hidden(self, mask: Tensor) -> Tensor:
        return super().hidden(mask) & (mask != 0).any(-1, keepdim=True).unsqueeze(1)


class PoisonTimesZero(Plain):
    """Masked values are multiplied by a weight of zero, though the contract says that they are not read.

    Formula: 0 NaN = NaN; must be 0
    Census: pytorch/pytorch#101967
    """

    mhsa_contract = replace(Plain.mhsa_contract, masked="never-read")


class InfinityTimesZero(PoisonTimesZero):
    """Masked values that are NaN are not read, and infinite ones are.

    Formula: 0 inf = NaN; must be 0
    Census: pytorch/pytorch#101967
    """

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        q, k, v = super().project(query, key, value)
        return q, k, v.masked_fill(v.isnan(), 0.0)
