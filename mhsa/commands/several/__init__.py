"""A file, or a layer, with several attentions: each is judged, and what is declared for all of them is that of each."""
