"""What is done to a module that has just been built, before it is called."""
