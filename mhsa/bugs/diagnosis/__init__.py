"""Which known bug a wrong subject has."""
