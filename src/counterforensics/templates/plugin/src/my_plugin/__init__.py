"""Plug-ins for counterforensics: a manipulation, a detector and an attack."""
