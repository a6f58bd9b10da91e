"""Where photographs come from, how patches are cut from them, and who is trained and tested on which."""
