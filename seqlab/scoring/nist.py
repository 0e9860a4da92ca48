"""NIST's alignment of words, as sclite makes it, and the segments of its matched-pairs test.

sclite (SCTK 2.4) weighs a substitution 4 and an insertion or a deletion 3, where this package and jiwer weigh all three
alike. Its alignments are therefore other ones: two substitutions become an insertion and a deletion where that pairs
more words, and its total of errors may exceed the smallest by one in a few lines. Its counts of a set of lines are
``add(aligned_counts(nist_align(...)))``.
"""

from collections.abc import Iterable, Sequence

from seqlab.scoring.counts import Aligned, Counts

BOUNDARY = 2  # words right in both hypotheses that end a segment; sclite's default
_SUBSTITUTION, _OTHER = 4, 3


def nist_align(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Aligned]:
    """Align words as sclite does: the smallest sum of weights, and its choice where several alignments are as good.

    Of equal ones a pair of words is taken first, then an insertion, then a deletion, from the end of the line. Takes
    time and memory in the order of the product of both lengths.

    Args:
        reference: words.
        hypothesis: words.

    Returns:
        As :func:`seqlab.scoring.align`.
    """
    same = 0  # equal words at the end are always paired
    while same < min(len(reference), len(hypothesis)) and reference[-1 - same] == hypothesis[-1 - same]:
        same += 1
    rows, columns = len(reference) - same, len(hypothesis) - same
    before = [_OTHER * column for column in range(columns + 1)]
    steps: list[bytearray] = []  # 0 a pair, 1 an insertion, 2 a deletion; (rows, columns)
    for row in range(rows):
        word, left = reference[row], _OTHER * (row + 1)
        costs, taken = [left], bytearray(columns)
        for column in range(columns):
            pair = before[column] + (0 if word == hypothesis[column] else _SUBSTITUTION)
            deletion, insertion = before[column + 1] + _OTHER, left + _OTHER
            if pair <= deletion and pair <= insertion:
                left = pair
            elif deletion < insertion:
                left, taken[column] = deletion, 2
            else:
                left, taken[column] = insertion, 1
            costs.append(left)
        before = costs
        steps.append(taken)
    aligned: list[Aligned] = [("hit", word, word) for word in reversed(reference[rows:])]
    while rows or columns:
        step = 2 if not columns else 1 if not rows else steps[rows - 1][columns - 1]
        said, heard = reference[rows - 1] if step != 1 else None, hypothesis[columns - 1] if step != 2 else None
        rows, columns = rows - (step != 1), columns - (step != 2)
        aligned.append(("ins" if step == 1 else "del" if step == 2 else "hit" if said == heard else "sub", said, heard))
    aligned.reverse()
    return aligned


def aligned_counts(aligned: Iterable[Aligned]) -> Counts:
    """Count the operations of an alignment."""
    operations = [operation for operation, _, _ in aligned]
    return Counts(*(operations.count(name) for name in ("hit", "sub", "del", "ins")))


def segments(first: Sequence[Aligned], second: Sequence[Aligned], boundary: int = BOUNDARY) -> list[tuple[int, int]]:
    """Cut a line into segments whose errors can be taken as independent: Gillick and Cox, ICASSP 1989, section 4.

    A segment begins at an error of either hypothesis and ends where ``boundary`` words in a row are right in both, with
    nothing inserted between them, or at the end of the line.

    Args:
        first: alignment of one hypothesis.
        second: alignment of another with the same reference.
        boundary: 1 or more.

    Returns:
        Errors of either hypothesis in each segment, in order; a segment without errors is none.

    Raises:
        ValueError: the references differ.
    """
    words, other_words = ([said for _, said, _ in aligned if said is not None] for aligned in (first, second))
    if words != other_words:
        raise ValueError("both alignments need the same reference")
    found, errors, right = [], (0, 0), 0
    for here, there in zip(_by_word(first, len(words)), _by_word(second, len(words)), strict=True):
        inserted = here[0] or there[0]
        wrong = here[1] or there[1]
        errors = (errors[0] + sum(here), errors[1] + sum(there))
        right = 0 if wrong else 1 if inserted else right + 1
        if right >= boundary and any(errors):
            found.append(errors)
            errors = (0, 0)
    if any(errors):
        found.append(errors)
    return found


def _by_word(aligned: Sequence[Aligned], words: int) -> list[tuple[int, int]]:
    """Return what is inserted before each word, and whether the word is wrong; then what is inserted at the end."""
    rows, inserted = [], 0
    for operation, _, _ in aligned:
        if operation == "ins":
            inserted += 1
        else:
            rows.append((inserted, int(operation != "hit")))
            inserted = 0
    return [*rows, (inserted, 0)]
