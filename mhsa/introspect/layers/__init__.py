"""What a layer computes around its attention: followed in one call, read as a formula, judged."""
