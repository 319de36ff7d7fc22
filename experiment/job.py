"""What the flags of run.py ask for, checked before any graph is built."""

import argparse
import collections
import os

import evaluation
import util
import vocab

util.quiet_tensorflow()
import input_pipeline  # noqa: E402
import modeling  # noqa: E402
from data import randomness  # noqa: E402
from experiment import (  # noqa: E402
    choices, consistency, record, requests, selection)
from experiment.checkpoints import (  # noqa: E402
    find_checkpoint, named_checkpoint, saved, without_ending)
from experiment.names import read_names  # noqa: E402

INSPECTED = 2000          # training records looked at for validation items

# What the checks found out; everything below `main` reads this, not flags.
Job = collections.namedtuple(
    "Job", "config model_dir files words user_history goes_on_from "
           "checkpoint selection validation checksums began_from eval_users "
           "candidates names requests cluster args")


def _required_file(args, flag):
    path = getattr(args, flag)
    if not path:
        raise ValueError("--%s is needed here; pass the file's name, or the "
                         "directory of a training, whose run_config.json names "
                         "it, as --checkpointDir or --init_checkpoint" % flag)
    files = input_pipeline.expand_files(path, flag)
    if len(files) > 1:
        raise ValueError("--%s=%s names %d files; one is needed"
                         % (flag, path, len(files)))
    return files[0]


def _check_records(args, flag):
    """The files of an input flag, their lengths compared with the flags'.

    Lengths that no flag gives are those of the first file.
    """
    if not getattr(args, flag):
        raise ValueError("--%s is needed here; pass the TFRecord file that "
                         "gen_data_fin.py wrote" % flag)
    files = input_pipeline.expand_files(getattr(args, flag), flag)
    for name, found in zip(("max_seq_length", "max_predictions_per_seq"),
                           input_pipeline.record_lengths(files[0])):
        if getattr(args, name) is None:
            setattr(args, name, found)
    input_pipeline.check_record_lengths(files, args.max_seq_length,
                                        args.max_predictions_per_seq)
    return files


def load_config(args, words):
    """BertConfig of the flags and the vocabulary, checked against both.

    Args:
        args: the flags.
        words: vocab.FreqVocab, or None when no vocabulary is given.

    Raises:
        ValueError: what does not fit, with the value and the remedy.
    """
    path = args.bert_config_file
    if not path:
        raise ValueError("--bert_config_file is needed for a new model; the "
                         "models are in bert_train/")
    if not os.path.isfile(path):
        raise ValueError("--bert_config_file: no file %s; the models are in "
                         "bert_train/" % path)
    config = modeling.BertConfig.from_json_file(path)
    for key in record.OVERRIDES:
        if getattr(args, key) is not None:
            setattr(config, key, getattr(args, key))
    if words is None and config.vocab_size is None:
        raise ValueError("%s has no vocab_size; pass --vocab_filename or write "
                         "the number there" % path)
    if config.vocab_size is None:
        config.vocab_size = words.get_vocab_size()
    elif words is not None and config.vocab_size != words.get_vocab_size():
        raise ValueError(
            "%s: vocab_size is %d, the vocabulary %s has %d; write "
            "\"vocab_size\": %d there, or leave the key out"
            % (path, config.vocab_size, args.vocab_filename,
               words.get_vocab_size(), words.get_vocab_size()))
    if args.max_seq_length > config.max_position_embeddings:
        raise ValueError(
            "--max_seq_length=%d is above max_position_embeddings %d of %s; "
            "shorten the sequences or write a larger number there"
            % (args.max_seq_length, config.max_position_embeddings, path))
    return config


def _check_files(args):
    """dict, flag -> list of the files that this job reads."""
    files = {}
    ranks = args.do_eval or args.do_train and args.valid_input_file
    if args.vocab_filename or ranks or choices.asked(args, choices.RECOMMENDING):
        files["vocab_filename"] = [_required_file(args, "vocab_filename")]
    if (args.user_history_filename and args.do_train or ranks
            or requests.asks_for_users(args)):
        files["user_history_filename"] = [
            _required_file(args, "user_history_filename")]
    for flag, needed in (("train_input_file", args.do_train),
                         ("valid_input_file",
                          args.do_train and args.valid_input_file),
                         ("test_input_file", args.do_eval)):
        if needed:
            files[flag] = _check_records(args, flag)
    if args.max_seq_length is None:
        raise ValueError("--max_seq_length is needed here; pass the L that the "
                         "model was trained with")
    return files


def _check_names(words, args):
    """The Names of a job that recommends, or trains on what may be
    recommended, else None; the map that was found becomes --items_file."""
    if words is None or not choices.asked(
            args, ("do_train",) + choices.RECOMMENDING):
        return None
    names = read_names(words, args.vocab_filename, args.items_file)
    args.items_file = names.path
    if args.do_predict or args.do_export:
        requests.check_k(args.top_k, names.items, "--top_k")
    return names


def _check_consistency(files, words, user_history, windows, config, args):
    """Raises ValueError where the files are of two datasets or users lack."""
    if words and user_history:
        consistency.check_counts(user_history, words)
    consistency.check_windows(
        windows, user_history,
        words.get_item_count() if words else config.vocab_size - 1,
        sample=bool(words) and consistency.is_sample(words))
    for flag, left_out in (("test_input_file", 0), ("valid_input_file", 1)):
        if flag in files:
            users = consistency.check_asked(
                flag, input_pipeline.read_instances(files[flag]), user_history,
                left_out)
            if not args.allow_missing_users:
                consistency.check_users(flag, users, user_history)


def _check_validation(windows, user_history, recorded, args):
    """Whether validation items are held out; see record.validation_of.

    Raises:
        ValueError: the validation items are in the training file.
    """
    if not args.do_train:
        return recorded["validation"] if recorded else record.UNKNOWN
    if user_history is None:
        return record.UNKNOWN
    validation = record.validation_of(windows, user_history)
    if args.valid_input_file and validation == record.FOLDED:
        raise ValueError(
            "--train_input_file: %s holds the users' validation items, so they "
            "cannot choose a checkpoint; generate it with gen_data_fin.py "
            "--holdout_validation, or leave --valid_input_file out"
            % args.train_input_file)
    return validation


def _check_selection(model_dir, args):
    """The Selection of a model directory, or None without validation.

    Raises:
        ValueError: training would go on without the validations it began with.
    """
    folder = os.path.join(model_dir, record.BEST_FOLDER)
    if args.do_train and args.valid_input_file:
        return selection.Selection(model_dir, args.selection_metric)
    if args.do_train and os.path.exists(
            os.path.join(folder, selection.FILE)):
        raise ValueError(
            "%s holds a best checkpoint by validation; pass "
            "--valid_input_file to go on choosing, or another --signature"
            % folder)
    return None


def _sampled_users(files, args):
    """The test users whom --eval_users leaves, or None for all of them."""
    if args.eval_users is None or not args.do_eval:
        return None
    users = list(input_pipeline.read_targets(files["test_input_file"]))
    util.log("--eval_users: %d of the %d test users"
             % (min(args.eval_users, len(users)), len(users)))
    return randomness.sample(users, args.eval_users, evaluation.SEED)


def _check_candidates(files, words, eval_users, args):
    """The candidates to rank: those of a file, {} to keep what is drawn for a
    new file, or None."""
    path = args.candidates_file
    if not (path and args.do_eval):
        return None
    if os.path.isfile(path):
        targets = input_pipeline.read_targets(files["test_input_file"])
        if eval_users is not None:
            targets = {user: targets[user] for user in eval_users.tolist()}
        return evaluation.read_candidates(path, words, targets, args.protocols)
    util.check_parent(path, "candidates_file")
    return {}


def _check_catalogue(words, user_history, files, eval_users, args):
    """Raises ValueError where there are too few items to draw negatives from:
    now, not after a training."""
    asked = []
    # Candidates of a file are those of the first seed.
    if args.do_eval and not (args.candidates_file and args.eval_seeds == 1
                             and os.path.exists(args.candidates_file)):
        asked.append(("test_input_file", eval_users, args.protocols, 0))
    if args.do_train and args.valid_input_file:
        asked.append(("valid_input_file", None,
                      [args.selection_metric.split("/")[0]], 1))
    for flag, users, protocols, left_out in asked:
        if users is None and args.allow_missing_users:
            users = input_pipeline.read_targets(files[flag])
        names = user_history if users is None else {
            vocab.user_token(user) for user in users}
        evaluation.check_catalogue(
            words.get_item_count(),
            {name: history for name, history in user_history.items()
             if name in names},
            protocols, args.max_seq_length, left_out)


def _read_data(files):
    """The FreqVocab and the history dict of a job's files, each whole, or None
    where there is no such file."""
    words = user_history = None
    if "vocab_filename" in files:
        path, = files["vocab_filename"]
        words = util.load_pickle(path, "FreqVocab")
        consistency.check_vocabulary(path, words)
    if "user_history_filename" in files:
        path, = files["user_history_filename"]
        user_history = util.load_pickle(path, "dict")
        consistency.check_history(path, user_history)
    return words, user_history


def check_job(args):
    """Looks at every input and makes a Job of the flags.

    Args:
        args: argparse.Namespace; it is left as it is.

    Raises:
        ValueError, IOError: the first thing that does not fit.
    """
    args = argparse.Namespace(**vars(args))  # it is completed here
    if any(getattr(args, flag) is not None for flag in requests.ASKING):
        args.do_predict = True  # to ask is enough
    choices.check_choices(args)
    args.init_checkpoint = _first_checkpoint(args)
    files = _check_files(args)
    words, user_history = _read_data(files)
    config = load_config(args, words)
    choices.check_memory(config, args)
    if (args.do_train and args.output_bias == "log_popularity"
            and user_history is None):
        raise ValueError("--output_bias=log_popularity counts what training "
                         "sees; pass --user_history_filename, the .his file")
    eval_users = _sampled_users(files, args)
    _check_catalogue(words, user_history, files, eval_users, args)
    names = _check_names(words, args)
    asked = requests.check_requests(args, names) if args.do_predict else None
    if args.num_sampled >= config.vocab_size - 1:
        raise ValueError("--num_sampled=%d is not below the %d items and "
                         "special tokens; lower it, or 0 for all of them"
                         % (args.num_sampled, config.vocab_size - 1))

    model_dir = args.checkpointDir + args.signature
    start, checkpoint = find_checkpoint(model_dir, config, args)
    chosen = _check_selection(model_dir, args)
    # A training is compared with the one that it goes on from.
    folder = os.path.dirname(checkpoint) if checkpoint else model_dir
    recorded, sums = record.read(folder), record.checksums(files)
    if names is not None and names.checksums:
        sums["items_file"] = names.checksums
    if recorded and not args.ignore_checksums:
        record.check_checksums(recorded, sums, folder)
    began_from = _began_from(recorded, start, args)
    if began_from and not args.ignore_checksums:
        # Another vocabulary's ids are other items.
        record.check_checksums(
            began_from, {flag: sums[flag] for flag in sums
                         if flag == "vocab_filename"},
            args.init_checkpoint or folder)
    windows = list(input_pipeline.read_windows(
        files.get("train_input_file", []), INSPECTED))
    if not args.ignore_checksums:
        _check_consistency(files, words, user_history, windows, config, args)
    validation = _check_validation(windows, user_history, recorded, args)
    return Job(config, model_dir, files, words, user_history, start,
               checkpoint, chosen, validation, sums, began_from, eval_users,
               _check_candidates(files, words, eval_users, args), names, asked,
               choices.check_cluster(args), args)


def _first_checkpoint(args):
    """The checkpoint that --init_checkpoint names, or None.

    A training that goes on has no need of it any more, and it may be gone: it
    began from the one in its record, and still did.
    """
    given, model_dir = args.init_checkpoint, args.checkpointDir + args.signature
    goes_on = args.do_train and saved(model_dir)
    recorded = record.read(model_dir) if goes_on else None
    if recorded is None:
        return named_checkpoint(given)
    first = recorded["flags"].get("init_checkpoint")
    if given and (not first or os.path.realpath(without_ending(given)) not in
                  map(os.path.realpath, (first, os.path.dirname(first)))):
        util.log("%s began from %s, not --init_checkpoint=%s; another "
                 "--checkpointDir begins there"
                 % (model_dir, first or "nothing", given))
    return first


def _began_from(recorded, start, args):
    """The record of the training whose checkpoint this one begins, or began,
    from; None where there is no checkpoint, or none of ours."""
    if start:
        return (recorded or {}).get("began_from")
    if args.do_train and args.init_checkpoint:
        return record.read(os.path.dirname(args.init_checkpoint))
    return None
