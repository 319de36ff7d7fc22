"""Publishes a model directory: what evaluation needs, and what it was made of.

    python pretrained/publish.py checkpoints/ml-1m-... \\
        pretrained/ml-1m-cross_published-fast

The new folder holds the evaluated checkpoint without the optimiser's slots,
the records and results of run.py, each user's ranks (packed), and the curves
of loss, learning rate and validation over steps and seconds; in short/, those
of a training on short windows that came before.
`run.py --do_eval --init_checkpoint=<folder>` gives the same results again, as
is printed at the end.
"""

import gzip
import os
import shlex
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import util  # noqa: E402

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

from experiment import checkpoints, record  # noqa: E402
from reporting import events  # noqa: E402

SLOTS = ("/adam_m", "/adam_v")
COPIED = (checkpoints.CONFIG_FILE, record.FILE, record.EVALUATION_FILE,
          record.RESULTS_FILE)


def evaluated_checkpoint(model_dir):
    """The checkpoint that the results of a model directory are of.

    Raises:
        ValueError: it was not evaluated, or not as it would be again, or the
            checkpoint is gone.
    """
    recorded = record.read_evaluation(model_dir)
    if recorded is None:
        raise ValueError("no %s; evaluate with run.py --do_eval first"
                         % os.path.join(model_dir, record.EVALUATION_FILE))
    own = record.own_folder(recorded, model_dir)
    if own is None:
        raise ValueError("the results in %s are of %s, another directory's; "
                         "publish that one" % (model_dir, recorded["checkpoint"]))
    _check_repeatable(model_dir, recorded["flags"])
    there = os.path.join(model_dir, own,
                         os.path.basename(recorded["checkpoint"]))
    if not os.path.exists(there + ".index"):
        raise ValueError("the evaluated checkpoint %s is not there any more; "
                         "evaluate again" % there)
    return there


def _check_repeatable(model_dir, asked):
    """Raises ValueError where the flags of an evaluation are not those that
    --do_eval alone takes again."""
    trained = record.read(model_dir)
    usual = dict(trained["flags"] if trained else asked,
                 eval_users=None, candidates_file=None)
    for flag in ("eval_users", "candidates_file", "protocols",
                 "use_pop_random", "eval_seeds"):
        value = asked.get(flag)
        if (value or None) != (usual.get(flag) or None):
            raise ValueError(
                "the results in %s are those of --%s=%s, which the published "
                "model would not be evaluated with; evaluate again without it"
                % (model_dir, flag, ",".join(value) if isinstance(value, list)
                   else value))


def evaluation_command(folder):
    """The call of run.py that gives a published folder's results again: str.

    Data files that the training was not given are not in its record.
    """
    asked = record.read_evaluation(folder)["flags"]
    trained = record.read(folder)["flags"]
    return " ".join(["run.py --do_eval --init_checkpoint=%s "
                     "--checkpointDir=..." % shlex.quote(folder)] + [
        "--%s=%s" % (flag, shlex.quote(str(asked[flag])))
        for flag in ("test_input_file", "vocab_filename",
                     "user_history_filename") if not trained.get(flag)])


def write_slim(checkpoint, folder, changed):
    """Writes a checkpoint's variables, the optimiser's slots left out.

    Args:
        checkpoint, folder: str.
        changed: dict, a variable's name -> the array to write in its place.
    """
    reader = tf.train.load_checkpoint(checkpoint)
    with tf.Graph().as_default(), tf.Session() as session:
        for name in sorted(reader.get_variable_to_shape_map()):
            if not name.endswith(SLOTS):
                tf.get_variable(name, initializer=changed.get(
                    name, reader.get_tensor(name)))
        session.run(tf.global_variables_initializer())
        tf.train.Saver(save_relative_paths=True).save(
            session, os.path.join(folder, os.path.basename(checkpoint)),
            write_meta_graph=False)


def write_curves(model_dir, folder):
    """Writes the curves of a model directory's training as a table."""
    events.write_table(os.path.join(folder, events.TABLE_FILE),
                       events.read_curves(model_dir))


def publish(model_dir, target):
    """Fills a new folder `target`, whole or not at all.

    Raises:
        ValueError: there is nothing to publish, or the folder is there.
    """
    if os.path.exists(target):
        raise ValueError("%s is there already; remove it, or take another name"
                         % target)
    checkpoint = evaluated_checkpoint(model_dir)
    parent = os.path.dirname(os.path.abspath(target))
    os.makedirs(parent, exist_ok=True)
    util.remove_leftovers(parent)
    folder = util.temporary_name(os.path.abspath(target))
    os.mkdir(folder)
    try:
        write_slim(checkpoint, folder, {})
        for name in COPIED:
            shutil.copy(os.path.join(model_dir, name), folder)
        users = os.path.join(model_dir, record.USERS_FILE)
        with open(users, "rb") as source, gzip.GzipFile(
                os.path.join(folder, record.USERS_FILE + ".gz"), "wb",
                mtime=0) as packed:
            shutil.copyfileobj(source, packed)
        write_curves(model_dir, folder)
        short = events.short_folder(model_dir)
        if short:
            os.mkdir(os.path.join(folder, events.SHORT))
            write_curves(short, os.path.join(folder, events.SHORT))
        os.rename(folder, target)
    except BaseException:
        shutil.rmtree(folder)
        raise


if __name__ == "__main__":
    parser = util.ArgumentParser(__doc__)
    parser.add_argument("model_dir", help="what run.py trained and evaluated")
    parser.add_argument("target", help="the folder to make")
    given = parser.parse_args()
    with util.one_line_stops("publish.py", "nothing was published"), \
            util.one_line_errors("publish.py"):
        publish(given.model_dir, given.target)
    util.log("wrote %s; %s evaluates it again"
             % (given.target, evaluation_command(given.target)))
