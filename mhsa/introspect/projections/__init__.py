"""Which parameters of a module are its query, key, value and out projection."""
