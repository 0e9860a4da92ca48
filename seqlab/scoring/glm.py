"""Global mapping files (GLM) of NIST's evaluations, as its rfilter1 applies them: format NIST1.

    ;; a comment, also after a rule
    * case_sensitive = 'F'
    [T. V.] => [TV] / [ ] __ [ ]
    UM      =>      / [ ] __ [ ]
    '94     => ninety four

A rule exchanges what stands before the arrow for what stands behind it, wherever the text has it between the two
contexts, here a space each; without contexts also inside words. Brackets or double quotes only mark where a text begins
and ends. A line of text is read once from left to right: at each place the first rule of the file that fits is applied,
and what it wrote is not read again. Texts are taken with a space before and behind.

Not taken, and refused with the line's number: several spellings at once, ``{going to / gonna}``, and words that may be
left out, ``(uh)``, which sclite scores and no other scorer can; write the one spelling. So are ``copy_no_hit = 'F'``
and other formats. Comments are ``;;`` alone, and without ``case_sensitive`` case counts, as in rfilter1.
"""

import os
import re
from dataclasses import dataclass
from typing import NamedTuple

from seqlab.errors import DataError

_MOST_BYTES, _LONGEST = 16 << 20, 1000
_CONTEXT = re.compile(r"/((?:\s*(?:\[[^][]*\]|\"[^\"]*\")|[^/_[\]]*?))\s*_+\s*(\[[^][]*\]|\"[^\"]*\"|[^/[\]]*?)\s*$")
_HEADER = re.compile(r"\*\s*(\w+)\s*=?\s*['\"](.*)['\"]\s*$")


class Rule(NamedTuple):
    """One rule: what is exchanged, for what, and what must stand before and behind it."""

    source: str
    target: str
    before: str
    behind: str


@dataclass(frozen=True, slots=True)
class Glm:
    """The rules of a file, in order.

    Attributes:
        rules: first come, first served.
        case_sensitive: whether case counts.
    """

    rules: tuple[Rule, ...]
    case_sensitive: bool
    _by_sign: dict[str, list[Rule]]

    def __call__(self, text: str) -> str:
        """Return a text with the rules applied; white space at its ends may change."""
        text = f" {text} "
        read = text if self.case_sensitive else _folded(text)
        written, place = [], 0
        while place < len(text):
            for rule in self._by_sign.get(read[place], ()):
                behind = place + len(rule.source)
                before = place - len(rule.before)
                if (
                    read.startswith(rule.source, place)
                    and read.startswith(rule.behind, behind)
                    and before >= 0
                    and read.startswith(rule.before, before)
                ):
                    written.append(rule.target)
                    place = behind
                    break
            else:
                written.append(text[place])
                place += 1
        return "".join(written)


def read_glm(path: str | os.PathLike[str]) -> Glm:
    """Read a global mapping file.

    Raises:
        DataError: there is no such file, or a line of it is no rule that is understood; names file and line.
    """
    rules, case_sensitive = [], True
    for number, line in enumerate(read_lines(path), 1):
        line = line.partition(";;")[0].strip()
        try:
            if len(line) > _LONGEST:
                raise ValueError(f"longer than {_LONGEST} characters")
            if line.startswith("*"):
                case_sensitive = _header(line, case_sensitive)
            elif line:
                rules.append(_rule(line))
        except ValueError as error:
            raise DataError(f"{path}:{number}: {error}") from None
    if not rules:
        raise DataError(f"{path}: holds no rule, such as [T. V.] => [TV] / [ ] __ [ ]")
    if not case_sensitive:
        rules = [Rule(_folded(r.source), r.target, _folded(r.before), _folded(r.behind)) for r in rules]
    by_sign: dict[str, list[Rule]] = {}
    for rule in rules:
        by_sign.setdefault(rule.source[0], []).append(rule)
    return Glm(tuple(rules), case_sensitive, by_sign)


def read_lines(path: str | os.PathLike[str]) -> list[str]:
    """Read a small text file.

    Raises:
        DataError: there is no such file, it is no UTF-8 text, or is above 16 MB.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise DataError(f"{path}: above {_MOST_BYTES >> 20} MB; this is no file of scoring rules")
        return content.decode("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}); convert it first") from None


def _header(line: str, case_sensitive: bool) -> bool:
    """Check a line of the head; returns whether case counts."""
    found = _HEADER.match(line)
    if not found:
        raise ValueError("a line of the head is * NAME = 'VALUE'")
    name, value = found[1].lower(), found[2].strip().upper()
    if name == "format" and value != "NIST1":
        raise ValueError(f"format {found[2]}; only NIST1 is understood")
    if name == "copy_no_hit" and value[:1] != "T":
        raise ValueError("copy_no_hit must be 'T': a text that no rule fits stays")
    return value[:1] == "T" if name == "case_sensitive" else case_sensitive


def _rule(line: str) -> Rule:
    source, arrow, rest = line.partition("=>")
    if not arrow:
        raise ValueError(f"no rule: {line!r} has no =>")
    context = _CONTEXT.search(rest)
    target = rest[: context.start()] if context else rest
    rule = Rule(*(_inner(part) for part in (source, target, *(context.groups() if context else ("", "")))))
    if not rule.source:
        raise ValueError("nothing stands before the arrow")
    if re.search(r"[{}]|\(\S+\)", rule.target) or ("/" in target and not context):
        raise ValueError("several spellings and words that may be left out are not understood; write the one spelling")
    return rule


def _inner(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] + text[-1] in ("[]", '""') else text


def _folded(text: str) -> str:
    """Return a text in lower case with every place kept."""
    return "".join(small if len(small := sign.lower()) == 1 else sign for sign in text)
