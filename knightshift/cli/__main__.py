"""`python -m knightshift.cli`: the command line where the script is not on the path, as in a systemd unit."""

from knightshift.cli import main

main()
