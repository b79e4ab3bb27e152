"""Is never imported."""
while True:
    pass
