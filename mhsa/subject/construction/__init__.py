"""How the constructor of an implementation is understood: its sizes, its configuration, and what means nothing to attention."""
