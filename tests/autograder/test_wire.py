"""Plain values cross unchanged; anything else, and any damaged frame, is refused."""

from __future__ import annotations

import io
import json
import random
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autograder import wire

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def through(value):
    stream = io.BytesIO()
    wire.write(stream, value)
    stream.seek(0)
    return wire.read(stream)


@settings(max_examples=200, deadline=None)
@given(PLAIN)
def test_plain_values_cross_unchanged_or_are_refused_as_too_deep(value):
    try:
        assert through(value) == value
    except wire.WireError as error:
        assert "nested" in str(error)


@pytest.mark.parametrize(
    "dtype",
    [torch.bool, torch.int32, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64],
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4)])
def test_tensors_keep_dtype_shape_and_numbers(dtype, shape):
    tensor = (torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 3).to(dtype)
    back = through({"a": [tensor]})["a"][0]
    assert back.dtype == dtype and torch.equal(back, tensor)


def test_a_transposed_view_arrives_transposed():
    tensor = torch.arange(24.0).view(2, 3, 4).permute(2, 0, 1)
    back = through(tensor)
    assert torch.equal(back, tensor) and back.stride() == tensor.stride() and not back.is_contiguous()


def test_special_numbers_cross():
    nan, infinite, big = through([float("nan"), float("-inf"), 2**80])
    assert nan != nan and infinite == float("-inf") and big == 2**80


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float64(0.25), 0.25),
        (np.float32(0.5), 0.5),
        (np.longdouble(2), 2.0),
        (np.int64(-7), -7),
        (np.uint8(255), 255),
        (np.bool_(True), True),
        (np.str_("é"), "é"),
    ],
)
def test_a_number_of_numpy_arrives_as_python_s(value, plain):
    back = through([value, (value,), {"a": value}])
    assert back == [plain, (plain,), {"a": plain}]
    assert type(back[0]) is type(plain)


def test_an_array_of_numpy_does_not_cross():
    with pytest.raises(wire.WireError, match="ndarray is not plain"):
        through(np.zeros(2))


class Impostor(torch.Tensor):
    def __eq__(self, other):
        return True


def test_a_tensor_subclass_arrives_as_a_plain_tensor():
    back = through(torch.zeros(2).as_subclass(Impostor))
    assert type(back) is torch.Tensor


@pytest.mark.parametrize(
    "value", [object(), {object(): 2}, {1, 2}, lambda: 0, torch.nn.Linear(1, 1), type("S", (str,), {})("s")]
)
def test_what_is_not_plain_is_refused_before_a_byte_is_written(value):
    stream = io.BytesIO()
    with pytest.raises(wire.WireError):
        wire.write(stream, [value])
    assert stream.getvalue() == b""


def test_size_and_depth_are_bounded():
    with pytest.raises(wire.WireError, match="64 MB"):
        wire.write(io.BytesIO(), torch.empty(65 * 2**20, dtype=torch.uint8))
    deep = []
    for _ in range(50):
        deep = [deep]
    with pytest.raises(wire.WireError, match="nested"):
        wire.write(io.BytesIO(), deep)


@pytest.mark.parametrize(
    "frame",
    [
        struct.pack("<QQ", 2**60, 0),
        struct.pack("<QQ", 2, 0) + b"{}",
        struct.pack("<QQ", 1, 0) + b"[",
        struct.pack("<QQ", 14, 0) + b'{"surprise":1}',
    ],
)
def test_impossible_frames_are_refused(frame):
    with pytest.raises(wire.WireError):
        wire.read(io.BytesIO(frame))


def test_a_tensor_cannot_reach_outside_its_frame():
    about = {"dtype": "torch.float32", "shape": [100], "order": [0], "at": [0, 400]}
    text = json.dumps({"tensor": about}).encode()
    with pytest.raises(wire.WireError, match="outside"):
        wire.read(io.BytesIO(struct.pack("<QQ", len(text), 4) + text + b"abcd"))


def test_damaged_frames_give_an_error_of_ours_and_nothing_else():
    stream = io.BytesIO()
    wire.write(stream, {"a": [1, "two", torch.ones(3)], "b": (None, 2.5)})
    frame, generator = stream.getvalue(), random.Random(0)
    outcomes = set()
    for _ in range(500):
        damaged = bytearray(frame)
        for _ in range(generator.randint(1, 4)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        try:
            wire.read(io.BytesIO(bytes(damaged[: generator.randint(1, len(damaged))])))
            outcomes.add("read")
        except (wire.WireError, EOFError) as error:
            outcomes.add(type(error).__name__)
    assert {"WireError", "EOFError"} <= outcomes


def test_a_dict_may_have_keys_that_are_not_text():
    message = {(1, 2): 3, b"ab": [1], 7: {"x": None}, (b"a", ("b",)): 1.5}
    assert through(message) == message
    with pytest.raises(wire.WireError, match="keys must be plain: got one of type object"):
        wire.write(io.BytesIO(), {object(): 1})


def test_a_configuration_travels_as_its_recipe_and_is_made_only_when_asked():
    from autograder.calling import Made, make
    from llmlib.gpt import GPTConfig

    config = GPTConfig(vocab_size=7, d_model=8, n_heads=2)
    came = through({"config": config})["config"]
    assert isinstance(came, Made) and came.path == "llmlib.gpt:GPTConfig"
    assert make(came) == config
