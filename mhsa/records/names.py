"""The field's common names. Data only: each set is what public implementations call one thing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import cache
from typing import Any

from mhsa.records.languages.other_languages import in_english

# Counted by hand in November 2026 in 90 classes of public code (ten for each of MultiHeadAttention, MultiHeadedAttention,
# SelfAttention, CausalSelfAttention, MultiHeadSelfAttention, CrossAttention, Attention, MultiHead and MHA, as a search gave
# them): heads are num_heads 28 times, n_head 11, heads 7, n_heads 6, h 4, and once or twice each heads_num, head_number,
# total_heads, n_h, nheads, nhead, numAttentionHeads; widths are d_model 18, dim 11, n_embd 8, embed_dim 5, hidden_size 4, and
# twenty others once or twice; 11 take one config object. Case and underscores do not count.
HEAD = {"num_of_heads", "heads_number", "mha_heads", "nr_heads", "num_attention_head", "attn_n_heads", "n_attn_head",
        "head", "heads", "num_heads", "n_heads", "nhead", "nheads", "n_head", "num_head", "h", "nb_heads", "numheads",
        "head_num", "head_count", "nums_head", "num_attn_heads", "heads_count", "n_h", "heads_num", "attn_heads",
        "num_attention_heads", "attention_heads", "number_of_heads", "n_attn_heads", "head_number", "total_heads",
        "attention_head_num", "encoder_attention_heads", "decoder_attention_heads", "num_q_heads", "num_query_heads",
        "n_attention_heads", "n_local_heads", "multi_head_num", "multihead_num", "n_q_heads",
        "num_mha_heads", "n_mha_heads", "no_heads", "n_query_heads", "att_heads", "multi_head", "multihead", "multi_heads",
        "num_att_heads", "nb_head", "multi_attention_heads", "q_heads", "query_heads", "n_splits", "num_splits"}  # fmt: skip
# Heads of keys and values where there may be fewer of them; plain attention has as many as of queries.
KV_HEADS = {"kv_heads", "n_kv_heads", "num_kv_heads", "n_kv_head", "num_key_value_heads", "num_kv_head", "n_query_groups",
            "num_query_groups", "n_local_kv_heads", "n_head_kv", "kv_n_heads", "num_heads_kv", "n_heads_kv", "n_kv", "num_kv",
            "nkv", "kv_head", "num_kvheads", "n_kvheads", "key_value_heads", "n_key_value_heads"}  # fmt: skip
KV_HEADS_NEXT_TO_HEADS = {"n_local_heads"}  # where another parameter is the number of heads
# hidden_size is d_model everywhere but in a recurrent network; hidden_dim and hidden are so in attention modules alone.
WIDTH = {"d_model", "embed_dim", "dim", "hidden_size", "n_embd", "hidden_dim", "embed_size", "emb_size", "emb_dim", "dmodel",
         "model_dim", "embedding_dim", "d_embed", "d_embedding", "features", "num_hiddens", "channels", "width", "size",
         "dim_model", "embedding_size", "embed_dims", "emb", "d", "c", "input_dim", "in_features", "hid_dim", "d_hidden",
         "dim_hidden", "hidden_dims", "dim_features", "dim_token",
         "model_size", "n_embed", "d_emb", "in_dim", "num_features", "n_feat", "dims", "feature_dim", "num_units",
         "qkv_features", "n_state", "dim_in", "embedding_dimension", "hidden", "units", "d_hid", "n_units", "num_hidden",
         "model_dimension", "nhid", "n_hidden", "n_hid", "input_size", "in_channels", "in_channel", "in_ch", "ch",
         "n_channels", "num_channels", "chans", "nx", "d_hidn", "embeddings_dim", "dimension", "n_dim", "ndim", "num_dim",
         "attention_dim", "attn_dim", "att_dim", "model_width", "d_inp", "input_depth", "emb_dimension",
         "num_embd", "num_embed", "hidden_dimension", "hidden_units", "d_m", "dim_embed", "dim_emb",
         "feature_size", "in_size", "ninp", "attention_size", "attn_size", "d_attn", "embd_dim",
         "token_dim", "latent_dim", "feat_dim", "dim_embedding", "input_channels",
         "d_token", "d_x", "n_features",
         "n_model", "feature_dims", "in_planes", "inplanes", "input_features", "embd"}  # fmt: skip
# Widths that a constructor takes in addition to d_model; in plain attention all of them are d_model or the width of a head.
OTHER_WIDTHS = {"query_size", "key_size", "value_size", "output_dim", "out_dim", "d_out", "out_features", "query_dim",
                "key_dim", "value_dim", "d_in", "inner_dim", "context_dim", "qkv_dim", "kdim", "vdim", "qdim", "q_dim",
                "v_dim", "out_channels", "out_channel", "out_ch", "dim_out", "output_size", "out_size", "output_depth",
                "total_key_depth", "total_value_depth", "total_query_depth", "kv_dim", "dim_kv", "dim_q", "cross_dim",
                "cross_attention_dim", "proj_dim", "qk_dim", "memory_dim", "encoder_dim",
                "all_head_size", "crossattention_dim", "inner_size",
                "d_context", "query_features", "key_features",
                "value_features", "query_channels", "key_channels", "value_channels", "q_size", "k_size", "v_size",
                "query_in_dim", "key_in_dim", "value_in_dim", "d_query", "k_dim",
                "d_cond", "cond_dim", "dim_cond", "cond_channels", "condition_dim", "d_cross", "dim_cross", "cross_channels",
                "text_dim", "d_text", "dim_text", "text_channels", "dim_context", "context_channels", "context_size",
                "ctx_dim", "d_ctx"}  # fmt: skip
# Of one head first (dim_head, head_dim always), and where the module cannot be built or called so, of all heads together.
HEAD_WIDTH = {"d_k", "d_v", "dim_head", "head_dim", "d_head", "head_size", "dk", "dv", "dim_k", "dim_v", "d_key", "d_value",
              "kdim_per_head", "depth", "d_q", "head_width", "d_kv", "dim_heads", "dim_per_head", "d_h", "head_features",
              "attention_head_size", "attn_head_dim", "size_per_head", "d_qk", "dim_key", "dim_value", "head_dimension",
              "key_dim_per_head", "per_head_dim", "dh", "dq",
              "kv_channels", "hidden_size_per_head",
              "hidden_size_per_attention_head", "hidden_size_head", "d_queries", "d_keys", "d_values", "dim_keys", "dim_values",
              "dim_queries", "d_per_head", "d_queries_keys", "d_feature", "d_query", "dim_query"}  # fmt: skip
DROPOUT = {"dropout", "dropout_p", "p_dropout", "drop", "attn_dropout", "attention_dropout", "dropout_rate", "p", "attn_drop",
           "attn_pdrop", "resid_pdrop", "proj_drop", "drop_rate", "dropout_prob", "drop_p", "pdrop", "dropatt",
           "attention_probs_dropout_prob", "hidden_dropout_prob", "attn_dropout_prob", "attention_dropout_rate",
           "att_dropout", "resid_dropout", "residual_dropout", "attn_dropout_rate", "p_drop", "dropout_ratio",
           "attn_drop_rate", "proj_drop_rate", "hidden_dropout", "dropout_probability", "attn_p", "attn_drop_prob",
           "drop_prob", "attention_dropout_prob", "embd_pdrop", "proj_dropout", "output_dropout", "out_dropout",
           "dropout_attn", "dropout_attention",
           "rate", "drop_out", "dropprob"}  # fmt: skip

# Parameters of constructors that mean nothing to attention itself.
POSITIONS = {"block_size", "seq_len", "seq_length", "max_len", "max_length", "max_seq_len", "max_seq_length", "context_length",
             "context_size", "ctx_len", "n_ctx", "n_positions", "max_position_embeddings", "sequence_length", "context_len",
             "maxlen", "max_sequence_length", "n_context", "ctx_length", "ctx_size", "max_context_length", "seqlen",
             "max_seqlen", "max_position", "max_positions", "context_window", "max_context_len",
             "max_relative_position", "context_window_size", "max_target_positions",
             "max_target_length", "max_source_length", "ctx", "n_data", "max_t"}  # fmt: skip
# Lengths of the inputs themselves, of queries and of keys, where a module is built for one length.
QUERY_LENGTH = {"len_q", "q_len", "query_len", "query_length", "seq_len_q", "n_queries", "num_queries", "tgt_len", "target_len",
                "target_length", "tgt_length", "q_length", "q_seq_len", "len_query", "seqlen_q", "lq"}  # fmt: skip
KEY_LENGTH = {"len_k", "k_len", "key_len", "key_length", "seq_len_k", "len_kv", "kv_len", "n_keys", "num_keys", "src_len",
              "source_len", "source_length", "src_length", "len_v", "v_len", "kv_seq_len", "k_seq_len", "k_length", "len_key",
              "len_value", "seqlen_k", "seq_len_kv", "lk"}  # fmt: skip
TOKENS = {"num_tokens", "n_tokens", "num_token", "token_num", "num_patches", "n_patches", "num_nodes", "n_nodes", "num_frames",
          "n_frames", "seq_size", "sequence_size", "time_steps", "timesteps", "n_timesteps", "num_timesteps", "patch_num",
          "num_patch", "n_vars", "num_vars", "nvars", "d_time", "num_joints", "n_joints", "joint_num"}  # fmt: skip
DISTANCES = {"max_relative_position"}  # of POSITIONS, those beyond which all are one
SEQUENCE = {"seq_len", "seq_length", "sequence_length", "seqlen"}  # of POSITIONS, those that say no maximum
LAYERS = {"layer_idx", "layer_id", "layer_index", "block_idx", "block_id", "idx"}
SWITCHES_ON = {"bias", "qkv_bias", "attention_bias", "use_bias", "proj_bias", "add_bias", "out_bias", "attn_bias", "q_bias",
               "kv_bias", "k_bias", "v_bias", "out_proj_bias", "in_proj_bias", "with_bias", "has_bias", "qkvbias",
               "attn_qkv_bias"}  # fmt: skip
# Switches that plain attention has off.
SWITCHES_OFF = {"causal", "is_causal", "masked", "mask_flag", "is_decoder", "cross_attention", "is_cross_attention",
                "output_attention", "output_attentions", "return_attention", "return_weights", "log_attention_weights",
                "need_weights", "use_flash", "allow_flash", "flash", "use_flash_attn", "use_flash_attention", "visualize",
                "return_attn", "is_cross", "flash_attention", "use_sdpa", "use_cache", "qk_norm", "gated", "vis"}  # fmt: skip
SCALED = {
    "scale",
    "scaled",
    "use_scale",
    "scale_attn",
    "scale_attn_weights",
    "scaling",
    "scale_scores",
}  # switches of 1/sqrt(d_k)
FEED_FORWARD = {"d_ff", "dff", "dim_feedforward", "intermediate_size", "ffn_dim", "mlp_dim", "d_ffn", "n_inner",
                "ffn_hidden_size", "feed_forward_hidden", "ff_dim", "dim_ff", "ff_size", "ff_hidden", "ff_hidden_dim",
                "ff_hid_dim", "ff_units", "ff_inner_dim", "ffn_hidden", "ffn_size", "ffn_inner_dim", "ffn_num_hiddens",
                "ffn_hidden_dim",
                "feedforward_dim", "feed_forward_dim", "feedforward_size", "feed_forward_size", "d_feedforward", "pf_dim",
                "d_mlp", "dim_mlp", "mlp_size", "mlp_hidden_dim", "mlp_hidden", "filter_size"}  # fmt: skip
CONFIG = {"config", "cfg", "args", "conf", "hparams", "params", "opt", "configs", "configuration", "model_args", "hp",
          "model_config", "hyperparams", "settings", "options", "opts", "gpt_config", "transformer_config", "model_cfg",
          "hyperparameters", "attn_config", "attention_config", "attn_cfg", "modelargs"}  # fmt: skip

QUERY = {"query", "q", "queries", "query_states", "xq", "x_q", "q_in", "input_q", "inputs_q", "query_input", "q_input",
         "qs", "queries_in", "query_layer", "qx", "hidden_q", "x_queries", "q_x", "query_sequences",
         "query_antecedent"}  # fmt: skip
KEY = {"key", "k", "keys", "key_states", "xk", "x_k", "k_in", "input_k", "inputs_k", "key_input", "k_input", "ks",
       "keys_in", "key_layer", "kx", "hidden_k", "x_keys", "k_x"}  # fmt: skip
VALUE = {"value", "v", "values", "value_states", "xv", "x_v", "v_in", "input_v", "inputs_v", "value_input", "v_input",
         "vs", "values_in", "value_layer", "vx", "val", "vals", "hidden_v", "x_values", "v_x"}  # fmt: skip
SELF = {"x", "hidden_states", "input", "inputs", "hidden", "src", "emb", "embeddings", "tokens", "seq", "inp", "features",
        "sequence", "z", "xs", "h", "input_tensor", "embedded"}  # fmt: skip
CONTEXT = {"context", "memory", "encoder_hidden_states", "y", "kv", "x_kv", "xkv", "key_value", "source", "ctx", "cond",
           "cross", "enc", "inputs_kv", "encoder_output", "enc_output", "encoder_out", "to_tensor", "target", "x2",
           "c", "encoder_hidden", "memory_bank",
           "xa", "k_v", "kv_states", "cross_states", "key_value_states", "memory_states", "other",
           "kv_input", "input_kv", "source_states", "ctx_tensor", "encoder_state", "encoder_states", "key_value_sequences",
           "memory_antecedent", "history", "history_sequence"}  # fmt: skip
# Roles are written before or behind what is given: key_features, feats_kv, value_tokens. (query_embed is of positions.)
_GIVEN = {"feature", "features", "feat", "feats", "token", "tokens", "input", "inputs", "state", "states", "seq", "sequence",
          "vec", "vector", "vectors", "tensor", "data", "x", "map", "src", "source"}  # fmt: skip
_EMBEDDED = _GIVEN | {"emb", "embs", "embed", "embeds", "embedding", "embeddings"}


def _with_given(roles: set[str], given: set[str]) -> set[str]:
    return {name for role in roles for word in given for name in (f"{role}_{word}", f"{word}_{role}")}


QUERY |= _with_given({"query", "q"}, _GIVEN)
KEY |= _with_given({"key", "k"}, _EMBEDDED)
VALUE |= _with_given({"value", "v"}, _EMBEDDED)
CONTEXT |= _with_given({"kv", "key_value", "context", "ctx", "memory"}, _EMBEDDED)
# Of those, what may well mean something else than another sequence to attend to.
VAGUE_CONTEXT = {"y", "c", "x2", "xa", "cond", "source", "cross", "enc", "target", "other"}
MASK = {"mask", "attn_mask", "attention_mask", "att_mask", "src_mask", "masks", "allowed", "allow", "allowed_mask", "m",
        "keep", "keep_mask", "visible", "visibility", "attend", "attn_masks", "mask_tensor", "maskk", "msk",
        "adj", "adjacency", "adj_matrix", "adjacency_matrix"}  # fmt: skip
# Masks of the keys where they come from another sequence than the queries, and of a sample's padding.
KEY_MASK = {"context_mask", "memory_mask", "encoder_attention_mask", "kv_mask", "key_mask", "k_mask", "memory_key_padding_mask",
            "cross_attention_mask", "enc_mask", "encoder_mask", "source_mask", "y_mask", "context_attention_mask",
            "memory_padding_mask", "context_padding_mask", "mask_key", "mask_keys", "mask_k", "mask_kv",
            "mask_context"}  # fmt: skip
# Masks of the queries, next to one of the keys: what they hide is not attended from.
QUERY_MASK = {"q_mask", "query_mask", "queries_mask", "query_masks", "q_masks", "mask_q", "mask_query", "mask_queries",
              "query_padding_mask", "x_mask"}  # fmt: skip
# Masks that are named after what they hide.
HIDING = {"blocked", "blocked_mask", "is_blocked", "hide", "hide_mask", "masked_out", "mask_out", "is_masked", "ignored",
          "ignore", "ignore_mask", "excluded", "exclude", "disallowed", "disallowed_mask", "forbidden", "forbidden_mask",
          "invalid", "invalid_mask"}  # fmt: skip
PADDING = {"key_pad", "key_padding", "padding", "is_pad", "is_padding", "pad"}  # in addition to names with "mask" and "pad"
LENGTHS = {"valid_lens", "valid_len", "valid_lengths", "lengths", "lens", "seq_lens", "seq_lengths", "key_lengths", "x_lens",
           "key_lens", "src_lengths", "memory_lengths", "valid_length", "ilens", "hlens", "xlens"}  # fmt: skip
# Of the keys, wherever they come from; not of the queries or of a target.
_LENGTHS_OF_KEYS = re.compile(
    "(source|src|encoder|enc|memory|mem|context|ctx|key|keys|kv|k|input|inputs|text|feats?|frames?|tokens?|audio|speech|sequence|sample)"
    "_?(lens|lengths)",
    re.IGNORECASE,
)
# What a call may need beside its tensors: the size of a picture whose pixels are the tokens, and what is kept between calls.
HEIGHT, PICTURE_WIDTH = {"height", "h", "hh"}, {"width", "w", "ww"}
PICTURE_SIZE = {"feat_size", "hw_shape", "hw", "spatial_shape", "x_size", "resolution", "input_resolution", "spatial_size",
                "img_size", "grid_size", "patch_resolution", "h_w", "feat_shape", "image_size", "size"}  # fmt: skip
BATCH_SIZE = {"batch_size", "bs", "bsz", "n_batch", "nbatches", "num_batch", "b_size", "batchsize"}  # arguments of a call
SEQUENCE_LENGTH = {"seq_len", "seq_length", "sequence_length", "seqlen", "n_tokens", "num_tokens", "q_len", "query_len"}
TRAINING = {"training", "is_training", "is_train", "train", "train_mode", "is_train_mode"}
KEPT = {"past_key_value", "past_key_values", "layer_past", "cache", "kv_cache", "past", "past_kv", "incremental_state",
        "head_mask", "layer_cache", "cache_position", "prev_k_v", "past_kvs", "layer_head_mask"}  # fmt: skip
CAUSAL = {"causal", "is_causal"}  # switches
# Parameters that multiply the scores, or whose exponential does.
LEARNED_SCALE = {"scale", "scaling", "scaling_factor", "scale_factor", "temperature", "temp", "tau", "logit_scale", "log_scale",
                 "qk_scale", "attn_scale", "score_scale", "log_temperature", "log_tau", "inv_temperature"}  # fmt: skip
# Parameters [H]: a logit of each head that takes part in the softmax and has no value.
SINKS = {"sinks", "sink", "attn_sink", "attn_sinks", "attention_sink", "attention_sinks", "sink_logits", "sink_logit",
         "sink_bias", "softmax_offset", "sink_weights", "head_sinks", "null_logit", "null_logits"}  # fmt: skip
# A floating tensor that is added to the scores, as an argument of a call.
BIAS = {"bias", "attn_bias", "attention_bias", "position_bias", "pos_bias", "rel_pos_bias", "relative_position_bias",
        "relative_position", "relative_positions", "rel_bias", "relative_bias", "score_bias", "scores_bias", "rel_pos",
        "pair_bias", "att_bias", "additive_bias", "rpe", "bias_mask", "positional_bias"}  # fmt: skip
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


def is_called(name: str, names: Collection[str]) -> bool:
    """Whether a name is one of ``names``, whatever its case and underscores: numHeads is num_heads."""
    return _squeezed(name) in _all_squeezed(tuple(names))


@cache  # every call of a subject asks for some arguments by their names, and these are few tuples
def _all_squeezed(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(_squeezed, names))


@cache
def _squeezed(name: str) -> str:
    return in_english(name).lower().replace("_", "")


def is_lengths(name: str) -> bool:
    """Whether an argument of a call holds the number of keys of each sample."""
    return name.lower() in LENGTHS or _LENGTHS_OF_KEYS.fullmatch(name) is not None


def pick(given: Iterable[str], names: Collection[str]) -> str | None:
    """First of ``given`` that is one of ``names``, whatever its case and underscores."""
    return next((name for name in given if is_called(name, names)), None)


def number(owner: Any, names: Collection[str]) -> int | None:
    """First whole number among an object's attributes that goes by one of ``names``, whatever its case and underscores."""
    return next((v for n, v in vars(owner).items() if type(v) is int and is_called(n, names)), None)


_OF_AN_ENCODER = re.compile(r"(enc|encoder|mem|memory|ctx|context)_?(?!mask|len|size)[a-z]+", re.IGNORECASE)
_OF_A_DECODER = re.compile(r"(dec|decoder|tgt|trg)_?(?!mask|len|size)[a-z]+", re.IGNORECASE)


def is_context(name: str) -> bool:
    """Whether a name says that it is another sequence to attend to: memory, encoder_embs."""
    return is_called(name, CONTEXT - VAGUE_CONTEXT) or _OF_AN_ENCODER.fullmatch(name) is not None


def is_attended_to(first: str, second: str) -> bool:
    """Whether two names say that the second sequence attends to the first: encoder_embs and decoder_embs."""
    return bool(_OF_AN_ENCODER.fullmatch(first) and _OF_A_DECODER.fullmatch(second))
