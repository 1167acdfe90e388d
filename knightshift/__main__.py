"""``python -m knightshift``: the command line, where its script is not on the path."""

from knightshift.cli import main

if __name__ == "__main__":
    main()
