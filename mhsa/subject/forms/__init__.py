"""Forms in which implementations take what mhsa gives: the layout of tokens, of heads, and masks."""
