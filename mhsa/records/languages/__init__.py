"""Names in other languages than English."""
