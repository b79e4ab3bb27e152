"""What the files of the user say: which subject they hold, what is missing, and the code of a class."""
