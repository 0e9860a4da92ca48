"""What an evaluation leaves behind: a page to look at, a JSON file to compute with, and files for other scorers."""

from seqlab.report.evaluation import EvaluatedLine, Evaluation
from seqlab.report.write import write_report

__all__ = ["EvaluatedLine", "Evaluation", "write_report"]
