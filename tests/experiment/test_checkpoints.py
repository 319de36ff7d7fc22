"""Which checkpoints fit a model config."""

import pytest

from experiment.checkpoints import checkpoint_mismatch
from tiny_model import MASKED_FORMS, SHAPES, make_config

GRAM_SHAPES = dict(SHAPES)
for _layer in ("layer_0", "layer_1"):
    GRAM_SHAPES["bert/encoder/%s/attention/output/dense/kernel" % _layer] = [
        30, 15]


def test_a_checkpoint_of_the_same_sizes_fits_with_or_without_slots():
    for form in MASKED_FORMS:
        config = make_config(attention_form=form)
        assert checkpoint_mismatch(config, SHAPES) is None
        trained = dict(SHAPES, global_step=[])
        trained.update({name + slot: shape for name, shape in SHAPES.items()
                        for slot in ("/adam_m", "/adam_v")})
        assert checkpoint_mismatch(config, trained) is None
    assert checkpoint_mismatch(
        make_config(attention_form="cross_gram"), GRAM_SHAPES) is None


@pytest.mark.parametrize("changes, name, theirs, ours", [
    (dict(vocab_size=30), "word_embeddings", [31, 15], [30, 15]),
    (dict(hidden_size=12), "word_embeddings", [31, 15], [31, 12]),
    (dict(max_position_embeddings=8), "position_embeddings", [9, 15], [8, 15]),
    (dict(type_vocab_size=2), "token_type_embeddings", [3, 15], [2, 15]),
    (dict(intermediate_size=10), "layer_0/intermediate/dense/kernel",
     [15, 11], [15, 10]),
    (dict(attention_form="cross_gram"),
     "layer_0/attention/output/dense/kernel", [15, 15], [30, 15]),
    (dict(num_hidden_layers=3), "layer_2/attention/output/dense/kernel",
     "missing", [15, 15]),
])
def test_a_checkpoint_of_another_size_is_told_with_both_shapes(
        changes, name, theirs, ours):
    fault = checkpoint_mismatch(make_config(**changes), SHAPES)
    for part in (name, str(theirs), str(ours)):
        assert part in fault


def test_a_gram_checkpoint_fits_no_other_form():
    for form in MASKED_FORMS:
        fault = checkpoint_mismatch(make_config(attention_form=form),
                                             GRAM_SHAPES)
        assert "attention/output/dense/kernel" in fault
        assert "[30, 15]" in fault and "[15, 15]" in fault


def test_a_checkpoint_with_more_layers_does_not_fit():
    fault = checkpoint_mismatch(make_config(num_hidden_layers=1),
                                         SHAPES)
    assert "more than the 1 layers" in fault


def test_a_checkpoint_of_something_else_does_not_fit():
    fault = checkpoint_mismatch(make_config(), {"global_step": []})
    assert "bert/embeddings/word_embeddings is missing" in fault
