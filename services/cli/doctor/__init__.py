"""`ote doctor`: what is wrong with a tier and the tree below it, in plain words, and what to do."""
