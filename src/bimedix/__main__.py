"""`python -m bimedix` is the command line."""

from bimedix.cli import main

main()
