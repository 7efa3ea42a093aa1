"""A calculator for agents: exact arithmetic on a small grammar that is walked, never run as Python."""

import ast
import math
import operator
from collections.abc import Callable
from fractions import Fraction

from langchain_core.tools import ToolException, tool

LONGEST = 400
"""Characters of an expression."""
LARGEST = 10**60
"""A number above this, in a result or on the way to it, is refused: powers would fill the memory."""


@tool
def calculator(expression: str) -> str:
    """Work out an expression such as (12 + 30) * 2. It knows + - * / // % **, gcd(a, b), lcm(a, b), min and max."""
    try:
        return as_text(value_of(expression))
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError) as error:
        reason = f": {error}" if isinstance(error, ValueError | ZeroDivisionError) and error.args else ""
        raise ToolException(f"error: cannot work out {expression[:80]!r}{reason}") from error


def value_of(expression: str) -> Fraction:
    """The exact value of ``expression``.

    >>> value_of("(1 / 3 + 1 / 6) * 4"), value_of("gcd(12, 18) - 7")
    (Fraction(2, 1), Fraction(-1, 1))

    Raises:
        SyntaxError, ValueError, ArithmeticError: it is no such expression, or has no value that is a small number.
    """
    if len(expression) > LONGEST:
        raise ValueError(f"longer than {LONGEST} characters")
    return _value(ast.parse(expression.strip(), mode="eval").body)


def as_text(value: Fraction) -> str:
    """A whole number as it is, any other to twelve significant digits.

    >>> as_text(Fraction(1234567)), as_text(Fraction(5, 2)), as_text(Fraction(-2, 3))
    ('1234567', '2.5', '-0.666666666667')
    """
    return str(value.numerator) if value.denominator == 1 else f"{float(value):.12g}"


_OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction | int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_WHOLE: dict[str, Callable[..., int]] = {"gcd": math.gcd, "lcm": math.lcm}
_ANY: dict[str, Callable[..., Fraction]] = {"min": min, "max": max}


def _value(node: ast.expr) -> Fraction:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return _small(Fraction(str(number)))
        case ast.UnaryOp(op=ast.USub()):
            return -_value(node.operand)
        case ast.UnaryOp(op=ast.UAdd()):
            return _value(node.operand)
        case ast.BinOp(op=ast.Pow()):
            return _power(_value(node.left), _value(node.right))
        case ast.BinOp() if type(node.op) in _OPERATORS:
            return _small(Fraction(_OPERATORS[type(node.op)](_value(node.left), _value(node.right))))
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in _WHOLE or name in _ANY:
            return _call(name, [_value(argument) for argument in node.args])
    raise ValueError("only numbers, + - * / // % **, brackets, gcd, lcm, min and max are allowed")


def _call(name: str, values: list[Fraction]) -> Fraction:
    if len(values) < 2:
        raise ValueError(f"{name} takes two numbers or more")
    if name in _ANY:
        return _ANY[name](values)
    if any(value.denominator != 1 for value in values):
        raise ValueError(f"{name} takes whole numbers")
    return _small(Fraction(_WHOLE[name](*(value.numerator for value in values))))


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1 or abs(exponent) > 200:
        raise ValueError("an exponent is a whole number between -200 and 200")
    digits = max(len(str(abs(base.numerator))), len(str(base.denominator)))
    if digits * abs(exponent) > 260:
        raise ValueError("the power is too large")
    return _small(Fraction(base**exponent.numerator))


def _small(value: Fraction) -> Fraction:
    if abs(value) > LARGEST or value.denominator > LARGEST:
        raise ValueError("a number is too large")
    return value
