"""`python -m counterforensics`: the command line."""

from counterforensics.cli import main

main()
