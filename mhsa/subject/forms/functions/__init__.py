"""Functions on tokens: where their sizes stand, and which of them attend to what they are given."""
