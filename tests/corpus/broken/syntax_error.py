class MultiHeadAttention(
