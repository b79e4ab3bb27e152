"""How many known bugs the properties find, and what else would find them."""
