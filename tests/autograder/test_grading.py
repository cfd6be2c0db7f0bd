"""Every way an answer can go, and what the verdict then says."""

from __future__ import annotations

import ast
import math
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from autograder.exercise import Case, Check, Exercise, Misconception
from autograder.exercises import find
from autograder.expecting import Expected
from autograder.grading import grade_callable, passes
from autograder.judging import compare
from autograder.outcome import Outcome
from autograder.running import code_of


def right(query, key, temperature=1.0):
    return query @ key.transpose(-2, -1) / (math.sqrt(query.shape[-1]) * temperature)


def test_right_answer_passes_with_every_point(exercise):
    report = grade_callable(exercise, right)
    assert (report.status, report.points, report.max_points) == ("passed", 4, 4)
    assert report.reason is None and report.misconception is None and report.counterexample is None


def test_alternative_and_renamed_parameters_pass(exercise):
    for alternative in exercise.alternatives:
        assert grade_callable(exercise, alternative.answer).status == "passed"
    assert grade_callable(exercise, lambda q, k, t=1.0: right(q, k, t)).status == "passed"


def test_each_misconception_is_named(exercise):
    for misconception in exercise.misconceptions:
        report = grade_callable(exercise, misconception.answer)
        assert report.status == "failed" and report.points == 0
        assert report.misconception is not None and report.misconception.id == misconception.id


def test_unknown_mistake_is_not_given_a_name(exercise):
    report = grade_callable(
        exercise, lambda query, key, temperature=1.0: right(query, key, temperature) + 0.01
    )
    assert report.status == "failed" and report.misconception is None


def test_of_two_mistakes_the_first_is_named_and_the_other_announced():
    exercise = find("attention.scaled_dot_product_attention")

    def no_scale_and_the_mask_forgotten(query, key, value, mask=None):
        return torch.softmax(query @ key.transpose(-2, -1), dim=-1) @ value

    report = grade_callable(exercise, no_scale_and_the_mask_forgotten)
    assert report.misconception.id == "not-scaled"
    assert report.misconception.advice.endswith("Mend this first: it is not the only thing that goes wrong.")


def test_a_first_check_that_fails_by_its_shape_names_nothing():
    exercise = find("attention.softmax")
    assert grade_callable(exercise, lambda x, dim=-1: x.sum(dim).exp()).misconception is None


def test_an_answer_that_only_raises_shares_a_name_by_its_message_alone(exercise):
    def one_error(query, key, temperature=1.0):
        return query + {}

    def another_error(query, key, temperature=1.0):
        return len(3)

    known = Misconception("adds-a-dict", "a dict is added", "Look.", one_error)
    exercise = replace(exercise, misconceptions=(known,))
    assert grade_callable(exercise, one_error).misconception.id == "adds-a-dict"
    assert grade_callable(exercise, another_error).misconception is None


def test_partial_points_and_dependency(exercise):
    report = grade_callable(exercise, lambda query, key, temperature=1.0: right(query, key))
    assert [c.passed for c in report.checks] == [True, False, True] and report.points == 3
    wrong = grade_callable(exercise, lambda query, key, temperature=1.0: torch.zeros(()))
    assert wrong.points == 0
    assert all("counts once this passes: divides by √d_k" in c.message for c in wrong.checks[1:])


def test_counterexample_is_small_and_true(exercise):
    report = grade_callable(exercise, exercise.misconceptions[0].answer)
    example = report.counterexample
    assert example is not None
    assert max(len(text.split()) for text in example.inputs.values()) <= 4  # at most 2 × 2
    assert float(example.expected.split()[0]) != float(example.got.split()[0])


def test_stub_is_not_attempted(exercise):
    def stub(query, key, temperature=1.0):
        raise NotImplementedError("Exercise 3.1: scores")

    report = grade_callable(exercise, stub)
    assert report.status == "not_attempted" and report.points == 0
    assert all(not c.passed and c.message for c in report.checks)


def test_own_not_implemented_error_is_an_attempt(exercise):
    def answer(query, key, temperature=1.0):
        raise NotImplementedError("later")

    assert grade_callable(exercise, answer).status == "failed"


def test_exception_names_the_line(exercise):
    def answer(query, key, temperature=1.0):
        return query @ key  # the wrong line

    report = grade_callable(exercise, answer)
    assert report.status == "failed" and "RuntimeError" in report.reason
    assert report.line == code_of(answer).co_firstlineno + 1
    assert report.line_text == "return query @ key  # the wrong line"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda query, key, temperature=1.0: None, "expected a tensor, got None (is a `return` missing?)"),
        (lambda query, key, temperature=1.0: right(query, key).tolist(), "expected a tensor, got a list"),
        (
            lambda query, key, temperature=1.0: right(query, key).mT,
            "expected shape (2, 3, query 4, key 6), got",
        ),
        (lambda query, key, temperature=1.0: right(query, key).float().bfloat16(), "expected dtype float32"),
        (lambda query, key, temperature=1.0: right(query, key) * torch.nan, "NaN in 144 of 144 entries"),
        (lambda query, key, temperature=1.0: right(query, key) / 0, "infinite in 144 of 144 entries"),
        (lambda query: query, "should take (query, key, temperature), but it takes (query)"),
        (
            lambda query, key, temperature: right(query, key),
            "should take (query, key, temperature=1.0), but it takes (query, key, temperature)",
        ),
        (3, "should be a function, but it is a value of type int"),
        (torch.nn.Linear, "should be a function, but it is a class"),
    ],
)
def test_bad_results_are_told_apart(exercise, answer, sentence):
    report = grade_callable(exercise, answer)
    assert report.status == "failed" and sentence in report.reason
    assert all(c.message for c in report.checks if not c.passed)


@pytest.mark.parametrize(
    ("answer", "reference", "sentence"),
    [
        (1.0, math.inf, "the result should be infinite, and is not"),
        (-math.inf, math.inf, "the result should be inf, and is -inf"),
        (math.inf, 1.0, "the result is infinite"),
        (math.nan, 1.0, "the result is NaN"),
        (torch.ones(2), torch.tensor([1, math.inf]), "the result should be infinite in places, and is not"),
    ],
)
def test_of_one_number_nothing_is_said_about_places(answer, reference, sentence):
    checks = (Check("is right", 1, lambda generator: [Case({})]),)
    exercise = Exercise("a.one", "1.1", "one", 5, 1, checks, ("Look.",), reference=lambda: reference)
    assert grade_callable(exercise, lambda: answer).reason.endswith(sentence)


def test_lost_gradient_is_said(exercise):
    report = grade_callable(
        exercise, lambda query, key, temperature=1.0: right(query.detach(), key, temperature)
    )
    assert report.points == 3
    assert "no gradient reaches `query`" in report.checks[-1].message


def doubled(numbers):
    return numbers * 2, [numbers + 1]


def with_a_graph(numbers):
    with torch.enable_grad():
        weight = torch.ones((), requires_grad=True)
        return numbers * 2, [numbers + weight]


@pytest.mark.parametrize("detached", [True, False])
def test_a_graph_that_comes_back_is_said_only_where_it_may_not(detached):
    def cases(generator):
        yield Case({"numbers": torch.rand(2, generator=generator)}, detached=detached)

    checks = (Check("doubles", 1, cases),)
    exercise = Exercise("a.doubled", "1.1", "twice", 5, 1, checks, ("Look.",), reference=doubled)
    report = grade_callable(exercise, with_a_graph)
    assert report.status == ("failed" if detached else "passed")
    assert not detached or "still holds the graph" in report.reason
    detaching = grade_callable(
        exercise, lambda numbers: (numbers * 2, [with_a_graph(numbers)[1][0].detach()])
    )
    assert detaching.status == "passed"


def test_mutation_is_named_as_such(exercise):
    def answer(query, key, temperature=1.0):
        query /= math.sqrt(query.shape[-1])
        return query @ key.mT / temperature

    report = grade_callable(exercise, answer)
    assert "changes its input `query` in place" in report.reason
    assert report.counterexample.got == "query changed"


def test_endless_loop_is_stopped_even_if_it_swallows_exceptions(exercise):
    def answer(query, key, temperature=1.0):
        while True:
            try:
                while True:
                    pass
            except Exception:
                pass

    report = grade_callable(exercise, answer, timeout=0.3)
    assert report.status == "failed" and "no answer after 0.3 seconds" in report.reason


@pytest.mark.parametrize("error", [SystemExit, type("Mine", (BaseException,), {})])
def test_leaving_by_a_base_exception_is_a_failure_of_the_answer(exercise, error):
    def answer(query, key, temperature=1.0):
        raise error("bye")

    assert grade_callable(exercise, answer).status == "failed"


def test_printing_and_warnings_are_harmless_and_unseen(exercise, capfd):
    def answer(query, key, temperature=1.0):
        print("debug")
        print("more", file=sys.stderr)
        warnings.warn("careful", stacklevel=1)
        return right(query, key, temperature)

    assert grade_callable(exercise, answer).status == "passed"
    assert capfd.readouterr() == ("", "")


def test_the_reference_may_not_be_called_under_any_name(exercise):
    borrowed = exercise.reference
    report = grade_callable(exercise, lambda query, key, temperature=1.0: borrowed(query, key, temperature))
    assert report.status == "failed" and "the course's own solution" in report.reason


@pytest.mark.parametrize("swallow", [False, True])
def test_library_function_is_refused_by_name(exercise, swallow):
    def answer(query, key, temperature=1.0):
        try:
            torch.nn.functional.linear(query, key[0, 0])
        except Exception:
            if not swallow:
                raise
        return right(query, key, temperature)

    report = grade_callable(exercise, answer)
    assert report.status == "failed" and "`torch.nn.functional.linear`" in report.reason


def test_library_operator_is_refused_by_the_back_door(exercise):
    watched = replace(exercise, forbidden=("aten::bmm",))
    report = grade_callable(watched, right)
    assert report.status == "failed" and "torch.ops.aten.bmm" in report.reason
    clean = lambda query, key, temperature=1.0: (  # noqa: E731
        (query[..., :, None, :] * key[..., None, :, :]).sum(-1) / (math.sqrt(query.shape[-1]) * temperature)
    )
    assert grade_callable(watched, clean).status == "passed"


def test_the_learners_randomness_is_left_alone(exercise):
    def answer(query, key, temperature=1.0):
        torch.rand(3)
        torch.set_default_dtype(torch.float64)
        return right(query, key, temperature)

    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    grade_callable(exercise, answer)
    assert torch.get_default_dtype() == torch.float32
    assert torch.equal(torch.rand(2), expected)


def test_a_fault_of_the_grader_is_no_zero(exercise):
    def broken_cases(generator):
        raise ZeroDivisionError("ours")

    faulty = replace(exercise, checks=(replace(exercise.checks[0], cases=broken_cases),))
    report = grade_callable(faulty, right)
    assert report.status == "grader_error" and "the grader broke, not your answer" in report.reason


def test_memorised_answers_fail_on_another_seed(exercise):
    seen = {}

    def memorise(query, key, temperature=1.0):
        seen[query.shape, query.dtype, float(query.sum())] = result = right(query, key, temperature)
        return result

    def recall(query, key, temperature=1.0):
        return seen.get((query.shape, query.dtype, float(query.sum())), torch.zeros(4, 6))

    assert grade_callable(exercise, memorise, seed=1).status == "passed"
    assert grade_callable(exercise, recall, seed=2).points == 0


def key_by_key(query, key, temperature=1.0):
    """Right, with its roundings in another order."""
    scores = [(query * key[:, j : j + 1]).sum(-1) * query.shape[-1] ** -0.5 for j in range(key.shape[1])]
    return torch.stack(scores, -1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_tolerance_follows_the_numbers(exercise, dtype, size):
    """Another order of operations stays inside at every size; one part in a thousand falls out."""
    from autograder.exercise import Case

    def cases(generator):
        query, key = (size * torch.randn(2, 4, 64, generator=generator, dtype=dtype) for _ in range(2))
        yield Case({"query": query, "key": key}, gradient=True)

    sized = replace(exercise, checks=(replace(exercise.checks[0], cases=cases),), misconceptions=())
    for seed in range(10):
        assert grade_callable(sized, key_by_key, seed=seed).status == "passed"
    off = lambda query, key, temperature=1.0: right(query, key) * 1.001  # noqa: E731
    assert grade_callable(sized, off).status == "failed"


@pytest.mark.gpu
def test_an_answer_that_stays_on_the_gpu_passes(exercise):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    assert grade_callable(exercise, right, device="cuda").status == "passed"
    stray = lambda query, key, temperature=1.0: right(query, key, temperature).cpu()  # noqa: E731
    assert "device" in grade_callable(exercise, stray, device="cuda").reason


# --- Exercises on plain Python values: lists, pairs, errors


def merged(tokens: list[int], pair: tuple[int, int]) -> list[int]:
    """Every pair becomes 0; a token below 0 is refused."""
    if min(tokens, default=0) < 0:
        raise ValueError("a negative token")
    result: list[int] = []
    for token in tokens:
        if result and (result[-1], token) == pair:
            result[-1] = 0
        else:
            result.append(token)
    return result


def lists(generator):
    first = int(torch.randint(5, 9, (), generator=generator))
    yield Case({"tokens": [first, 2, 3, 4], "pair": (first, 2)})
    yield Case({"tokens": [1, 1], "pair": (2, 3)})


def refusals(generator):
    yield Case({"tokens": [1, -1], "pair": (2, 3)})


@pytest.fixture
def on_lists():
    checks = (Check("merges", 1, lists), Check("refuses", 1, refusals, after=()))
    return Exercise("bpe.merged", "1.1", "pairs", 5, 1, checks, ("Look.",), reference=merged)


def test_a_list_that_was_changed_is_found_out(on_lists):
    def answer(tokens, pair):
        tokens[:] = merged_again(tokens, pair)
        return tokens

    report = grade_callable(on_lists, answer)
    assert "changes its input `tokens` in place" in report.reason
    assert report.counterexample.got == "tokens changed"


def test_a_pair_stays_a_pair_in_the_counterexample(on_lists):
    report = grade_callable(on_lists, lambda tokens, pair: [*tokens, 7])
    assert len(ast.literal_eval(report.counterexample.inputs["pair"])) == 2
    assert len(ast.literal_eval(report.counterexample.inputs["tokens"])) == 1


def test_where_an_error_is_expected_the_counterexample_says_so(on_lists):
    def never_raises(tokens, pair):
        return merged_again([abs(token) for token in tokens], pair)

    report = grade_callable(on_lists, never_raises)
    assert report.reason == "it should raise a ValueError here, but it returns a value"
    assert (report.counterexample.expected, report.counterexample.got) == ("a ValueError", "[1, 1]")


def test_an_error_that_is_returned_is_not_raised(on_lists):
    def answer(tokens, pair):
        return ValueError("negative") if min(tokens) < 0 else merged_again(tokens, pair)

    report = grade_callable(on_lists, answer)
    assert report.points == 1
    assert report.reason == "it returns a ValueError: write `raise` in the place of `return`"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda tokens, pair: iter(tokens), "hands out its values one by one: `list(…)` makes a list"),
        (lambda tokens, pair: map(int, tokens), "it returns a map, which hands out"),
        (lambda tokens, pair: np.array(tokens), "it returns a NumPy array: `torch.from_numpy(…)`"),
    ],
)
def test_a_result_that_is_not_plain_is_told_how_to_become_so(on_lists, answer, words):
    assert words in grade_callable(on_lists, answer).reason


def test_numbers_of_numpy_are_numbers(on_lists):
    def answer(tokens, pair):
        if min(tokens, default=0) < 0:
            raise ValueError
        return [np.int64(token) for token in merged_again(tokens, pair)]

    assert grade_callable(on_lists, answer).status == "passed"


def test_messages_on_lists_count_once_and_quote_as_python_does(on_lists):
    report = grade_callable(on_lists, lambda tokens, pair: tokens[:3])
    assert report.reason.startswith("at place 0: expected 0, got ")
    assert "'" not in report.reason
    report = grade_callable(on_lists, lambda tokens, pair: (*tokens, 1))
    assert report.reason == "expected a list of 3, got a tuple of 5"


def test_a_size_of_torch_is_its_numbers():
    shapes = find("tensors.broadcast_shape")

    def answer(first, second):
        try:
            return torch.broadcast_shapes(first, second)
        except RuntimeError as error:
            raise ValueError from error

    assert grade_callable(shapes, answer).status == "passed"


def test_the_verdict_alone_is_the_same_verdict(exercise, on_lists):
    for checked in (exercise, on_lists):
        for wrong in (lambda *given: given[0], lambda: None, *(m.answer for m in checked.misconceptions)):
            assert not passes(checked, wrong)
        for alternative in checked.alternatives:
            assert passes(checked, alternative.answer)

    def careful(tokens, pair):
        if min(tokens, default=0) < 0:
            raise ValueError
        return merged_again(tokens, pair)

    assert passes(on_lists, careful) and not passes(on_lists, merged_again)


def merged_again(tokens, pair):
    result = []
    for token in tokens:
        if result and (result[-1], token) == pair:
            result[-1] = 0
        else:
            result.append(token)
    return result


# --- What a counterexample shows


def test_digits_are_shown_until_expected_and_got_differ():
    exercise = find("feedforward.gelu")

    def digits_exchanged(x, approximate="none"):
        if approximate == "none":
            return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))
        return x * 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044175 * x**3)))

    example = grade_callable(exercise, digits_exchanged).counterexample
    assert example.expected != example.got


def test_a_name_is_no_input_when_cut():
    exercise = find("gpt.initial_std")

    def shown(exercise):
        report = grade_callable(exercise, lambda name, n_layers, init_std=0.02: init_std / 3)
        return report.counterexample.inputs["name"]

    assert shown(exercise) == "'token_embedding.weight'"
    assert len(shown(replace(exercise, whole=()))) < len("'token_embedding.weight'")


def test_a_text_is_cut_whatever_its_argument_is_called():
    def count(name: str) -> int:
        return len(name)

    check = Check("counts letters", 1, lambda generator: [Case({"name": "attention"})])
    exercise = Exercise("texts.count", "6.1", "Count", 1, 1, (check,), (), reference=count)
    one_more = lambda name: len(name) + 1  # noqa: E731
    assert grade_callable(exercise, one_more).counterexample.inputs["name"] in map(repr, "attention")
    whole = replace(exercise, whole=("name",))
    assert grade_callable(whole, one_more).counterexample.inputs["name"] == "'attention'"


@pytest.mark.parametrize(
    ("want", "got", "words"),
    [
        ([1.0, [2.0, 3.0]], [1.0, [2.0, 4.0]], "at place 1: at place 1: the number is off by 1"),
        ((1, "a"), (1, 2), "at place 1: expected a str, got an int"),
        ({"loss": 1.0}, {"loss": 2.0}, "`loss`: the number is off by 1"),
        ({"loss": [1]}, {"loss": [2]}, "`loss`: at place 0: expected 1, got 2"),
        ({"loss": torch.ones(1)}, {"loss": 1.0}, "`loss`: expected a tensor, got a float"),
        ({3: 1}, {3: 2}, "for 3: expected 1, got 2"),
        ({(1, 2): 1}, {(1, 2): None}, "for (1, 2): expected an int, got None (is a `return` missing?)"),
    ],
)
def test_an_entry_is_named_alike_whether_its_type_or_its_number_is_wrong(want, got, words):
    expected = Expected(want, want, 1e-6, {}, {}, from_tensors=False)
    assert compare(Outcome(got), expected).message == words


def test_of_a_dict_of_tensors_the_wrong_entry_is_named_and_shown():
    exercise = find("gpt2.convert_block")
    right = next(a.answer for a in exercise.alternatives if a.title == "einops")

    def one_wrong(block):
        return {**right(block), "attention_norm.bias": block["ln_1.bias"] + 1}

    report = grade_callable(exercise, one_wrong)
    assert report.reason.startswith("`attention_norm.bias`: 3 of 3 numbers differ")
    assert report.counterexample.of == "attention_norm.bias" and "\n" not in report.counterexample.got
    assert "ln_1.weight         (3,)" in report.counterexample.inputs["block"]
    missing = grade_callable(exercise, lambda block: {"a": block["ln_1.bias"]}).counterexample
    assert missing.got == "a  (3,)" and missing.of == "the result"


def test_one_number_is_off_by_something_and_a_list_says_where():
    report = grade_callable(find("tensors.mean_squared_error"), lambda p, t: ((p - t) ** 2).mean() + 1)
    assert report.reason == "the number is off by 1"
    report = grade_callable(find("autograd.gradients"), lambda slopes: [1.0] * len(slopes))
    assert report.reason.startswith("at place 0: the number is off by ")


def test_a_tensor_in_the_place_of_a_number_is_told_how_to_become_one():
    report = grade_callable(find("gpt.initial_std"), lambda name, n_layers, init_std=1: torch.ones(()))
    assert report.reason.endswith("got a Tensor: `.item()` gives its number")


def test_float64_asks_for_the_dtype_and_not_for_every_digit():
    exercise = find("normalization.rms_norm")

    def as_llama_does(x, weight, eps=1e-5, offset=0.0):
        wide = x.float()
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)).type_as(x) * (weight + offset)

    for seed in range(5):
        assert grade_callable(exercise, as_llama_does, seed=seed).status == "passed"
    wrong = grade_callable(exercise, lambda x, weight, eps=1e-5: as_llama_does(x, weight, eps, 1e-4))
    assert wrong.status == "failed"


def test_a_bytearray_is_as_good_as_bytes():
    assert grade_callable(find("bpe.utf8_bytes"), lambda n: bytearray(chr(n), "utf-8")).status == "passed"


def test_an_axis_that_a_module_is_made_for_is_not_shortened():
    block = find("transformer.TransformerBlock.forward")
    flipped = next(m.answer for m in block.misconceptions if m.id == "flag-inverted")
    x = grade_callable(block, flipped).counterexample.inputs["x"]
    assert len(x.splitlines()[-1].split()) == 6, "d_model"
