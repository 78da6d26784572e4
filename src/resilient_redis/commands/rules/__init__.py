"""Commands whose class depends on their arguments: one small function each, given what follows the name."""
