"""torch's fused function, held to one CPU backend at a time."""
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention


def plain(query, key, value, mask=None, dropout_p=0.0):
    with sdpa_kernel(SDPBackend.MATH):
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout_p)


def flash(query, key, value, mask=None):
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return scaled_dot_product_attention(query, key, value, attn_mask=mask)
