"""The four maps: which is used for what, what is left out, and what is added."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mhsa.bugs.mutants.plain import Four, Plain


class ValueThroughKeyMap(Plain):
    """Values go through the map of the keys.

    Formula: V = v W_K^T + b_K; must be v W_V^T + b_V
    Census: P01 (wrong projection)
    """

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        return self.w_q(query), self.w_k(key), self.w_k(value) + 0 * self.w_v(value)


class QueryThroughKeyMap(Plain):
    """Queries go through the map of the keys.

    Formula: Q = q W_K^T + b_K; must be q W_Q^T + b_Q
    Census: episodic (one projection for all)
    """

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        return self.w_k(query) + 0 * self.w_q(query), self.w_k(key), self.w_v(value)


class MapsOfKeyAndValueExchanged(Plain):
    """Keys go through the map of the values and values through that of the keys.

    Formula: K = k W_V^T, V = v W_K^T; must be K = k W_K^T, V = v W_V^T
    Census: awslabs/slapo PR#46 (packed halves)
    """

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        return self.w_q(query), self.w_v(key), self.w_k(value)


class KeyThroughQueryMap(Plain):
    """Keys go through the map of the queries.

    Formula: K = k W_Q^T + b_Q; must be k W_K^T + b_K
    Census: P01 (wrong projection)
    """

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        return self.w_q(query), self.w_q(key) + 0 * self.w_k(key), self.w_v(value)


class ValueThroughQueryMap(Plain):
    """Values go through the map of the queries.

    Formula: V = v W_Q^T + b_Q; must be v W_V^T + b_V
    Census: P01 (wrong projection)
    """

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        return self.w_q(query), self.w_k(key), self.w_q(value) + 0 * self.w_v(value)


class MapsOfQueryAndKeyExchanged(Plain):
    """Queries go through the map of the keys and keys through that of the queries.

    Formula: Q = q W_K^T, K = k W_Q^T; must be Q = q W_Q^T, K = k W_K^T
    Census: P01 (wrong projection)
    """

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        return self.w_k(query), self.w_q(key), self.w_v(value)


class KeyAndValueExchanged(Plain):
    """The key argument is taken for the value and the value for the key.

    Formula: K = v W_K^T, V = k W_V^T; must be K = k W_K^T, V = v W_V^T
    Census: P01
    """

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        return self.w_q(query), self.w_k(value), self.w_v(key)


class ValueIgnoredForSharedQuery(Plain):
    """Where query and key are one tensor, the value is taken to be the same one, too.

    Formula: V = q W_V^T where q is k; must be v W_V^T
    Census: P01 (self-attention guessed from the tensors)
    """

    def given(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Four:
        return query, key, query if query is key else value, mask


class OutputBiasLost(Plain):
    """The bias of the output is left out.

    Formula: Z W_O^T; must be Z W_O^T + b_O
    Census: P01
    """

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        return out - self.w_o.bias


class OutputMapForgotten(Plain):
    """The merged heads are returned without the output map.

    Formula: Z; must be Z W_O^T + b_O
    Census: P01
    """

    def out(self, z: Tensor) -> Tensor:
        return z + 0 * self.w_o(z)


class ValuesFromKeys(Plain):
    """The value argument is ignored: values are made from the keys.

    Formula: V = k W_V^T; must be v W_V^T
    Census: P01
    """

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        return self.w_q(query), self.w_k(key), self.w_v(key) + 0 * self.w_v(value)


class KeysFromValues(Plain):
    """The key argument is ignored: keys are made from the values.

    Formula: K = v W_K^T; must be k W_K^T
    Census: P01
    """

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        return self.w_q(query), self.w_k(value) + 0 * self.w_k(key), self.w_v(value)


class SelfAttentionWhereLengthsMatch(Plain):
    """With as many queries as keys, keys and values are made from the queries.

    Formula: Tq = Tk: K = q W_K^T; must be k W_K^T
    Census: equal-size coincidence
    """

    def given(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Four:
        return (query, query, query, mask) if query.shape == key.shape else (query, key, value, mask)


class OutputMapTransposed(Plain):
    """The output map is applied from the wrong side.

    Formula: Z W_O + b_O; must be Z W_O^T + b_O
    Census: P01
    """

    def out(self, z: Tensor) -> Tensor:
        return F.linear(z, self.w_o.weight.T, self.w_o.bias)


class QueryMapTransposed(Plain):
    """The query map is applied from the wrong side.

    Formula: q W_Q + b_Q; must be q W_Q^T + b_Q
    Census: P01
    """

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        return F.linear(query, self.w_q.weight.T, self.w_q.bias), self.w_k(key), self.w_v(value)


class OutputMapTwice(Plain):
    """The output map is applied twice.

    Formula: (Z W_O^T + b_O) W_O^T + b_O; must be Z W_O^T + b_O
    Census: P01
    """

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        y: Tensor = self.w_o(out)
        return y


class OutputBiasTwice(Plain):
    """The output bias is added twice, once by the map and once after it.

    Formula: Z W_O^T + 2 b_O; must be Z W_O^T + b_O
    Census: P01
    """

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        return out + self.w_o.bias


class OutputBiasPerHead(Plain):
    """The output bias is added once for every head.

    Formula: sum_h (Z_h W_O,h^T + b_O); must be sum_h Z_h W_O,h^T + b_O
    Census: P09 (sum over heads)
    """

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        return out + (self.head - 1) * self.w_o.bias


class ValueBiasLost(Plain):
    """The bias of the values is left out.

    Formula: V = v W_V^T; must be v W_V^T + b_V
    Census: pytorch/pytorch#97128 (bias handling)
    """

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        return self.w_q(query), self.w_k(key), self.w_v(value) - self.w_v.bias


class QueryBiasLost(Plain):
    """The bias of the queries is left out, as in models that want none there.

    Formula: Q = q W_Q^T; must be q W_Q^T + b_Q
    Census: P01
    """

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        return self.w_q(query) - self.w_q.bias, self.w_k(key), self.w_v(value)


class QueryBiasAfterScale(Plain):
    """Queries are scaled before their bias is added.

    Formula: (q W_Q^T / sqrt(d_k) + b_Q) K^T; must be (q W_Q^T + b_Q) K^T / sqrt(d_k)
    Census: P01
    """

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        q, k, v = super().project(query, key, value)
        return q + (self.d_k**0.5 - 1.0) * self.w_q.bias, k, v


class Residual(Plain):
    """The query is added to the output, as a block around the attention does.

    Formula: q + O; must be O
    Census: P01
    """

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        return out + query


class OutputNormalised(Plain):
    """The output goes through a layer norm.

    Formula: LayerNorm(O); must be O
    Census: P01
    """

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        return F.layer_norm(out, out.shape[-1:])


class OutputActivated(Plain):
    """A leaky ReLU follows the output map.

    Formula: O + relu(O) / 10; must be O
    Census: P01
    """

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        return out + 0.1 * out.relu()


class ValuesActivated(Plain):
    """Values go through tanh.

    Formula: A tanh(V); must be A V
    Census: A6
    """

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return q, k, v.tanh()


class MixTooLarge(Plain):
    """The mixture of values comes out a tenth too large.

    Formula: 1.1 A V; must be A V
    Census: A37
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return z * 1.1


class PositionInOutput(Plain):
    """Later tokens get a little more.

    Formula: Z_i + i / 100; must be Z_i
    Census: A1
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return z + 0.01 * torch.arange(z.size(2), dtype=z.dtype, device=z.device)[:, None]


class FirstSampleLouder(Plain):
    """The first sample of a batch comes out a tenth larger.

    Formula: 1.1 O_1; must be O_1
    Census: P07
    """

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        return torch.cat([out[:1] * 1.1, out[1:]])


class BatchCentred(Plain):
    """A tenth of the batch's mean is taken off.

    Formula: O_b - mean_b(O) / 10; must be O_b
    Census: P07
    """

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        return out - 0.1 * out.mean(0, keepdim=True)


class QueriesCentred(Plain):
    """A tenth of the mean over all queries is taken off.

    Formula: Z_i - mean_i(Z) / 10; must be Z_i
    Census: A1
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return z - 0.1 * z.mean(2, keepdim=True)


class SamplesMixedIntoTokens(Plain):
    """Batch and tokens are exchanged on the way out where they are equally many.

    Formula: B = Tq: O_ib; must be O_bi
    Census: tokenlearner-pytorch#1
    """

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        return out.transpose(0, 1) if out.size(0) == out.size(1) else out
