"""From a spec to a subject: loaded and understood, or a question about it."""
