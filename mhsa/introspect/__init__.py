"""From what was typed to a subject: loaded, understood, or asked about."""
