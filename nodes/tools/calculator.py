"""A calculator for the model: arithmetic and the functions of a pocket calculator, and nothing else of Python.

Integers are exact. Everything is bounded before it is computed, so no expression takes long.
"""

import ast
import math
import operator
import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool, ToolException

from ..traits import with_traits

MAX_LENGTH = 1000
MAX_DEPTH = 200
"""A sum of so many terms is as deep."""
MAX_BITS = 4096
"""Of an integer: more than 1200 digits."""


def make_calculator() -> BaseTool:
    """The tool ``calculator(expression)``."""

    def calculator(expression: str) -> str:
        """Compute an arithmetic expression exactly, such as (12.5 + 3) * 4, 15% of 80, 2^10 or round(sqrt(2), 3).

        Operators: + - * / // % (remainder; after a number alone: percent) ^ or ** (power), comparisons, brackets.
        Functions: sqrt, abs, round, floor, ceil, min, max, sum, mean, log (natural, or with a base), log2, log10,
        exp, pow, mod, factorial, comb, perm, gcd, lcm, hypot, sin, cos, tan, asin, acos, atan, degrees, radians.
        Constants: pi, e. No thousands separators, no variables.
        """
        try:
            return compute(expression)
        except ValueError as error:
            raise ToolException(f"{expression[:200]!r} cannot be computed: {error}") from error

    return with_traits(StructuredTool.from_function(calculator), acts=False, trusted=True, idempotent=True, retries=0)


def compute(expression: str) -> str:
    """The value of ``expression``, as a person writes it.

    >>> compute("2^100"), compute("0.1 + 0.2"), compute("15% of 80")
    ('1267650600228229401496703205376', '0.3', '12')

    Raises:
        ValueError: it is none, is too large, or has no value.
    """
    from simpleeval import InvalidExpression

    if len(expression) > MAX_LENGTH:
        raise ValueError(f"it has {len(expression)} characters, at most {MAX_LENGTH} are computed")
    tree = _parsed(_as_python(expression))
    try:
        value = _evaluator()(expression, tree)
    except InvalidExpression as error:
        raise ValueError(_told(error)) from None
    except ZeroDivisionError:
        raise ValueError("it divides by zero") from None
    except OverflowError:
        raise ValueError("the result is too large") from None
    except RecursionError:
        raise ValueError("it is nested too deep; compute it in parts") from None
    except TypeError as error:
        raise ValueError(f"a function or operator does not take these values ({error})") from None
    return _written(value)


def _as_python(text: str) -> str:
    """``text`` with the signs that people use and Python does not, or in another sense."""
    for sign, python in (("^", "**"), ("×", "*"), ("·", "*"), ("÷", "/"), ("−", "-"), ("π", "pi")):
        text = text.replace(sign, python)
    text = re.sub(r"√\s*(\d+\.?\d*|\.\d+)", r"sqrt(\1)", text).replace("√", "sqrt")
    if re.search(r"\d\s*%\s*[-+]", text):
        raise ValueError("% before + or - may mean percent or remainder; write 10/100, or mod(10, 3)")
    if re.search(r"\d,0\d\d(?!\d)", text):
        raise ValueError("numbers have no thousands separators here; write 1000, not 1,000")
    return re.sub(r"(?<![\w.])(\d+\.?\d*|\.\d+)\s*%(?:\s*of\b|(?=\s*(?:$|[)\]*/,<>=])))", _percent, text).strip()


def _percent(found: re.Match[str]) -> str:
    before, after = found.string[: found.start()].rstrip(), found.string[found.end() :].lstrip()
    if found[0].endswith("of"):
        if before.endswith(("/", "%", "**")):
            raise ValueError(f"it can be read in two ways; write brackets around '{found[1]}% of …'")
        return f"({found[1]}/100)*"
    if re.search(r"[\w.)\]]\s*[-+]$", before) and not after.startswith(("*", "/")):
        raise ValueError("% after + or - may mean a share of what stands before; write 200 * 1.1, or 200 + 10/100")
    return f"({found[1]}/100)"


def _parsed(text: str) -> ast.expr:
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, MemoryError, RecursionError, ValueError) as error:
        why = error.msg if isinstance(error, SyntaxError) else "it cannot be read"
        raise ValueError(f"it is no arithmetic expression ({why})") from None
    level: list[ast.AST] = [tree]
    for _ in range(MAX_DEPTH):
        level = [inner for node in level for inner in ast.iter_child_nodes(node)]
        if not level:
            return tree
    raise ValueError(f"it is nested more than {MAX_DEPTH} deep; compute it in parts")


def _told(error: Exception) -> str:
    from simpleeval import FunctionNotDefined, NameNotDefined, OperatorNotDefined

    match error:
        case FunctionNotDefined():
            return f"there is no function {getattr(error, 'func_name', '')!r}; there are {', '.join(_FUNCTIONS)}"
        case NameNotDefined():
            return f"there is no name {getattr(error, 'name', '')!r}; there are numbers, pi and e"
        case OperatorNotDefined():
            return "it has an operator that is not known here"
        case _:
            return "only numbers, operators and functions by their name are computed"


def _written(value: Any) -> str:
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, float):
        hint = "; numbers have no thousands separators here" if isinstance(value, tuple) else ""
        raise ValueError(f"its value is no single number{hint}")
    if not math.isfinite(value):
        raise ValueError("its value is no finite number")
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else format(value, ".15g")


def _number(value: Any) -> Any:
    """``value``, if it is a number that may be computed with."""
    if isinstance(value, complex):
        raise ValueError("its value is no real number")
    if not isinstance(value, (int, float)):
        raise ValueError("only numbers can be computed with")
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ValueError(f"a number in it has more than {MAX_BITS} bits (about {MAX_BITS * 3 // 10} digits)")
    return value


def _of_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    def checked(*values: Any) -> Any:
        return _number(function(*map(_number, values)))

    return checked


def _of_many(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a list or of several numbers."""

    def checked(*values: Any) -> Any:
        many = values[0] if len(values) == 1 and isinstance(values[0], (list, tuple)) else values
        if not many:
            raise ValueError("a function got no numbers")
        return _number(function([_number(one) for one in many]))

    return checked


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1:
        if base.bit_length() * abs(exponent) > 2 * MAX_BITS:
            raise ValueError("a power in it is too large; write a base like 2.0 for an approximation")
    elif isinstance(base, int) and isinstance(exponent, int) and base == 0 > exponent:
        raise ZeroDivisionError
    return base**exponent


def _divide(value: Any, by: Any) -> Any:
    """Whole numbers stay exact where nothing is left over."""
    if isinstance(value, int) and isinstance(by, int) and value % by == 0:
        return value // by
    return value / by


def _round(value: Any, digits: Any = 0) -> Any:
    """Halves are rounded away from zero, as people do."""
    if not isinstance(digits, int) or abs(digits) > 15:
        raise ValueError("round takes at most 15 digits")
    if digits >= 0 and (isinstance(value, int) or abs(value) >= 1e15):
        return value
    exact = Decimal(value) if isinstance(value, int) else Decimal(repr(value))
    if not exact.is_finite():
        return value
    rounded = exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP, Context(prec=MAX_BITS))
    return float(rounded) if digits > 0 else int(rounded)


def _up_to(most: int, function: Callable[..., int]) -> Callable[..., int]:
    def bounded(*values: Any) -> int:
        if any(not isinstance(value, int) or abs(value) > most for value in values):
            raise ValueError(f"{function.__name__} takes whole numbers up to {most}")
        return function(*values)

    return bounded


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: _of_many(function) for name, function in (("min", min), ("max", max), ("sum", sum))},
    "mean": _of_many(lambda values: sum(values) / len(values)),
    "factorial": _of_numbers(_up_to(1000, math.factorial)),
    "comb": _of_numbers(_up_to(5000, math.comb)),
    "perm": _of_numbers(_up_to(5000, math.perm)),
    **{name: _of_numbers(function) for name, function in (("pow", _power), ("round", _round), ("abs", abs))},
    **{name: _of_numbers(function) for name, function in (("mod", operator.mod), ("ln", math.log))},
    **{
        name: _of_numbers(getattr(math, name))
        for name in (
            *("sqrt", "cbrt", "floor", "ceil", "trunc", "log", "log2", "log10", "exp", "gcd", "lcm", "hypot"),
            *("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "degrees", "radians"),
        )
    },
}

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    kind: _of_numbers(function)
    for kind, function in (
        *((ast.Add, operator.add), (ast.Sub, operator.sub), (ast.Mult, operator.mul), (ast.Div, _divide)),
        *((ast.FloorDiv, operator.floordiv), (ast.Mod, operator.mod), (ast.Pow, _power)),
        *((ast.USub, operator.neg), (ast.UAdd, operator.pos)),
        *((ast.Eq, operator.eq), (ast.NotEq, operator.ne), (ast.Lt, operator.lt), (ast.LtE, operator.le)),
        *((ast.Gt, operator.gt), (ast.GtE, operator.ge)),
    )
}


@lru_cache(maxsize=1)
def _evaluator() -> Callable[[str, ast.expr], Any]:
    """Evaluates a parsed expression with simpleeval, of whose kinds of nodes only those of arithmetic are left."""
    from simpleeval import SimpleEval

    def evaluate(text: str, tree: ast.expr) -> Any:
        own = SimpleEval(operators=_OPERATORS, functions=_FUNCTIONS, names={"pi": math.pi, "e": math.e})
        kept = (ast.Name, ast.UnaryOp, ast.BinOp, ast.Compare, ast.Call)
        assert own.nodes is not None
        own.nodes = {
            **{kind: handle for kind, handle in own.nodes.items() if kind in kept},
            ast.Constant: lambda node: _number(node.value),
            ast.List: lambda node: [own._eval(one) for one in node.elts],
            ast.Tuple: lambda node: tuple(own._eval(one) for one in node.elts),
        }
        return own.eval(text, tree)

    return evaluate
