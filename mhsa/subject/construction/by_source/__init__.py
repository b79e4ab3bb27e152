"""What the source of a constructor shows of an argument whose name says nothing: words, keys, a sequence of numbers."""
