"""`python -m mneme` is the `mneme` command."""

from mneme.cli import main

if __name__ == "__main__":
    main()
