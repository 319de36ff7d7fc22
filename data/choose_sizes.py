"""Chooses the sizes of windows, model and training by the interactions.

    python data/choose_sizes.py data/shop.txt [--max_seq_length=100 ...]

prints a shell assignment per size with its reason, name=value  # reason, which
run_own.sh takes over, and writes the model config of these sizes beside the
interactions: data/shop-msl50-64.bert_config.json. A size that a flag gives is
kept, and what follows from it follows.
"""

import collections
import json
import os
import shlex
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import util  # noqa: E402  first: it explains what is missing

import numpy as np  # noqa: E402
from absl import app  # noqa: E402
from absl import flags  # noqa: E402

from data import generation, sequences, windows  # noqa: E402

LENGTHS = (10, 20, 50, 100, 200)
WHOLE = 0.9                     # share of the users that L should suit
# Interactions per user, on average, below which a share of a window is masked.
# Sun et al. (CIKM 2019, section 4.3) found 0.6 best for Beauty, which has 8.8,
# 0.4 for Steam with 12.4, and 0.2 for the two MovieLens with 165.5 and 144.4.
MASKED_SHARES = ((10, 0.6), (50, 0.4), (float("inf"), 0.2))
MOST_MASKINGS, MOST_INSTANCES = 10, 2000000
WIDTHS = ((2e6, 64), (2e7, 128), (float("inf"), 256))   # interactions below
# Of 3,000 made-up users (see run_own.sh) the best validation NDCG@10 was .528,
# .560 and .551 with dropouts of 0, 0.1 and 0.2; and .535, .560 and .537 with
# masked shares of 0.2, 0.4 and 0.6, at 18.5 interactions per user.
HEAD_WIDTH, LAYERS, DROPOUT = 32, 2, 0.1
SHORTEST_INTERVAL, LONGEST_INTERVAL = 100, 1000         # steps
# To rank a user takes a third of the time to train on a window, which goes
# backward too; validations may take a tenth of the training's time.
VALIDATION_STEPS = 10 / 3.0
MOST_VALIDATIONS = 100

# How a size is chosen: the rule, (lengths, sizes chosen before) -> Choice, and
# the flag that sets it instead.
Size = collections.namedtuple("Size", "rule kind lower upper")
Choice = collections.namedtuple("Choice", "value reason")


# --- the rules --------------------------------------------------------------
# `lengths` is an int array, the interactions of every user; `sizes` a dict.

def max_seq_length(lengths, _):
    """L: most sequences fit in whole; longer ones are cut into windows."""
    shares = [np.mean(lengths <= length) for length in LENGTHS]
    fits = [share >= WHOLE for share in shares[:-1]] + [True]
    index = fits.index(True)
    return Choice(LENGTHS[index], "%.1f %% of the users have no more "
                  "interactions (median %d, longest %d)" % (
                      100 * shares[index], np.median(lengths), lengths.max()))


def masked_lm_prob(lengths, _):
    """The masked share: more of short sequences, which give less to ask."""
    return Choice(_below(MASKED_SHARES, lengths.mean()),
                  "%.1f interactions per user; the BERT4Rec paper has 0.6 for "
                  "9, 0.4 for 12, 0.2 for 150" % lengths.mean())


def max_predictions_per_seq(_, sizes):
    """M: all that is masked of a full window."""
    return Choice(max(1, int(round(sizes["max_seq_length"]
                                   * sizes["masked_lm_prob"]))),
                  "%g of a full window" % sizes["masked_lm_prob"])


def prop_sliding_window(lengths, sizes):
    """The window step: where there are several, they overlap by half."""
    longer = np.count_nonzero(
        _trained(lengths) > sizes["max_seq_length"])
    if not longer:
        return Choice(-1.0, "one window holds all that a user is trained on")
    return Choice(0.5, "the windows of the %d users with more than one overlap "
                  "by half" % longer)


def dupe_factor(lengths, sizes):
    """Maskings of a window: fewer of many windows."""
    count = _count_windows(lengths, sizes)
    factor = max(1, min(MOST_MASKINGS, MOST_INSTANCES // count - 1))
    return Choice(factor, "%d windows, so at most %d training instances"
                  % (count, count * (factor + 1)))


def dim(lengths, _):
    """H: a wider model where there is more to learn from."""
    return Choice(_below(WIDTHS, lengths.sum()),
                  "%d interactions; 128 from 2 million, 256 from 20 million"
                  % lengths.sum())


def batch_size(*_):
    """Windows per step."""
    return Choice(256, "as published")


def eval_every_steps(lengths, sizes):
    """Steps between validations: an epoch, if neither too few nor too many."""
    batch = float(sizes["batch_size"])
    epoch = (_count_windows(lengths, sizes) * (sizes["dupe_factor"] + 1)
             / batch)
    asked = np.count_nonzero(lengths >= sequences.FEWEST)
    validation = VALIDATION_STEPS * asked / batch
    steps = max(min(max(epoch, SHORTEST_INTERVAL), LONGEST_INTERVAL),
                validation)
    return Choice(int(np.ceil(steps / 100)) * 100,
                  "an epoch is %d steps; validations take a tenth of the time "
                  "at most" % np.ceil(epoch))


def num_train_steps(_, sizes):
    """A cap that early stopping should not let training reach."""
    return Choice(MOST_VALIDATIONS * sizes["eval_every_steps"],
                  "%d validations at most; early stopping comes before"
                  % MOST_VALIDATIONS)


SIZES = collections.OrderedDict((size.rule.__name__, size) for size in (
    Size(max_seq_length, "integer", 1, generation.MOST_ITEMS),
    Size(masked_lm_prob, "float", 0.0, 1.0),
    Size(max_predictions_per_seq, "integer", 1, 2 ** 20),
    Size(prop_sliding_window, "float", -1.0, 1.0),
    Size(dupe_factor, "integer", 1, 10 ** 6),
    Size(dim, "integer", 1, 2 ** 20),
    Size(batch_size, "integer", 1, 10 ** 6),
    Size(eval_every_steps, "integer", 1, 10 ** 12),
    Size(num_train_steps, "integer", 1, 10 ** 12)))


def _below(table, value):
    """What the table has for the first bound above `value`."""
    return next(entry for bound, entry in table if value < bound)


def _trained(lengths):
    """The items that are trained on, those held out left out: int array."""
    return np.where(lengths >= sequences.FEWEST, lengths - 2, lengths)


def _count_windows(lengths, sizes):
    """int, the windows that gen_data_fin.py makes."""
    length = sizes["max_seq_length"]
    step = windows.window_step(length, sizes["prop_sliding_window"])
    return sum(len(windows.window_starts(items, length, step)) * users
               for items, users in zip(*(column.tolist() for column in np.unique(
                   _trained(lengths), return_counts=True))))


# --- all of them ------------------------------------------------------------

def choose(lengths, given):
    """Chooses every size that is not given.

    Args:
        lengths: int array, the interactions of every user.
        given: dict, name in SIZES -> value.

    Returns:
        OrderedDict, name in SIZES -> Choice.

    Raises:
        ValueError: no user can be tested, or what is given does not fit.
    """
    if lengths.max() < sequences.FEWEST:
        raise ValueError(
            "none of the %d users has %d interactions; the last is for the "
            "test, the one before for validation: bring longer histories"
            % (len(lengths), sequences.FEWEST))
    choices, sizes = collections.OrderedDict(), {}
    for name, size in SIZES.items():
        choices[name] = (Choice(given[name], "given") if name in given
                         else size.rule(lengths, sizes))
        sizes[name] = choices[name].value
    return choices


def model_config(hidden_size, length):
    """The model config of these sizes, as bert_train/ has them: OrderedDict.

    It has no vocab_size, which run.py takes from the vocabulary.
    """
    heads = max(count for count in range(1, max(1, hidden_size // HEAD_WIDTH)
                                         + 1) if hidden_size % count == 0)
    return collections.OrderedDict([
        ("attention_form", "cross_published"),
        ("attention_probs_dropout_prob", DROPOUT),
        ("hidden_act", "gelu"),
        ("hidden_dropout_prob", DROPOUT),
        ("hidden_size", hidden_size),
        ("initializer_range", 0.02),
        ("intermediate_size", 4 * hidden_size),
        ("max_position_embeddings", length),
        ("num_attention_heads", heads),
        ("num_hidden_layers", LAYERS),
        ("type_vocab_size", 2)])


def write_model_config(prefix, choices):
    """Writes <prefix>-msl<L>-<H>.bert_config.json, unless it is there.

    One that was edited stays: it is of the sizes in its name alone, so other
    interactions make no other one.

    Returns:
        Choice, the file's name.

    Raises:
        ValueError: it cannot be written.
    """
    length, hidden_size = choices["max_seq_length"].value, choices["dim"].value
    path = "%s-msl%d-%d.bert_config.json" % (prefix, length, hidden_size)
    config = model_config(hidden_size, length)
    content = json.dumps(config, indent=2) + "\n"
    if not os.path.isfile(path):
        util.check_writable(os.path.dirname(path), "data_dir")
        with util.AtomicFiles() as files:
            with open(files.path(path), "w") as stream:
                stream.write(content)
    elif not _holds(path, content):
        util.log("kept %s, which differs from what would be written; remove "
                 "it to have it written anew" % path)
        return Choice(path, "as it was there")
    return Choice(path, "%d layers of %d heads, dropout %g" % (
        LAYERS, config["num_attention_heads"], DROPOUT))


def _holds(path, content):
    """Whether a file holds exactly this text."""
    with open(path, "rb") as stream:
        return stream.read() == content.encode("ascii")


def assignments(choices):
    """Lines for a shell, name=value  # reason: str."""
    lines = [("%s=%s" % (name, shlex.quote(str(choice.value))), choice.reason)
             for name, choice in choices.items()]
    return "\n".join("%-28s  # %s" % line for line in lines)


# --- the command ------------------------------------------------------------

def define_flags(values=flags.FLAGS):
    """Defines this command's flags. Only `__main__` calls it, and tests."""
    for name, size in SIZES.items():
        getattr(flags, "DEFINE_" + size.kind)(
            name, None, size.rule.__doc__ + " Default: chosen.",
            lower_bound=size.lower, upper_bound=size.upper, flag_values=values)


def main(argv):
    with util.one_line_stops("choose_sizes.py", "nothing was written"), \
            util.one_line_errors("choose_sizes.py"):
        if len(argv) != 2 or not argv[1].endswith(".txt"):
            raise ValueError("give one interactions file, data/<name>.txt, as "
                             "data/prepare_data.py writes it")
        path = argv[1]
        lengths = np.array([len(items) for items in
                            sequences.read_sequences(path).values()])
        given = {name: flags.FLAGS[name].value for name in SIZES
                 if flags.FLAGS[name].present}
        util.check_values(flags.FLAGS, given)
        try:
            choices = choose(lengths, given)
        except ValueError as error:
            raise ValueError("%s: %s" % (path, error))
        choices["bert_config_file"] = write_model_config(
            path[:-len(".txt")], choices)
        util.say(assignments(choices))


if __name__ == "__main__":
    define_flags()
    app.run(main)
