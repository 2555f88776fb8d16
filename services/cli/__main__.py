"""`python -m services.cli` is `ote`."""

from services.cli.main import main

main()
