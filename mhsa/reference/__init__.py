"""The modules that mhsa offers to users: multi-head attention, its exact and its fused core."""
