"""Slow-downs that somebody has accepted, with a reason: what is accepted of which benchmark, and where that is kept."""
