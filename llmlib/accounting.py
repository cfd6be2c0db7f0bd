"""What a layer of attention costs, counted from its sizes.

A multiplication followed by an addition counts as two operations, as for the speed that makers of hardware
state and for `torch.utils.flop_counter`. Only matrix products are counted: biases, softmax and masks take
a share that shrinks as the vectors get longer.

Source: Chowdhery et al., "PaLM: Scaling Language Modeling with Pathways" (2022), appendix B, which counts
the same products per token, three times over for a step of training.
"""

from __future__ import annotations


def attention_parameters(d_model: int, *, bias: bool = True) -> int:
    """The number of parameters of a multi-head attention layer, whatever its number of heads.

    Raises:
        ValueError: `d_model` is not positive.
    """
    if d_model < 1:
        raise ValueError(f"d_model must be at least 1: got {d_model}")
    one_projection = d_model * d_model + (d_model if bias else 0)
    return 4 * one_projection


def attention_flops(n_queries: int, n_keys: int, d_model: int, batch: int = 1) -> int:
    """The number of floating-point operations of a multi-head attention layer, forwards.

    Each multiply-add counts as two. Counted are the four projections (queries, keys, values, output), the
    scores, and the weighted averages of the values.

    Raises:
        ValueError: a size is not positive.

    Source: Chowdhery et al. (2022), appendix B.
    """
    if min(n_queries, n_keys, d_model, batch) < 1:
        raise ValueError(
            "every size must be at least 1: got "
            f"n_queries={n_queries}, n_keys={n_keys}, d_model={d_model}, batch={batch}"
        )
    query_and_output = 2 * n_queries * d_model * d_model
    key_and_value = 2 * n_keys * d_model * d_model
    scores_and_averages = 2 * n_queries * n_keys * d_model
    return 2 * batch * (query_and_output + key_and_value + scores_and_averages)
