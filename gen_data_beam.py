"""Writes what gen_data_fin.py writes, by Apache Beam, on one machine or many.

    python gen_data_beam.py --dataset_name=ml-1m --num_shards=8

It needs requirements-beam.txt. Flags that it does not have are Beam's own:
--runner=FlinkRunner --flink_master=... and so on.
"""

import contextlib
import difflib
import glob
import io
import logging
import os
import shutil
import sys
import time

import util  # first: it explains what is missing

from absl import app
from absl import flags

logging.getLogger().setLevel(logging.ERROR)  # Beam warns of what it has not
from apache_beam import Pipeline  # noqa: E402
from apache_beam.io.filesystems import FileSystems  # noqa: E402
from apache_beam.options.pipeline_options import PipelineOptions  # noqa: E402

from data import beam_pipeline, beam_steps, generation  # noqa: E402
from data.windows import window_step  # noqa: E402

# Unless the caller names a runner: Beam's own, in this process or in several.
# Without the second flag it would fetch another one from the net.
LOCAL = ["--runner=DirectRunner", "--allow_unsafe_triggers",
         "--default_sdk_harness_log_level=ERROR"]


def define_flags():
    """Defines this command's flags. Only `__main__` calls it."""
    generation.define_shared_flags()
    flags.adopt_module_key_flags(generation)
    flags.DEFINE_list("input", None,
                      "Interactions files and globs, in this order; default: "
                      "<data_dir><dataset_name>.txt.")
    flags.DEFINE_integer("eval_users", None,
                         "Of the users with a test item put only so many, drawn "
                         "by --random_seed, into the test, validation and "
                         "history files; default: all users.", lower_bound=1)


def split_arguments(argv):
    """Parses this command's flags and returns the rest of argv, for Beam.

    Exits with one line where a flag has no value of its kind, or one of the
    rest is no flag or looks like one of this command's.
    """
    try:
        rest = flags.FLAGS(argv, known_only=True)
    except flags.Error as error:
        sys.exit("gen_data_beam.py: error: %s" % error)
    known = [flag.name for flag in flags.FLAGS.get_key_flags_for_module(
        sys.modules[__name__])] + ["runner"]
    for argument in rest[1:]:
        if not argument.startswith("--"):
            sys.exit("gen_data_beam.py: error: %r is not a flag; flags, Beam's "
                     "too, are written --name=value" % argument)
        name = argument.lstrip("-").split("=")[0]
        if name in ("pool_size", "shard_index"):
            sys.exit("gen_data_beam.py: error: %s is gen_data_fin.py's; Beam "
                     "shares out the work itself, so leave it out" % argument)
        near = difflib.get_close_matches(name, known, cutoff=0.85)
        if near and near[0] != name:
            sys.exit("gen_data_beam.py: error: %s is no flag of this command; "
                     "is it --%s?" % (argument, near[0]))
    return rest


def generate(patterns, target, options, beam_flags, holdout_validation=False,
             num_shards=None, eval_users=None):
    """Writes the files of one dataset.

    Args:
        patterns: list of str, interactions files and globs, in order.
        target: str, the outputs' names up to their endings.
        options: generation.Options.
        beam_flags: list of str, arguments for Beam.
        holdout_validation, num_shards, eval_users: as
            `beam_pipeline.build` takes them.

    Raises:
        ValueError: malformed input, options that fit no window, shards that
            cannot be, or files that cannot be written.
    """
    started = time.time()
    window_step(options.max_seq_length, options.prop_sliding_window)
    generation.check_shards(num_shards, None)
    pipeline = Pipeline(options=_read_options(beam_flags))
    files = beam_steps.find_files(patterns)
    is_local = FileSystems.get_scheme(target) is None
    if is_local:
        folder = os.path.dirname(target) or "."
        util.check_writable(folder, "data_dir")
        util.remove_leftovers(folder)
        for path in glob.glob(glob.escape(target) + ".*"):
            if os.path.isdir(path) and ".tmp-" not in path:
                raise ValueError(util.in_the_way(path))
    if (FileSystems.exists(target + ".valid.tfrecord")
            and not holdout_validation):
        raise ValueError(generation.stale_validation(target))
    util.log("%d file(s), %.1f MB" % (
        len(files), sum(size for _, size in files) / 1e6))
    temporary = util.temporary_name(target)
    FileSystems.mkdirs(temporary)
    try:
        beam_pipeline.build(pipeline, files, target, temporary, options,
                            holdout_validation, num_shards, eval_users)
        result = pipeline.run()
        result.wait_until_finish()
        fault = beam_pipeline.read_outcome(temporary)
    finally:
        if is_local:
            shutil.rmtree(temporary)
        else:  # object stores know a folder by the slash at its end
            FileSystems.delete([temporary + "/"])
    if fault is not None:
        raise ValueError(fault)
    _log_result(result, target, time.time() - started, holdout_validation)
    if is_local:
        generation.log_other_files(target, num_shards)


def _read_options(beam_flags):
    """PipelineOptions of Beam's flags; ValueError where Beam refuses one."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options = PipelineOptions(beam_flags)
            options.get_all_options()  # parses them, which is put off else
            return options
    except SystemExit:  # of argparse, after its usage
        raise ValueError(said.getvalue().splitlines()[-1].split(": error: ")[-1])


def _log_result(result, target, seconds, holdout_validation):
    """Says what there is now, by the counters of a pipeline's result."""
    counted = {counter.key.metric.name: counter.result or 0
               for counter in result.metrics().query()["counters"]}
    util.log("{users} users, {items} items, {interactions} interactions; "
             "{windows} windows ({one_item_windows} of one item); {instances} "
             "training instances; {asked} test instances".format(**counted))
    util.log("wrote %s.* in %.1f s; validation items are %s" % (
        target, seconds,
        "held out" if holdout_validation else "folded into train"))


def main(argv):
    args = flags.FLAGS
    # absl has set it to its own. What fails is raised; Beam logs it as well.
    logging.getLogger().setLevel(logging.CRITICAL)
    with util.one_line_stops(
            "gen_data_beam.py", "nothing was written or changed"), \
            util.one_line_errors("gen_data_beam.py"):
        options, target = generation.read_flags(args)
        beam_flags = argv[1:]
        if not any(flag.startswith("--runner") for flag in beam_flags):
            beam_flags = LOCAL + beam_flags
        # Workers that are processes of their own import this project too.
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [
            os.path.dirname(os.path.abspath(__file__)),
            os.environ.get("PYTHONPATH")]))
        generate(args.input or [glob.escape(os.path.join(
            args.data_dir, args.dataset_name + ".txt"))], target, options,
            beam_flags, args.holdout_validation, args.num_shards,
            args.eval_users)


if __name__ == "__main__":
    define_flags()
    app.run(main, flags_parser=split_arguments)
