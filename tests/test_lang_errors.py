"""What a kernel's author reads when a kernel can't be compiled: the line, and what is wrong with the numbers in it."""

import inspect

import numpy as np
import pytest

import gemel
from gemel import lang

SQUARE = np.ones((4, 6), np.float32)
WIDE = np.ones((4, 7), np.float32)
WHOLE = np.ones((4, 6), np.int32)


def branches(x, y):
    if x > 0:  # here
        return x
    return y


def walks(x, y):
    return list(x)  # here


def slices(x, y):
    return x[0]  # here


def does_not_broadcast(x, y):
    return x + y  # here


def mixes_kinds(x, y):
    return x * y  # here


def mixes_constants(x, y):
    return y + 0.5  # here


def large_constant(x, y):
    return y + (1 << 40)  # here


def unknown_format(x, y):
    return x.astype("fp7")  # here


def wrong_axis(x, y):
    return x.sum(axis=2)  # here


def shifts_floats(x, y):
    return x << 1  # here


def compares_truths(x, y):
    return (x > 0) > (x < 1)  # here


def cubes(x, y):
    return x**3  # here


def strange_operand(x, y):
    return x + "one"  # here


def late_beside_rows(x, y):
    total = x.sum(axis=0)
    return x - total  # here


def unrounded_product(x, y):
    return lang.dot(x, x.T)  # here


def product_of_shapes(x, y):
    return lang.dot(x.astype("bf16"), y.astype("bf16"))  # here


def computed_right_operand(x, y):
    z = x.astype("bf16")
    return lang.dot(z, z.T)  # here


def stochastic_integers(x, y):
    return x.astype("int8", random=lang.random_bits(x, 1))  # here


def no_condition(x, y):
    return lang.where(x, x, 0)  # here


def returns_truths(x, y):
    return x > 0  # here


@pytest.mark.parametrize(
    ("function", "y", "message"),
    [
        (branches, SQUARE, "a tile's values aren't known while the kernel is compiled; choose with where(...)"),
        (walks, SQUARE, "a tile can't be walked through; reductions and scans work along its axes"),
        (slices, SQUARE, "a tile has no elements [0]; pass a view of the tensor to the kernel instead"),
        (does_not_broadcast, WIDE, "tiles of shapes (4, 6) and (4, 7) don't broadcast"),
        (mixes_kinds, WHOLE, "arithmetic of fp32 and int32 tiles; convert one of them with .astype(...)"),
        (mixes_constants, WHOLE, "an int32 tile doesn't mix with 0.5; convert it with .astype('fp32')"),
        (large_constant, WHOLE, "1099511627776 doesn't fit 32 bits"),
        (unknown_format, SQUARE, "unknown dtype 'fp7'; there are fp32, int32"),
        (wrong_axis, SQUARE, "a tile has the axes 0 and 1, not 2"),
        (shifts_floats, SQUARE, "<< takes int32 tiles, not fp32 and fp32"),
        (compares_truths, SQUARE, "bool tiles are combined with & | ~, not compared"),
        (cubes, SQUARE, "a tile to the power 3: squares only; use exp2(log2(x) * y)"),
        (strange_operand, SQUARE, "a tile doesn't mix with str"),
        (late_beside_rows, SQUARE, "what a reduction along axis 0 gives is known after the last row"),
        (unrounded_product, SQUARE, "dot multiplies tiles rounded by astype; its a is fp32"),
        (product_of_shapes, WIDE, "dot of (4, 6) and (4, 7): a has 6 columns, b has 4 rows"),
        (computed_right_operand, SQUARE, "the right operand of dot must be a parameter or its .T"),
        (stochastic_integers, SQUARE, "stochastic rounding isn't defined for int8"),
        (no_condition, SQUARE, "where takes a comparison as its condition"),
        (returns_truths, SQUARE, "returns_truths returns truth values; make numbers of them with where(...)"),
    ],
    ids=lambda value: value.__name__ if inspect.isfunction(value) else None,
)
def test_an_error_names_its_line(function, y, message):
    kernel = gemel.kernel(function)
    with pytest.raises(gemel.KernelError) as caught:
        kernel.compile("nano", SQUARE, y)
    lines, first = inspect.getsourcelines(function)
    place = next(i for i, line in enumerate(lines) if "# here" in line)
    head, text = str(caught.value).split("\n")
    assert head.startswith(f"{__file__}:{first + place}: {message}")
    assert text == f"    {lines[place].strip()}"


def test_a_row_must_fit_l1():
    @gemel.kernel
    def twice(x):
        return x.max() * x

    with pytest.raises(
        gemel.KernelError, match=r"a block of 1 rows takes 160,.* bytes of L1 .* the nano chip has 131,072"
    ):
        twice.compile("nano", ((3, 20_000), "fp32"))


def test_a_kernel_has_rows_of_one_count():
    @gemel.kernel
    def both(x, y):
        return x + 1, y + 1

    with pytest.raises(gemel.KernelError, match=r"the same rows, not those of \(3, 5\) and \(4, 5\)"):
        both.compile("nano", ((3, 5), "fp32"), ((4, 5), "fp32"))


def test_calls_are_checked():
    @gemel.kernel
    def twice(x, factor: float = 2.0):
        return x * factor

    with gemel.open("nano", backend="golden") as device, gemel.open("nano", backend="golden") as other:
        x = gemel.tensor(device, SQUARE)
        with pytest.raises(TypeError, match=r"twice runs on tensors; for arrays there is \.interpret"):
            twice(SQUARE)
        with pytest.raises(TypeError, match="takes tensors and numbers, not 'much'"):
            twice(x, "much")
        with pytest.raises(ValueError, match=r"out is fp32 \(4, 7\); twice gives fp32 \(4, 6\)"):
            twice(x, out=gemel.tensor(device, WIDE))
        with pytest.raises(ValueError, match="x has elements 24 bytes apart; its rows must be contiguous"):
            twice(x.T)
        adding = gemel.kernel(lambda a, b: a + b)
        with pytest.raises(ValueError, match="the tensors live on different devices"):
            adding(x, gemel.tensor(other, SQUARE))


def test_a_parameter_named_out_is_refused():
    with pytest.raises(gemel.KernelError, match="has a parameter `out`"):
        gemel.kernel(lambda x, out: x)


def test_a_kernel_returns_tiles():
    with pytest.raises(gemel.KernelError, match="returns int; a kernel returns tiles"):
        gemel.kernel(lambda x: 1).compile("nano", SQUARE)
    with pytest.raises(gemel.KernelError, match="takes at least one tensor"):
        gemel.kernel(lambda x: x).compile("nano", 1.5)
