"""Connectionist temporal classification: loss, feasibility, decoding. Blank is label 0."""
