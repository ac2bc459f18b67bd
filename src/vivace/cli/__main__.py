"""`python -m vivace.cli`."""

from vivace.cli import main

main()
