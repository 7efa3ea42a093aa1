"""The calculator: exact where it can be, bounded everywhere, and no way from it into Python."""

from time import process_time

import pytest
from langchain_core.tools import ToolException
from threadmill.nodes.tools import make_calculator
from threadmill.nodes.tools.calculator import compute
from threadmill.nodes.traits import traits_of


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2^100", "1267650600228229401496703205376"),
        ("0.1 + 0.2", "0.3"),
        ("6 / 2", "3"),
        ("10 % 3", "1"),
        ("15% of 80", "12"),
        ("80 * 15%", "12"),
        ("8 / 50%", "16"),
        ("12 × (3 − 1) ÷ 8", "3"),
        ("round(2.5) + round(2.675, 2)", "5.68"),
        ("mean(1, 2) + sum([1, 2, 3]) + max(100,200)", "207.5"),
        ("log(8, 2) + sqrt(16) + abs(-1)", "8"),
        ("factorial(20) / factorial(18)", "380"),
        ("3 < 5", "True"),
        ("factorial(25) / 5", "3102242008666197196800000"),
        ("round(1234567890123456, -3)", "1234567890123000"),
        ("round(1234567890123500.0, -3) - round(25, -1)", "1234567890123970"),
        ("round(123456789012345.5, 15)", "123456789012346"),
        ("√16 + √(9) + 2*π > 13", "True"),
        ("+".join(["1"] * 150), "150"),
    ],
)
def test_it_computes_what_a_person_means(expression: str, value: str):
    assert compute(expression) == value


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("1/0", "it divides by zero"),
        ("1,000 + 1", "no thousands separators"),
        ("100 - 10% - 5", "may mean percent or remainder"),
        ("200 + 10%", r"write 200 \* 1.1, or 200 \+ 10/100"),
        ("80 / 50% of 10", r"write brackets around '50% of …'"),
        ("(1, 2)", "no single number"),
        ("sqrt(-1)", "domain error"),
        ("(-8)**(1/3)", "no real number"),
        ("1e308 * 10", "no finite number"),
        ("price * 2", "there is no name 'price'"),
        ("median(1, 2)", "there is no function 'median'; there are min, max"),
        ("round(1, 2, 3)", "does not take these values"),
        ("2 +", "no arithmetic expression"),
        ("", "no arithmetic expression"),
        ("1 " * 600, "it has 1200 characters"),
    ],
)
def test_what_it_cannot_compute_it_says(expression: str, complaint: str):
    with pytest.raises(ValueError, match=complaint):
        compute(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('id')",
        "open('/etc/passwd')",
        "eval('1')",
        "().__class__.__bases__[0].__subclasses__()",
        "(1).__class__",
        "sqrt.__globals__",
        "[x for x in [1]]",
        "(lambda: 1)()",
        "f'{1}'",
        "'{}'.format(1)",
        "'a' * 10**9",
        "[1] * 10**9",
        "max([1, 2], key=abs)",
        "max(*[1, 2])",
        "(x := 5)",
        "1 << 10**9",
        "1j * 1j",
        "import os",
        "1\nimport os",
    ],
)
def test_no_expression_leads_out_of_arithmetic(expression: str):
    with pytest.raises(ValueError, match=r"only numbers|there is no|not known|no arithmetic expression|no real number"):
        compute(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "9**9**9",
        "9^9^9",
        "pow(9, pow(9, 9))",
        "2**(2**(2**(2**(2**2))))",
        "factorial(10**6)",
        "comb(10**9, 5 * 10**8)",
        "lcm(" + ",".join(f"10**{n}+1" for n in range(1000, 1060)) + ")",
        "(" * 400 + "1" + ")" * 400,
        "-" * 900 + "1",
    ],
)
def test_what_would_take_long_is_refused_at_once(expression: str):
    begun = process_time()
    with pytest.raises(ValueError, match=r"too large|up to|more than|nested|no arithmetic"):
        compute(expression)
    assert process_time() - begun < 0.5


def test_the_model_reads_why_and_nobody_is_asked_about_arithmetic():
    calculator = make_calculator()
    with pytest.raises(ToolException, match=r"'1/0' cannot be computed: it divides by zero"):
        calculator.invoke({"expression": "1/0"})
    assert calculator.invoke({"expression": "6*7"}) == "42"
    assert (traits_of(calculator).acts, traits_of(calculator).trusted) == (False, True)
