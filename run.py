"""Trains BERT4Rec with cross-attention, evaluates its rankings, recommends.

    python run.py --do_train --do_eval --bert_config_file=... \\
        --train_input_file=... --test_input_file=... --vocab_filename=... \\
        --user_history_filename=... --checkpointDir=checkpoints/mine
    python run.py --do_eval --checkpointDir=checkpoints/mine
    python run.py --do_predict --checkpointDir=checkpoints/mine

The model directory is checkpointDir + signature. What it was made of stands in
its run_config.json, and flags that are not given are taken from there.
"""

import argparse
import os

import util  # first: it explains what is missing

from absl import app
from absl import flags

import evaluation

util.quiet_tensorflow()
import modeling  # noqa: E402
from experiment import (  # noqa: E402
    checkpoints, distribution, embeddings, export, faults, model_fn,
    prediction, ranking, recall, requests, training)
from experiment.job import check_job  # noqa: E402


MOST_STEPS, MOST_TOGETHER = 10 ** 12, 10 ** 6  # more than any machine takes


def define_flags():
    """Defines this command's flags; importing the module does not."""
    flags.DEFINE_string("bert_config_file", None,
                        "JSON file of the model; needed for a new one.")
    flags.DEFINE_string("train_input_file", None,
                        "Training TFRecords: names and globs, comma-separated.")
    flags.DEFINE_string("test_input_file", None,
                        "Test TFRecords: names and globs, comma-separated.")
    flags.DEFINE_string("valid_input_file", None,
                        "Validation TFRecords of gen_data_fin.py "
                        "--holdout_validation: names and globs, "
                        "comma-separated. Training keeps the checkpoint that "
                        "ranks them best in best/, and --do_eval takes it.")
    flags.DEFINE_integer("eval_every_steps", 0,
                         "Steps between validations; 0: as many as "
                         "--save_checkpoints_steps.", lower_bound=0)
    flags.DEFINE_string("selection_metric", "paper/ndcg@10",
                        "<protocol>/<metric> that chooses the best checkpoint.")
    flags.DEFINE_integer("early_stopping_patience", 0,
                         "Stop after this many validations without "
                         "improvement; 0: never.", lower_bound=0)
    flags.DEFINE_string("checkpointDir", None,
                        "The model directory is checkpointDir + signature.")
    flags.DEFINE_string("signature", "", "See checkpointDir.")
    flags.DEFINE_string("init_checkpoint", None,
                        "Training starts from the variables of this checkpoint "
                        "(or of the newest in this folder); without "
                        "--do_train it is the one evaluated or recommended "
                        "with.")
    flags.DEFINE_integer("max_seq_length", None,
                         "L of the TFRecords; default: what they have.",
                         lower_bound=1)
    flags.DEFINE_integer("max_predictions_per_seq", None,
                         "M of the TFRecords; default: what they have.",
                         lower_bound=1)
    flags.DEFINE_bool("do_train", False,
                      "Train, from the model directory's newest checkpoint.")
    flags.DEFINE_bool("do_eval", False,
                      "Evaluate the best checkpoint where validations chose "
                      "one, else the newest.")
    flags.DEFINE_integer("batch_size", 256, "Sequences per training step.",
                         lower_bound=1, upper_bound=MOST_TOGETHER)
    flags.DEFINE_integer("eval_batch_size", 256, "Users per evaluation or "
                         "prediction step.", lower_bound=1,
                         upper_bound=MOST_TOGETHER)
    flags.DEFINE_float("learning_rate", 1e-4, "The peak rate.",
                       lower_bound=0.0)
    flags.DEFINE_integer("num_train_steps", 400000, "Steps in all.",
                         lower_bound=1, upper_bound=MOST_STEPS)
    flags.DEFINE_integer("num_warmup_steps", 100, "Steps of warm-up.",
                         lower_bound=0, upper_bound=MOST_STEPS)
    flags.DEFINE_integer("save_checkpoints_steps", 1000,
                         "Steps between checkpoints.", lower_bound=1,
                         upper_bound=MOST_STEPS)
    flags.DEFINE_integer("keep_checkpoint_max", 5,
                         "The newest checkpoints that are kept; 0: all.",
                         lower_bound=0)
    flags.DEFINE_integer("random_seed", 12345,
                         "Of initialisation, dropout and shuffling.",
                         lower_bound=0, upper_bound=2 ** 31 - 1)
    flags.DEFINE_bool("bucket_by_length", True,
                      "Encode the sequences of a batch in groups of similar "
                      "length; only the time changes.")
    flags.DEFINE_bool("shift_positions", False,
                      "Training counts each sequence's positions from a "
                      "random start, so that windows shorter than "
                      "max_position_embeddings train all of its positions.")
    flags.DEFINE_integer("num_sampled", 0,
                         "Train on a softmax over this many sampled items, "
                         "for catalogues whose full softmax takes too long; "
                         "0: the full one.", lower_bound=0)
    flags.DEFINE_enum("distribution_strategy", "none",
                      distribution.STRATEGIES,
                      "Train on this process's GPUs (mirrored), or as one task "
                      "of the cluster in TF_CONFIG: all workers step together "
                      "(multi_worker), or each by itself "
                      "(parameter_server).")
    flags.DEFINE_bool("xla", False, "Compile the graph with XLA, on a GPU.")
    flags.DEFINE_bool("mixed_precision", False,
                      "Let a GPU compute in float16 where that is safe.")
    flags.DEFINE_enum("attention_form", None, modeling.ATTENTION_FORMS,
                      "Overrides the model config's.")
    for key in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        flags.DEFINE_float(key, None, "Overrides the model config's.",
                           lower_bound=0.0, upper_bound=0.999)
    flags.DEFINE_enum("output_bias", "zeros", ["zeros", "log_popularity"],
                      "Where a new output bias starts; at the log popularity "
                      "of the training items, training begins where it else "
                      "arrives after hundreds of steps.")
    flags.DEFINE_list("protocols", list(evaluation.PROTOCOLS),
                      "Evaluation protocols, comma-separated.")
    flags.DEFINE_bool("full_table", False,
                      "Print every metric of model and baselines; else NDCG@10 "
                      "and HR@10. eval_results.txt holds all of them anyway.")
    flags.DEFINE_integer("eval_seeds", 1,
                         "Seeds of the sampled candidates: the published one "
                         "gives the results; with more, mean and standard "
                         "deviation are added.", lower_bound=1)
    flags.DEFINE_string("candidates_file", None,
                        "Rank the candidates in this file (.tsv or .tsv.gz); "
                        "where there is none, write those that were drawn.")
    flags.DEFINE_integer("eval_users", None,
                         "Evaluate a sample of so many test users, always the "
                         "same ones of a file; default: all of them.",
                         lower_bound=1)
    flags.DEFINE_bool("use_pop_random", True,
                      "Protocol seed draws negatives by popularity; False: "
                      "uniformly.")
    flags.DEFINE_string("vocab_filename", None, "The .vocab file.")
    flags.DEFINE_string("user_history_filename", None, "The .his file.")
    define_prediction_flags()
    flags.DEFINE_bool("ignore_checksums", False,
                      "Go on with other data than the checkpoint was trained "
                      "with, and with files that do not belong together.")
    flags.DEFINE_bool("allow_missing_users", False,
                      "Evaluate a subset of the users who have a test item.")
    flags.mark_flag_as_required("checkpointDir")


def define_prediction_flags():
    """Defines the flags of recommendations."""
    flags.DEFINE_bool("do_predict", False,
                      "Recommend to every user of the data, or after the "
                      "sequences of --predict_input_file.")
    flags.DEFINE_bool("do_export", False,
                      "Write a SavedModel for TensorFlow Serving to export/ in "
                      "the model directory.")
    flags.DEFINE_bool("export_embeddings", False,
                      "Write the item embeddings for TensorBoard's projector "
                      "and NumPy to embeddings/ in the model directory.")
    flags.DEFINE_integer("top_k", 10, "Items to recommend.", lower_bound=1)
    flags.DEFINE_bool("allow_seen", False,
                      "Recommend items of the history again, too.")
    flags.DEFINE_string("predict_input_file", None,
                        "Sequences to recommend after: lines `key<TAB>item "
                        "item ...` (.tsv, .txt), or JSON lines with key and "
                        "items (.jsonl).")
    flags.DEFINE_string("predict_output_file", None,
                        "Where the recommendations go, .tsv or .jsonl; "
                        "default: recommendations.tsv in the model directory.")
    flags.DEFINE_string("predict_user", None,
                        "Print what this user took last and is recommended.")
    flags.DEFINE_string("predict_items", None,
                        "Print what is recommended after these items, "
                        "separated by spaces.")
    flags.DEFINE_string("items_file", None,
                        "The .items.tsv of data/prepare_data.py, for original "
                        "ids and titles; default: the one beside the "
                        "vocabulary.")


def flag_values():
    """This command's flags, without those of libraries.

    Returns:
        (argparse.Namespace of the values; set of str, the flags given).
    """
    module = flags.FLAGS.find_module_defining_flag("bert_config_file")
    own = flags.FLAGS.flags_by_module_dict()[module]
    return (argparse.Namespace(**{flag.name: flag.value for flag in own}),
            {flag.name for flag in own if flag.present})


def main(argv):
    args, given = flag_values()
    with util.one_line_stops("run.py", "what was saved before is whole; the "
                             "same command goes on from there"):
        with util.one_line_errors("run.py"):
            if argv[1:]:
                raise ValueError("%r is not a flag; flags are written "
                                 "--name=value" % argv[1])
            evaluator = distribution.is_evaluator(args.distribution_strategy)
            if evaluator:
                if not args.do_eval:
                    raise ValueError("an evaluator evaluates; pass --do_eval "
                                     "to this task of TF_CONFIG")
                distribution.await_checkpoint(
                    args.checkpointDir + args.signature)
            args = recall.complete(args, given)
            util.check_values(flags.FLAGS, vars(args))
            job = check_job(args)
        model_fn.say_device()
        if evaluator:
            ranking.follow(job)
        else:
            do(job)


def do(job):
    """Does what a job asks for, one task after the other."""
    args, checkpoint = job.args, job.checkpoint
    if args.do_train:
        training.train(job)
        checkpoint = checkpoints.trained(job)
    if not job.cluster.is_chief:
        return
    if args.do_eval:
        ranking.evaluate(job, checkpoint)
    for asked, task, folder in (
            (args.do_predict, prediction.predict,
             os.path.dirname(requests.output_path(args)) or "."),
            (args.do_export, export.export, job.model_dir),
            (args.export_embeddings, embeddings.write, job.model_dir)):
        if asked:
            with util.one_line_errors("run.py"), faults.one_line_faults(
                    [], folder, lambda: "make room and run again"):
                task(job, checkpoint)


if __name__ == "__main__":
    define_flags()
    app.run(main)
