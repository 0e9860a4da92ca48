"""The long-lag laboratory: the tasks on which LSTM was shown in 1997 and after, and the loop that learns them.

Shape letters beside those of seqlab.batch: K steps of a sequence whose outputs count, O outputs.
"""
