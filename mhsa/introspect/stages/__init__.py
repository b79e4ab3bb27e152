"""From an adapter to a subject in stages: built and called, taken out of its surroundings, read, and what is left over."""
