"""What must be true of the logs of a tree, one question a module; each yields what it finds wrong."""
