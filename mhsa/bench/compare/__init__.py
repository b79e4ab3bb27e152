"""Two commits side by side: what is measured, and which of them is faster."""
