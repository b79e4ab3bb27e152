"""What properties need to know of dropout: what was dropped, by which rate, and whether anything is."""
