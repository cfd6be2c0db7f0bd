"""How an answer is called: a function as it is, a class by making an instance and calling one of its methods.

What a plain value cannot carry (a configuration, a generator) travels as `Made`, the name of the function
that makes it and that function's arguments, and is made where the answer runs, anew for each call.
"""

from __future__ import annotations

import importlib
import inspect
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from autograder.checks import Case
from autograder.nested import copy_value
from autograder.outcome import Failure, Refused


@dataclass(frozen=True, repr=False)
class Made:
    """A value that is made where the answer runs: "llmlib.gpt:GPTConfig" and its arguments by name."""

    path: str
    arguments: Mapping[str, Any]

    def __repr__(self) -> str:
        """As a learner would write it: a counterexample shows it."""
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.path.rpartition(':')[2]}({arguments})"


def generator(seed: int) -> torch.Generator:
    """A generator for an answer that draws: `Made("autograder.calling:generator", {"seed": 3})`."""
    return torch.Generator().manual_seed(seed)


def with_gradients(model: nn.Module) -> nn.Module:
    """A model that has had a backward pass before: the gradients of it, here all 1, are still there."""
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    return model


def make(value: Any) -> Any:
    """The value itself, with every `Made` in it made. What holds none stays the same object: an answer that
    changes a list has changed the one that it was given, and is found out."""
    if isinstance(value, Made):
        module, _, name = value.path.partition(":")
        maker = getattr(importlib.import_module(module), name)
        return maker(**{key: make(item) for key, item in value.arguments.items()})
    if type(value) in (list, tuple):
        made = [make(item) for item in value]
        return value if all(map(operator.is_, made, value)) else type(value)(made)
    return value


def face(answer: Any, case: Case) -> Any:
    """The function that a case calls: the answer, or the method of a class."""
    return getattr(answer, case.method) if inspect.isclass(answer) else answer


def ready(answer: Any, case: Case, device: str) -> tuple[Callable[..., Any], dict[str, nn.Parameter]]:
    """What to call for a case, and the parameters that it works with, by name.

    A module gets the case's weights and is in evaluation mode, so that dropout does not roll dice, unless
    the case says that it is training.

    Raises:
        Refused: the class has other parameters than the given `__init__` makes.
    """
    if case.construct is None:
        return answer, {}
    instance = answer(**{name: make(copy_value(value)) for name, value in case.construct.items()})
    if not isinstance(instance, nn.Module):
        return getattr(instance, case.method), {}
    parameters = _with_weights(instance, case.weights, device) if case.weights else {}
    instance.train(case.training)
    # Called as a module is called, so that a learner's hooks and wrappers work too.
    return (instance if case.method == "forward" else getattr(instance, case.method)), parameters


def _with_weights(instance: nn.Module, weights: Mapping[str, Tensor], device: str) -> dict[str, nn.Parameter]:
    dtype = next((w.dtype for w in weights.values() if w.is_floating_point()), None)
    instance.to(device=device, dtype=dtype)
    parameters = dict(instance.named_parameters())
    wanted = {name: tuple(weight.shape) for name, weight in weights.items()}
    got = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    if wanted != got:
        other = sorted(
            (n for n in wanted.keys() | got.keys() if wanted.get(n) != got.get(n)),
            key=lambda n: (n not in wanted, n),
        )
        first = other[0]
        expected = f"a parameter `{first}` of shape {wanted[first]}" if first in wanted else f"no `{first}`"
        came = f"one of shape {got[first]}" if first in got else "none"
        raise Refused(Failure("undefined", f"expected {expected}, got {came}: put the given `__init__` back"))
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
    return parameters


@cache
def _parameters(function: Callable[..., Any]) -> tuple[inspect.Parameter, ...]:
    return tuple(inspect.signature(function).parameters.values())


def as_call(
    reference: Callable[..., Any], case: Case, arguments: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """By position as far as there is no gap, so that a learner may rename parameters; the rest by name."""
    parameters = _parameters(face(reference, case))
    if inspect.isclass(reference):
        parameters = parameters[1:]  # without self
    positional: list[Any] = []
    for parameter in parameters:
        if parameter.name not in arguments or parameter.kind is parameter.KEYWORD_ONLY:
            break
        positional.append(arguments[parameter.name])
    named = {p.name: arguments[p.name] for p in parameters[len(positional) :] if p.name in arguments}
    return positional, named


def wrong_signature(reference: Callable[..., Any], name: str, answer: Any) -> Failure | None:
    """None if the answer can be called like the reference, else what is wrong with its first line."""
    wanted, got = _kind(reference), _kind(answer)
    if wanted != got:
        return Failure("undefined", f"`{name}` should be {wanted}, but it is {got}")
    if not inspect.isclass(reference):
        return _wrong_first_line(reference, name, answer)
    methods = {n: m for n, m in vars(reference).items() if inspect.isfunction(m)}
    for method, original in methods.items():
        if not callable(theirs := getattr(answer, method, None)):
            return Failure("undefined", f"`{name}` has no method `{method}`: put the given one back")
        if (failure := _wrong_first_line(original, f"{name}.{method}", theirs)) is not None:
            return failure
    return None


def _kind(thing: Any) -> str:
    if inspect.isclass(thing):
        return "a class"
    return "a function" if callable(thing) else f"a value of type {type(thing).__name__}"


def _wrong_first_line(reference: Callable[..., Any], name: str, answer: Any) -> Failure | None:
    wanted = inspect.signature(reference)
    try:
        got = inspect.signature(answer)
    except (TypeError, ValueError):
        return Failure("undefined", f"`{name}` should be a function written in Python")
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    everything = list(wanted.parameters.values())
    required = [p for p in everything if p.default is p.empty]
    try:
        for given in (everything, required):
            positional = [p.name for p in given if p.kind in plain]
            got.bind(*positional, **{p.name: None for p in given if p.kind is p.KEYWORD_ONLY})
    except TypeError:
        told = _names if list(wanted.parameters) != list(got.parameters) else _names_and_defaults
        return Failure(
            "undefined",
            f"`{name}` should take ({told(wanted)}), but it takes ({told(got)}): "
            "put the given first line back, with its default values",
        )
    return None


def _names(signature: inspect.Signature) -> str:
    return ", ".join(signature.parameters)


def _names_and_defaults(signature: inspect.Signature) -> str:
    return ", ".join(
        p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in signature.parameters.values()
    )
