"""``mhsa bench --record``: with which shapes a user's own script calls attention."""
