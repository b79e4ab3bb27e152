"""The field's common names. Data only: each set is what public implementations call one thing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

HEAD = {"head", "heads", "num_heads", "n_heads", "nhead", "nheads", "n_head", "num_head", "h", "nb_heads", "numheads",
        "head_num", "head_count", "nums_head", "num_attn_heads", "heads_count", "n_h", "heads_num",
        "num_attention_heads", "attention_heads", "number_of_heads", "n_attn_heads"}  # fmt: skip
WIDTH = {"d_model", "embed_dim", "dim", "hidden_size", "n_embd", "hidden_dim", "embed_size", "emb_size", "emb_dim", "dmodel",
         "model_dim", "embedding_dim", "d_embed", "d_embedding", "features", "num_hiddens", "channels", "width", "size",
         "dim_model", "embedding_size", "embed_dims", "emb", "d", "c", "input_dim", "in_features", "hid_dim", "d_hidden",
         "model_size", "n_embed", "d_emb", "in_dim", "num_features", "n_feat", "dims", "feature_dim", "num_units",
         "qkv_features", "n_state", "dim_in", "embedding_dimension", "hidden", "units", "d_hid"}  # fmt: skip
# Widths that a constructor asks for beside d_model; in plain attention all of them are d_model.
OTHER_WIDTHS = {"query_size", "key_size", "value_size", "output_dim", "out_dim", "d_out", "out_features", "query_dim",
                "key_dim", "value_dim", "d_in", "inner_dim", "context_dim", "qkv_dim"}  # fmt: skip
KV_HEADS = {"num_kv_heads", "n_kv_heads", "num_key_value_heads", "kv_heads", "n_kv_head", "num_kv_head", "nb_kv_heads",
            "key_value_heads", "n_head_kv", "heads_kv", "num_heads_kv"}  # fmt: skip
HEAD_WIDTH = {"d_k", "d_v", "dim_head", "head_dim", "d_head", "head_size", "dk", "dv", "dim_k", "dim_v", "d_key", "d_value",
              "kdim_per_head", "depth", "d_q", "head_width"}  # fmt: skip
DROPOUT = {"dropout", "dropout_p", "p_dropout", "drop", "attn_dropout", "attention_dropout", "dropout_rate", "p", "attn_drop",
           "attn_pdrop", "resid_pdrop", "proj_drop", "drop_rate", "dropout_prob", "drop_p", "pdrop"}  # fmt: skip

QUERY = {"query", "q", "queries", "query_states", "xq", "x_q", "q_in", "input_q", "inputs_q", "query_input", "q_input",
         "qs", "queries_in", "query_layer", "qx", "hidden_q"}  # fmt: skip
KEY = {"key", "k", "keys", "key_states", "xk", "x_k", "k_in", "input_k", "inputs_k", "key_input", "k_input", "ks",
       "keys_in", "key_layer", "kx", "hidden_k"}  # fmt: skip
VALUE = {"value", "v", "values", "value_states", "xv", "x_v", "v_in", "input_v", "inputs_v", "value_input", "v_input",
         "vs", "values_in", "value_layer", "vx", "val", "vals", "hidden_v"}  # fmt: skip
SELF = {"x", "hidden_states", "input", "inputs", "hidden", "src", "emb", "embeddings", "tokens", "seq", "inp", "features",
        "sequence", "z", "xs", "h"}  # fmt: skip
CONTEXT = {"context", "memory", "encoder_hidden_states", "y", "kv", "x_kv", "xkv", "key_value", "source", "ctx", "cond",
           "cross", "enc", "inputs_kv", "encoder_output", "enc_output", "encoder_out", "to_tensor", "target", "x2",
           "c", "encoder_hidden", "memory_bank",
           "xa", "k_v", "kv_states", "cross_states", "key_value_states", "memory_states", "other"}  # fmt: skip
MASK = {"mask", "attn_mask", "attention_mask", "att_mask", "src_mask", "masks", "allowed", "allow", "allowed_mask", "m",
        "keep", "keep_mask", "visible", "visibility", "attend", "attn_masks", "mask_tensor", "maskk", "msk"}  # fmt: skip
# Masks of the keys where they come from another sequence than the queries, and of a sample's padding.
KEY_MASK = {"context_mask", "memory_mask", "encoder_attention_mask", "kv_mask", "key_mask", "k_mask", "memory_key_padding_mask",
            "cross_attention_mask", "enc_mask", "encoder_mask", "source_mask", "y_mask", "context_attention_mask",
            "memory_padding_mask", "context_padding_mask"}  # fmt: skip
PADDING = {"key_pad", "key_padding", "padding", "is_pad", "is_padding", "pad"}  # beside names with "mask" and "pad"
LENGTHS = {"valid_lens", "valid_len", "valid_lengths", "lengths", "lens", "seq_lens", "seq_lengths", "key_lengths", "x_lens",
           "key_lens", "src_lengths", "memory_lengths", "valid_length"}  # fmt: skip
CAUSAL = {"causal", "is_causal"}  # switches
WANT_WEIGHTS = {"need_weights", "output_attentions", "return_attention", "return_weights", "return_attn", "need_attn",
                "return_attn_weights", "return_attention_weights", "with_weights", "get_weights"}  # fmt: skip
WEIGHTS_ATTRIBUTE = (
    "attn",
    "attn_weights",
    "attention_weights",
    "weights",
    "attention",
    "p_attn",
    "last_attn",
    "attn_probs",
)


def pick(given: Iterable[str], names: Collection[str]) -> str | None:
    """First of ``given`` that is one of ``names``, whatever its case."""
    return next((name for name in given if name.lower() in names), None)


def number(owner: Any, names: Collection[str]) -> int | None:
    """First whole number among an object's attributes that goes by one of ``names``, whatever its case."""
    return next((v for n, v in vars(owner).items() if n.lower() in names and isinstance(v, int)), None)
