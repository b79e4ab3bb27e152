"""Which samples, heads, queries and keys a mask applies to."""

from __future__ import annotations

from torch import Tensor

from mhsa.bugs.mutants.plain import Plain


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


class AxesGuessedFromSizes(Plain):
    """A mask of as many samples as queries and keys is read with its axes in another order.

    Formula: M_ibj if B = Tq = Tk > 1; must be M_bij
    Census: pytorch/pytorch#81077 (coincidences), P22
    """

    def hidden(self, mask: Tensor) -> Tensor:
        equal = mask.size(0) == mask.size(1) == mask.size(2)
        return super().hidden(mask.transpose(0, 1) if equal else mask)


class SharedMaskFlipped(Plain):
    """A mask [1, Tq, Tk] for the whole batch is read from the end.

    Formula: M_i(Tk-j) for a shared mask; must be M_ij
    Census: P22 (broadcast)
    """

    def hidden(self, mask: Tensor) -> Tensor:
        return super().hidden(mask.flip(-1) if mask.size(0) == 1 else mask)
