"""One process that measures: correct first, then time, memory and operations."""
