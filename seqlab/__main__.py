"""python -m seqlab."""

from seqlab.cli import main

main()
