"""One mistake each; tests/test_power.py says which property it breaks."""
import torch
from plain import Plain, contiguous
from torch import nn
from torch.nn import functional as F


def eager_function(forward_, backward_, jvp_=None):
    class Function(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return forward_(x)

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, g):
            return backward_(g)

        @staticmethod
        def jvp(ctx, t):
            return jvp_(t)

    return Function.apply


doubled_tangent = eager_function(lambda x: x.clone(), lambda g: g, lambda t: 2 * t)
contiguous_gradient = eager_function(lambda x: x.clone(), contiguous)


# the core
class NoScale(Plain):
    def scores(self, s, q, k): return s * self.d_k**0.5
class MaskIgnored(Plain):
    def hidden(self, mask): return torch.zeros_like(mask.unsqueeze(1), dtype=torch.bool)
class ScoresShown(Plain):
    def shown(self, w, s): return s
class Epsilon(Plain):
    def weights(self, w, mask): return w / (w.sum(-1, keepdim=True) + 1e-3)
class WeightsShownTooLarge(Plain):
    def shown(self, w, s): return w * 1.5
class WeightsAveraged(Plain):
    def shown(self, w, s): return w.mean(1, keepdim=True).expand_as(w)
class Stretched(Plain):
    def mixed(self, z, *_): return z * 1.1
class Clamped(Plain):
    def scores(self, s, q, k): return s.clamp(-2, 2)
class NoMaximum(Plain):
    def softmax(self, s, mask):
        e = s.exp() if mask is None else s.exp() * ~self.hidden(mask)
        return e / e.sum(-1, keepdim=True)
class Residual(Plain):
    def mixed(self, z, q, *_): return z + q
class PositionInScores(Plain):
    def scores(self, s, q, k): return s + 0.01 * torch.arange(s.size(-1), dtype=s.dtype, device=s.device)
class PositionInOutput(Plain):
    def mixed(self, z, *_): return z + 0.01 * torch.arange(z.size(2), dtype=z.dtype, device=z.device)[:, None]
class LastKeyDropped(Plain):
    def heads(self, q, k, v): return (q, k[:, :, :-1], v[:, :, :-1]) if k.size(2) > 1 else (q, k, v)
    def hidden(self, mask): return mask[:, None, :, : max(mask.size(-1) - 1, 1)] == 0
    def shown(self, w, s): return F.pad(w, (0, 1))
class LengthInScale(Plain):
    def scores(self, s, q, k): return s * (1 + s.size(-1)) ** 0.1
class NormalisedQueries(Plain):
    def heads(self, q, k, v): return F.normalize(q, dim=-1), k, v
class ActivatedValues(Plain):
    def heads(self, q, k, v): return q, k, v.tanh()

# sizes
class WrongBeyond100Keys(Plain):
    def scores(self, s, q, k): return s * 1.01 if s.size(-1) > 100 else s
class WrongBeyond5Heads(Plain):
    def mixed(self, z, *_): return z * 1.01 if z.size(1) > 5 else z
class WrongBeyond512Features(Plain):
    def done(self, out, *_): return out * 1.01 if out.size(-1) > 512 else out
class WrongBeyond5Samples(Plain):
    def done(self, out, *_): return torch.cat([out[:5], out[:5].mean(0, keepdim=True).expand_as(out[5:])]) if len(out) > 5 else out

# masks
class LeakyFill(Plain):
    def softmax(self, s, mask): return torch.softmax(s if mask is None else s.masked_fill(self.hidden(mask), -5.0), -1)
class MaskChangesScale(Plain):
    def softmax(self, s, mask): return super().softmax(s if mask is None else s * 1.01, mask)
class MaskOfFirstSample(Plain):
    def hidden(self, mask): return (mask[:1] == 0).unsqueeze(1).expand(mask.size(0), 1, -1, -1)
class MaskForFirstHead(Plain):
    def hidden(self, mask):
        hidden = (mask == 0).unsqueeze(1).repeat(1, self.num_heads, 1, 1)
        hidden[:, 1:] = False
        return hidden
class InvertedBits(Plain):
    def hidden(self, mask): return (~mask).bool().unsqueeze(1)
class FloatMaskMultiplied(Plain):
    def softmax(self, s, mask):
        return torch.softmax(s * mask.unsqueeze(1), -1) if mask is not None and mask.is_floating_point() else super().softmax(s, mask)
class SharedMaskFlipped(Plain):
    def hidden(self, mask): return (mask.flip(-1) if mask.size(0) == 1 else mask).unsqueeze(1) == 0
class MaskTakenForContiguous(Plain):
    def hidden(self, mask): return contiguous(mask).unsqueeze(1) == 0
class NotANumber(Plain):
    def softmax(self, s, mask): return torch.softmax(s if mask is None else s.masked_fill(self.hidden(mask), -torch.inf), -1)
class RepairedTooLate(NotANumber):
    def mixed(self, z, *_): return torch.nan_to_num(z)
class EmptyRowsSpread(Plain):
    def mixed(self, z, q, k, v, mask):
        return z * 1.01 if mask is not None and not bool((mask != 0).any(-1).all()) else z

# heads
class OneHeadUnscaled(Plain):
    def scores(self, s, q, k): return s * 1.01 if self.num_heads == 1 else s
class HeadsReversed(Plain):
    def mixed(self, z, *_): return z.flip(1)
class OutputSquashed(Plain):
    def done(self, out, *_): return out + 0.1 * out.relu()
class FirstHeadLouder(Plain):
    def mixed(self, z, *_): return torch.cat([z[:, :1] * 1.1, z[:, 1:]], 1)
class HeadsMixed(Plain):
    def mixed(self, z, *_): return z + 0.1 * z.mean(1, keepdim=True)

# batch and queries
class FirstSampleLouder(Plain):
    def done(self, out, *_): return torch.cat([out[:1] * 1.1, out[1:]])
class BatchStatistics(Plain):
    def done(self, out, *_): return out - 0.1 * out.mean(0, keepdim=True)
class QueryStatistics(Plain):
    def mixed(self, z, *_): return z - 0.1 * z.mean(2, keepdim=True)

# gradients
class ScaleMissingInBackward(Plain):
    def heads(self, q, k, v):
        if q.requires_grad: q.register_hook(lambda g: 2 * g)
        return q, k, v
class ValueWeightTrainedTwice(Plain):
    def __init__(self, num_heads, d_model, dropout=0.1):
        super().__init__(num_heads, d_model, dropout)
        self.w_v.weight.register_hook(lambda g: 2 * g)
class QueryDetached(Plain):
    def heads(self, q, k, v): return q.detach(), k, v
class GradientForEveryKey(Plain):
    def mixed(self, z, q, k, v, mask): return z + (k - k.detach()).sum(2, keepdim=True)
class GradientAcrossSamples(Plain):
    def mixed(self, z, q, k, v, mask): return z + (q - q.detach()).mean((0, 2), keepdim=True)
class WeightsWithoutGradient(Plain):
    def shown(self, w, s):
        w = w * 1
        if w.requires_grad: w.register_hook(torch.zeros_like)
        return w
class GradientTakenForContiguous(Plain):
    def done(self, out, *_): return contiguous_gradient(out)
class ForwardModeDoubled(Plain):
    def done(self, out, *_): return doubled_tangent(out)
class SecondDerivativeLost(Plain):
    def mixed(self, z, *_):
        if z.requires_grad: z.register_hook(lambda g: g.detach())
        return z
class QueryGradientFlipped(Plain):
    def heads(self, q, k, v):
        if q.requires_grad: q.register_hook(lambda g: g.flip(-1))
        return q, k, v
class ValueGradientDoubled(Plain):
    def heads(self, q, k, v):
        if v.requires_grad: v.register_hook(lambda g: 2 * g)
        return q, k, v
class KeyGradientShifted(Plain):
    def heads(self, q, k, v):
        if k.requires_grad: k.register_hook(lambda g: g + 1)
        return q, k, v

# purity
class WritesIntoQuery(Plain):
    def given(self, query, key, value, mask):
        with torch.no_grad(): query.detach().mul_(2)
        return query, key, value, mask
class MaskKept(Plain):
    kept = None
    def hidden(self, mask):
        if self.kept is None or self.kept.shape != mask.unsqueeze(1).shape: self.kept = mask.unsqueeze(1) == 0
        return self.kept
class CountsCalls(Plain):
    def __init__(self, num_heads, d_model, dropout=0.1):
        super().__init__(num_heads, d_model, dropout)
        self.register_buffer("calls", torch.zeros(()))
    def mixed(self, z, *_):
        self.calls.add_(1)
        return z
class DropsInEval(Plain):
    def drop(self, w): return F.dropout(w, self.rate, True)
class BufferUsedAgain(Plain):
    kept = None
    def done(self, out, *_):
        if self.kept is None or self.kept.shape != out.shape or self.kept.dtype != out.dtype: self.kept = out.detach().clone()
        return self.kept.copy_(out.detach())
class Scratch(Plain):
    def heads(self, q, k, v):
        self.scratch = v
        return q, k, v
    def mixed(self, z, q, k, v, mask):
        for _ in range(20): q = q + 0
        return z * 0 + torch.softmax(super().scores(q @ k.mT / self.d_k**0.5, q, k), -1) @ self.scratch

# modes and dropout
class OtherInTrain(Plain):
    def mixed(self, z, *_): return z * 1.01 if self.training else z
class OtherWithoutGrad(Plain):
    def mixed(self, z, *_): return z if torch.is_grad_enabled() else z * 1.01
class OtherWithoutWeights(Plain):
    def forward(self, query, key, value, mask=None, need_weights=True):
        out, w = super().forward(query, key, value, mask)
        return (out, w) if need_weights else (out * 1.01, None)
class DropoutUnscaled(Plain):
    def drop(self, w): return w * (torch.rand_like(w) >= self.rate) if self.training else w
class DropoutHalved(Plain):
    def drop(self, w): return F.dropout(w, self.rate / 2, self.training)
class DropoutSharedByHeads(Plain):
    def drop(self, w): return w * F.dropout(torch.ones_like(w[:, :1]), self.rate, self.training)
class DropoutDrawnAgain(Plain):
    def heads(self, q, k, v):
        if v.requires_grad and self.training: v.register_hook(lambda g: F.dropout(g, self.rate))
        return q, k, v
class DropoutGoneForEver(Plain):
    def train(self, mode=True):
        if not mode: self.rate = 0.0
        return super().train(mode)

# layout and edges
class QueryTakenForContiguous(Plain):
    def given(self, query, key, value, mask): return contiguous(query), key, value, mask
class EmptyBatchLost(Plain):
    def done(self, out, *_): return out.sum(0) if out.numel() == 0 else out
class SingleTokenForgotten(Plain):
    def done(self, out, query, key, mask): return out * 0.5 if query.size(1) == key.size(1) == 1 else out
class GuessedFromSizes(Plain):
    def done(self, out, query, key, mask): return out.transpose(0, 1) if out.size(0) == out.size(1) else out
class AlwaysSingle(Plain):
    def done(self, out, *_): return out.float()

# copies and transforms
class WeightsKept(Plain):
    def __init__(self, num_heads, d_model, dropout=0.1):
        super().__init__(num_heads, d_model, dropout)
        self.fused = None
    def done(self, out, query, key, mask):
        if self.fused is None: self.fused = self.w_o.weight.detach().clone()
        return out - (out - self.w_o.bias - (out - self.w_o.bias) @ torch.linalg.pinv(self.w_o.weight).T @ self.fused.T)
class GainNotSaved(Plain):
    def __init__(self, num_heads, d_model, dropout=0.1):
        super().__init__(num_heads, d_model, dropout)
        self.gain = float(torch.rand(()))
    def mixed(self, z, *_): return z * self.gain
class ConstantOfFirstDtype(Plain):
    third = None
    def done(self, out, *_):
        if self.third is None: self.third = torch.full((), 1 / 3, dtype=out.dtype)
        return out * 3 * self.third.to(out.dtype)
class ParametersGathered(Plain):
    def __init__(self, num_heads, d_model, dropout=0.1):
        super().__init__(num_heads, d_model, dropout)
        object.__setattr__(self, "gathered", (self.w_o.weight,))
    def mixed(self, z, *_): return z + 0 * self.gathered[0].sum()
    def done(self, out, *_): return out + (self.gathered[0] - self.w_o.weight).sum()
class ClosureOverOriginal(Plain):
    def __init__(self, num_heads, d_model, dropout=0.1):
        super().__init__(num_heads, d_model, dropout)
        self.difference = lambda other: (self.w_o.weight - other.w_o.weight).sum()
    def done(self, out, *_): return out + self.difference(self)
    def mixed(self, z, *_): return z + self.difference(self)
    def shown(self, w, s): return w + self.difference(self)
class PickledWithoutScale(Plain):
    def __setstate__(self, state):
        super().__setstate__(state)
        self.d_k *= 1
        self.rate, self.forgotten = 0.0, True
    forgotten = False
    def mixed(self, z, *_): return z * 1.01 if self.forgotten else z
class OtherInGraphs(Plain):
    def mixed(self, z, *_): return z * 1.01 if torch.compiler.is_compiling() else z
class OtherUnderVmap(Plain):
    def mixed(self, z, *_): return z * 1.01 if torch._C._functorch.is_batchedtensor(z) else z
class OtherInAutocast(Plain):
    def mixed(self, z, *_): return z * 1.5 if torch.is_autocast_enabled("cpu") else z
class MetaForgotten(Plain):
    def done(self, out, *_): return torch.zeros(out.shape) if out.is_meta else out

# construction and refusals
class Indivisible(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        self.num_heads, self.d_k = num_heads, d_model // num_heads
        self.w_q, self.w_k, self.w_v = (nn.Linear(d_model, num_heads * self.d_k) for _ in range(3))
        self.w_o = nn.Linear(num_heads * self.d_k, d_model)
    forward, split, softmax, hidden = Plain.forward, Plain.split, Plain.softmax, Plain.hidden
    given, heads, scores, weights, mixed, done, shown = (
        Plain.given, Plain.heads, Plain.scores, Plain.weights, Plain.mixed, Plain.done, Plain.shown)
    def drop(self, w): return w
class DeadLayer(Plain):
    def __init__(self, num_heads, d_model, dropout=0.1):
        super().__init__(num_heads, d_model, dropout)
        self.spare = nn.Linear(d_model, 3)
class Frozen(Plain):
    def __init__(self, num_heads, d_model, dropout=0.1):
        super().__init__(num_heads, d_model, dropout)
        self.w_k.weight.requires_grad_(False)
class MaskFitted(Plain):
    def given(self, query, key, value, mask):
        if mask is not None:
            need = query.size(0) * query.size(1) * key.size(1)
            flat = mask.reshape(-1)
            mask = flat.repeat(-(-need // flat.numel()))[:need].reshape(query.size(0), query.size(1), key.size(1))
        return query, key, value, mask
class EverythingCut(Plain):
    def given(self, query, key, value, mask):
        d, b, t = self.w_q.in_features, len(query), min(key.size(1), value.size(1))
        return query[..., :d], key[:b, :t, :d], value[:b, :t, :d], mask
