"""What can be told from the text of one SQL statement: its first word, and the functions it seems to call.

No parser: the text is read so that a call cannot hide. A name in a string may be taken for a call, never the reverse.
"""

import re

READING = ("SELECT", "WITH", "VALUES", "TABLE")
CHANGING = ("INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE", "WITH")
MAX_STATEMENT = 20_000
_BEFORE = re.compile(r"(?:[\s(]|--[^\n\r]*+(?:[\n\r]|\Z))*+")
_GAP = r"(?:\s|--[^\n\r]*+[\n\r])*+"
_CALLED = re.compile(rf'(?<![\w$])([\w$]++)"?{_GAP}\(|(?="([^"]++)"{_GAP}\()')
_DOTTED = re.compile(rf'\.{_GAP}"?(?:(?<!")([\w$]++)|(?<=")([^"]++))')


class Refused(Exception):
    """A statement that is not run; the text says why."""


def plain(statement: str, allowed: tuple[str, ...]) -> str:
    """The statement without the semicolon at its end.

    >>> plain("SELECT 1; ", READING)
    'SELECT 1'

    Raises:
        Refused: it is too long, begins with no ``allowed`` word, or is written so that calls could hide in it.
    """
    if len(statement) > MAX_STATEMENT:
        raise Refused(f"a statement may have {MAX_STATEMENT:,} characters, this one has {len(statement):,}")
    if "\0" in statement or "/*" in statement or re.search(r"u&\s*[\"']", statement, re.IGNORECASE):
        raise Refused("a statement may have no /* comments */, no U& escapes and no zero bytes; write it without")
    text = statement.strip().rstrip(";").rstrip()
    start = _BEFORE.match(text)
    word = re.match(r"\w*", text[start.end() if start else 0 :])
    first = word.group().upper() if word else ""
    if first not in allowed:
        raise Refused(f"a statement here begins with {', '.join(allowed[:-1])} or {allowed[-1]}, not {first!r}")
    return text


def called(statement: str) -> set[str]:
    """Names that stand before a parenthesis, as written and in small letters.

    >>> sorted(called('SELECT Pg_Sleep (1), "now"() FROM t WHERE id IN (1)'))
    ['IN', 'Pg_Sleep', 'in', 'now', 'pg_sleep']
    """
    return _names(_CALLED, statement)


def dotted(statement: str) -> set[str]:
    """Names that stand behind a dot: columns, and functions of a row that are written like one.

    >>> sorted(dotted('SELECT o.total, (o)."do-it" FROM orders o'))
    ['do-it', 'total']
    """
    return _names(_DOTTED, statement)


def _names(kind: re.Pattern[str], statement: str) -> set[str]:
    names = {one or other for one, other in kind.findall(statement)}
    return names | {name.lower() for name in names}
