"""What the files of the user tell before anything of them is imported."""
