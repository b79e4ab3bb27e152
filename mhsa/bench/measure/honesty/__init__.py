"""What keeps a time honest: inputs that change, results that are looked at again, and what a subject does around a call."""
