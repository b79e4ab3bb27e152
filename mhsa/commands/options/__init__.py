"""The options of the command line: kinds of arguments, and those that commands share."""
