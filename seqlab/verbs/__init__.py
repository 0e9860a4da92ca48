"""What each command of seqlab does. The command line itself is seqlab/cli.py."""
