"""Each rule of the comparison: one pair of outputs that agrees, and one that does not."""

from __future__ import annotations

import pytest
import torch

from autograder.comparing import differences


def printed(text):
    return {"output_type": "stream", "name": "stdout", "text": text}


def result(text):
    return {"output_type": "execute_result", "data": {"text/plain": text}, "metadata": {}}


def figure(alt, body="<circle/>"):
    data = {"text/plain": f"Figure: {alt}", "text/html": f"<svg>{body}</svg>"}
    return {"output_type": "display_data", "data": data, "metadata": {}}


def compare(want, got, *tags, device="cpu"):
    return differences([printed(want)], [printed(got)], tags=tags, device=device)


TEMPORARY = "/" + "tmp"  # in pieces: no file of the course names a folder of one machine

AGREE = [
    ("loss 2.7183", "loss 2.7184"),  # one unit of the last digit
    ("12345.678", "12345.9"),  # a part in ten thousand
    ("-0.000", "0.000"),
    ("nan inf -inf", "nan inf -inf"),
    ("a   1.0\nb  10.0", "a 1.0\nb 10.0"),  # alignment
    ("1,234,567 tokens", "1,234,567 tokens"),
    ("took 12.3 ms", "took 840 ms"),
    ("in 3 minutes, 1200 tokens/s", "in 9 minutes, 88 tokens/s"),
    ("<f at 0x7f00aa>", "<f at 0x12>"),
    (f"wrote {TEMPORARY}/abc/x.txt", "wrote /var/folders/zz/y.txt"),
    ("tensor([1., 2.])", "tensor([1., 2.], device='cuda:0')"),
    ("runs on cpu", "runs on cuda:0"),
    ("\x1b[1mbold\x1b[0m", "bold"),
    ("x−1.5", "x-1.5"),
]
DIFFER = [
    ("loss 2.7183", "loss 2.7283", "1 of 1 numbers differ: expected 2.7183, got 2.7283"),
    ("-0.25", "0.25", "expected -0.25, got 0.25"),
    ("3 of 7", "4 of 7", "1 of 2 numbers differ: expected 3, got 4"),
    ("0.1 0.2 0.3", "0.1 0.7 0.5", "2 of 3 numbers differ: expected 0.2, got 0.7 (the largest difference)"),
    ("0.5", "nan", "expected 0.5, got nan"),
    ("inf", "-inf", "expected inf, got -inf"),
    ("cat\ndog", "cat\ncow", "expected “dog”, got “cow”"),
    ("cat\ndog", "cat", "expected “dog”, got no further line"),
    ("1 2 3", "1 2", "expected “1 2 3”, got “1 2”"),
    ("True", "False", "expected “True”, got “False”"),
    ("float32 1.5", "float64 1.5", "expected “float32 1.5”, got “float64 1.5”"),
]


@pytest.mark.parametrize(("want", "got"), AGREE)
def test_what_a_reader_would_call_the_same(want, got):
    assert compare(want, got) == compare(got, want) == []


@pytest.mark.parametrize(("want", "got", "words"), DIFFER)
def test_what_a_reader_would_call_different(want, got, words):
    (difference,) = compare(want, got)
    assert words in difference


@pytest.mark.parametrize("shape", [(3, 2), (6,), (1, 2, 3), (2, 3, 1)])
def test_shapes_come_first(shape):
    want, got = torch.arange(6.0).reshape(2, 3), torch.rand(6).reshape(shape)
    assert compare(str(want), str(got)) == [f"expected shape (2, 3), got {shape}"]
    assert compare(f"shape {tuple(want.shape)}", f"shape {tuple(got.shape)}") == [
        f"expected shape (2, 3), got {shape}"
    ]
    assert compare(str(want.shape), str(got.shape)) == [f"expected shape (2, 3), got {shape}"]


def test_two_rows_swapped_are_found():
    matrix = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
    (difference,) = compare(str(matrix), str(matrix[[1, 0, 2]]))
    assert "of 12 numbers differ" in difference


def test_the_tolerance_follows_the_cell_s_tag_and_the_device():
    assert compare("loss 2.50", "loss 2.60", "trained") == []
    assert compare("loss 2.50", "loss 3.60", "trained") != []
    assert compare("93 of 100", "95 of 100", "trained") == []
    assert compare("loss 2.5", "acc 2.5", "trained") != []
    assert compare("anything 1", "else 2 3", "timing") == compare("Once there was", "A bear", "varies") == []
    for tag in ("timing", "varies"):
        assert differences([printed("1")], [figure("a")], tags=[tag]) != []
    assert compare("1.23456", "1.23510") != [] and compare("1.23456", "1.23510", device="cuda") == []


def test_the_tolerance_follows_the_dtype():
    assert compare("tensor([1.0000], dtype=torch.float16)", "tensor([1.0090], dtype=torch.float16)") == []
    assert compare("tensor([1.0000])", "tensor([1.0090])") != []
    wide = "tensor([{}], dtype=torch.float64)"
    assert compare(wide.format("1.00000001"), wide.format("1.00002001")) != []
    assert compare("1.00000001", "1.00002001") == []


def test_figures_agree_in_what_they_show():
    assert differences([figure("a line", "<g/>")], [figure("a line", "<path/>")]) == []
    assert "a rising line" in differences([figure("a rising line")], [figure("a falling line")])[0]
    assert differences([figure("a line")], []) == ["expected a figure, got no output"]


def test_stderr_and_the_cuts_of_a_stream_do_not_count():
    noise = {"output_type": "stream", "name": "stderr", "text": "warning 1"}
    assert differences([printed("ab 12")], [printed("ab "), noise, printed("12")]) == []
    assert differences([], [noise]) == []


def test_an_error_and_another_kind_of_output_are_told():
    error = {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": []}
    assert differences([printed("1")], [printed("1"), error]) == ["it stopped with ValueError: no"]
    assert differences([result("1")], [printed("1")]) == ["expected a result, got printed text"]
    assert differences([], [result("1")]) == ["expected no output, got a result"]


def test_text_may_come_in_lists_and_a_display_without_plain_text_is_read_from_its_html():
    split = {"output_type": "stream", "name": "stdout", "text": ["a 1\n", "b 2\n"]}
    assert differences([split], [printed("a 1\nb 2\n")]) == []
    html = {"output_type": "display_data", "data": {"text/html": "<b>3 &lt; 4</b>"}, "metadata": {}}
    assert differences([html], [{**html, "data": {"text/html": "<i>3 &lt; 5</i>"}}]) != []
