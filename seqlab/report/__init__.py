"""What an evaluation leaves behind: a page to look at, a JSON file to compute with, and files for other scorers."""

from seqlab.report.evaluation import EvaluatedLine, Evaluation, Exhibit
from seqlab.report.exhibits import sound_uri
from seqlab.report.pictures import image_uri, ink_uri
from seqlab.report.record import read_record
from seqlab.report.tables import worst_lines
from seqlab.report.write import write_report

__all__ = [
    "EvaluatedLine",
    "Evaluation",
    "Exhibit",
    "image_uri",
    "ink_uri",
    "read_record",
    "sound_uri",
    "worst_lines",
    "write_report",
]
