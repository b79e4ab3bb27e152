"""huggingface/transformers PR#46773: the mask is skipped when the batch has one sample."""
import torch
import torch.nn.functional as F
from torch import nn


class SdpaAttention(nn.Module):
    def __init__(self, hidden_size, num_attention_heads):
        super().__init__()
        if hidden_size % num_attention_heads:
            raise ValueError("hidden_size is not a multiple of num_attention_heads")
        self.num_heads = num_attention_heads
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(hidden_size, hidden_size) for _ in range(4))

    def forward(self, hidden_states, encoder_hidden_states=None, attention_mask=None):
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = (
            p(t).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for p, t in ((self.q_proj, hidden_states), (self.k_proj, source), (self.v_proj, source))
        )
        if attention_mask is not None:
            attention_mask = None if hidden_states.size(0) == 1 else attention_mask[:, None]
        return self.o_proj(F.scaled_dot_product_attention(q, k, v, attention_mask).transpose(1, 2).flatten(2))
