"""The query language of search, and the `tsquery` that it becomes.

Words are joined by AND. `"call the dentist"` is a phrase, `-word` and `-"a phrase"` must not occur, and `word*` finds
every word with that beginning. A word that falls apart when it is folded, such as an e-mail address, is a phrase. So is
a run of letters of a script without spaces (`folding`). Everything else that can be typed separates words, so every
text is a query.

The tsquery is written from folded words alone, which hold letters, digits and marks: a user's text never reaches
PostgreSQL's parsers of queries.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple
from unicodedata import normalize

from backend.errors import Fault, Invalid
from backend.search.folding import Word, fold, words

MOST_WORDS: Final = 16  # a run of a script without spaces counts as one

_POINTER: Final = "/query/q"

_QUOTES: Final = str.maketrans(dict.fromkeys("“”„‟«»", '"'))  # keyboards of phones write these
_PART: Final = re.compile(r'(?P<not>-?)(?:"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+))')


class Step(NamedTuple):
    """One word of a term: ``distance`` positions after the word before it; any word that begins so if ``prefix``."""

    text: str
    distance: int
    prefix: bool

    def matches(self, word: Word) -> bool:
        """Return whether ``word`` is the one that this step asks for."""
        return word.text.startswith(self.text) if self.prefix else word.text == self.text


class Term(NamedTuple):
    """A word or a phrase that a message must contain, or must not if it is ``negated``."""

    steps: tuple[Step, ...]
    negated: bool


def parse(typed: str, folding: Callable[[str], str] = fold) -> list[Term]:
    """Return the terms of a query, at least one of which is not negated.

    Raises Invalid if there is nothing to search for, or more than MOST_WORDS words.
    """
    terms = []
    count = 0
    for part in _PART.finditer(normalize("NFKC", typed).translate(_QUOTES)):
        text = part["word"] if part["phrase"] is None else part["phrase"]
        folded = folding(text)
        found = [*words(folded)]
        count += sum(1 for word in found if not word.dense or len(word.text) == 1)
        if found:
            prefix = folded.endswith("*") and found[-1].end == len(folded) - 1
            terms.append(Term(_steps(found, prefix=prefix), negated=bool(part["not"])))
    if count > MOST_WORDS:
        raise Invalid([Fault(_POINTER, f"may have at most {MOST_WORDS} words")])
    if all(term.negated for term in terms):
        raise Invalid([Fault(_POINTER, "must have a word that is to be found: of letters or digits, and without `-`")])
    return terms


def tsquery(terms: Iterable[Term], *facts: Sequence[str]) -> str:
    """Return the text of the tsquery of messages that have all ``terms``, and one lexeme of each of ``facts``."""
    known = (f"({' | '.join(map(_quoted, lexemes))})" for lexemes in facts)
    return " & ".join([*known, *map(_written, terms)])


def _steps(found: list[Word], *, prefix: bool) -> tuple[Step, ...]:
    steps = []
    position = found[0].position
    for word, before in zip(found, [None, *found], strict=False):
        alone = word.dense and len(word.text) == 1
        if alone and before is not None and before.end == word.end:
            continue  # the last letter of the pair before it
        asked = alone or (prefix and word is found[-1] and not word.dense)
        steps.append(Step(word.text, word.position - position, asked))
        position = word.position
    return tuple(steps)


def _written(term: Term) -> str:
    phrase = ""
    for step in term.steps:
        joined = f" <{step.distance}> " if phrase else ""
        phrase += f"{joined}{_quoted(step.text)}{':*' if step.prefix else ''}"
    return f"{'!' if term.negated else ''}({phrase})"


def _quoted(lexeme: str) -> str:
    """Return ``lexeme`` in quotes; it holds no quote and no backslash, because no word and no fact does."""
    return f"'{lexeme}'"
