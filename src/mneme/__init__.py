"""A semantic cache: remembers an expensive result and gives it back whenever a later input means the same thing."""
