"""The comparison with another BERT4Rec, with stand-ins in its place."""

import argparse
import gzip
import json
import math
import sys

import numpy as np
import pytest

import evaluation
import input_pipeline
import util
from benchmarks import peers
from conftest import command
from data.sequences import data_partition, read_sequences

# Scores by how often an item occurs in what it was given to train on, of equal
# items the first of the catalogue higher.
POPULARITY = """
import json, sys
import numpy as np
job, settings, output = sys.argv[1:]
arrays = np.load(job)
settings = json.load(open(settings))
counts = [(arrays["items"] == item).sum() - 1e-4 * place
          for place, item in enumerate(arrays["catalogue"])]
np.save(output, np.tile(np.array([-np.inf] + counts, np.float32),
                        (len(arrays["targets"]), 1)))
print("a line that is no result")
print(json.dumps(dict(steps=settings["batch"], seconds_per_step=0.5,
    training_seconds=settings["seconds"], packages={}, unknown_items=0,
    interactions=len(arrays["items"]))))
"""


@pytest.fixture(scope="module")
def ranked(dataset, tmp_path_factory):
    """Files with candidates, what is read of them, and the evaluator that
    drew the candidates."""
    folder = tmp_path_factory.mktemp("peers")
    files = {"candidates_file": str(folder / "candidates.tsv.gz"),
             "test_input_file": dataset.prefix + ".test.tfrecord",
             "vocab_filename": dataset.prefix + ".vocab",
             "user_history_filename": dataset.prefix + ".his"}
    words = util.load_pickle(files["vocab_filename"], "FreqVocab")
    history = util.load_pickle(files["user_history_filename"], "dict")
    targets = input_pipeline.read_targets([files["test_input_file"]])
    inputs = np.zeros((len(targets), 11), np.int64)
    for row, (_, ids) in enumerate(input_pipeline.read_windows(
            [files["test_input_file"]], len(targets))):
        inputs[row, :len(ids)] = ids[:-1] + [words.get_vocab_size() - 2]
    drawn = evaluation.Evaluator(words, history, peers.PROTOCOLS,
                                 candidates={})
    drawn.add(np.array(list(targets)), inputs, np.array(list(targets.values())),
              np.zeros((len(targets), words.get_vocab_size())))
    evaluation.write_candidates(files["candidates_file"], words,
                                drawn.candidates, compress=True)
    return files, words, targets, history, drawn


def test_scores_are_ranked_as_a_loop_over_the_candidates_file(ranked):
    files, words, targets, history, _ = ranked
    # Steps of a tenth, so that scores tie; V is 1 + the items.
    scores = np.random.RandomState(3).randint(
        0, 11, (len(targets), 1 + words.get_item_count())) / 10.0
    found = peers.rank_scores(scores, files, words, targets)

    row_of = {user: row for row, user in enumerate(targets)}
    id_of = {int(token[len("item_"):]): i
             for token, i in words.token_to_ids.items()
             if token.startswith("item_")}
    ranks = {"seed": [], "paper": [], "full": []}
    with gzip.open(files["candidates_file"], "rt") as lines:
        next(lines)
        for line in lines:
            user, protocol, target, negatives = line.split("\t")
            own = scores[row_of[int(user)]]
            ranks[protocol].append(sum(
                own[id_of[int(item)]] >= own[id_of[int(target)]]
                for item in negatives.split()))
    for user, target in targets.items():
        own, seen = scores[row_of[user]], history["user_%d" % user][0]
        ranks["full"].append(sum(
            own[item] >= own[target]
            for item in range(1, words.get_item_count() + 1)
            if item not in seen))
    for protocol, places in ranks.items():
        assert len(places) == len(targets)
        assert found[protocol + "/hit@10"] == pytest.approx(
            sum(place < 10 for place in places) / float(len(places)))
        assert found[protocol + "/ndcg@10"] == pytest.approx(
            sum(1 / math.log(place + 2, 2) for place in places if place < 10)
            / len(places))
    assert 0.0 < found["full/ndcg@10"] < found["full/hit@10"] < 1.0


def peer(script, ranked, dataset, folder):
    """What `train_peer` makes of a stand-in script."""
    (folder / "peer.py").write_text(script)
    args = argparse.Namespace(folder=str(folder), batch_size=7, random_seed=5,
                              peer_python=sys.executable)
    return peers.train_peer(
        ranked[0], data_partition(str(dataset.folder / "tiny.txt")),
        {"width": 12, "layers": 2, "heads": 3, "length": 11}, 4.5, args,
        script=str(folder / "peer.py"))


def test_a_peer_that_counts_items_ranks_as_the_popularity_baseline(
        ranked, dataset, tmp_path):
    found = peer(POPULARITY, ranked, dataset, tmp_path)
    known = ranked[4].results()
    for key in peers.metric_keys():
        assert found[key] == known["most_popular/" + key], key
    assert (found["steps"], found["training_seconds"],
            found["seconds_per_step"]) == (7, 4.5, 0.5)
    assert found["unknown_items"] == 0


def test_the_peer_sees_all_but_the_test_items_and_the_sizes(ranked, dataset,
                                                            tmp_path):
    peer(POPULARITY, ranked, dataset, tmp_path)
    with open(str(tmp_path / "peer.json")) as stream:
        assert json.load(stream) == {
            "width": 12, "layers": 2, "heads": 3, "length": 11, "batch": 7,
            "seconds": 4.5, "seed": 5}
    with np.load(str(tmp_path / "peer.npz")) as job:
        users, items = job["users"], job["items"]
        assert job["targets"].tolist() == list(ranked[2])
    for user, sequence in read_sequences(
            str(dataset.folder / "tiny.txt")).items():
        assert items[users == user].tolist() == sequence[:-1].tolist()


def test_a_peer_that_fails_is_an_error(ranked, dataset, tmp_path):
    with pytest.raises(ValueError, match="peer.py .* failed with exit status"):
        peer("raise SystemExit(3)", ranked, dataset, tmp_path)


def test_a_nan_of_the_peer_is_an_error(ranked, dataset, tmp_path):
    with pytest.raises(evaluation.RankingError, match="NaN"):
        peer(POPULARITY.replace("-np.inf] + counts", "0] + [np.nan] * len(counts)"),
             ranked, dataset, tmp_path)


def test_the_table_has_a_row_of_each(ranked):
    keys = peers.metric_keys()
    one = peers.describe(300, 90.0, 0.3, dict.fromkeys(keys, 0.25), {})
    two = peers.describe(20, 93.0, 4.65, dict.fromkeys(keys, 0.125), {})
    one["name"], two["name"] = "here", "peer"
    one["baselines"] = {"most_popular": dict.fromkeys(keys, 0.0625),
                        "item_transitions": dict.fromkeys(keys, 0.1)}
    lines = peers.table({
        "date": "2026-11-24", "data": "tiny", "width": 12, "layers": 2,
        "heads": 3, "length": 11, "batch_size": 7, "random_seed": 5,
        "hardware": {"cpu": "a CPU", "cores": 2}, "ours": one,
        "peer": two}).splitlines()
    assert lines[0] == ("2026-11-24; tiny; d 12, 2 layers, 3 heads, L 11, "
                        "batch 7; random_seed 5; a CPU, 2 cores")
    assert lines[2].startswith("| | s / step | steps | minutes | "
                               "NDCG@10, seed | HR@10, seed | NDCG@10, paper")
    assert lines[4] == "| here | 0.3 | 300 | 1.5 |" + " 0.2500 |" * 6
    assert lines[5] == "| peer | 4.65 | 20 | 1.6 |" + " 0.1250 |" * 6
    assert lines[6] == "| most popular | – | – | – |" + " 0.0625 |" * 6
    assert lines[7] == "| item transitions | – | – | – |" + " 0.1000 |" * 6


@pytest.mark.parametrize("flag, error", [
    ("--peer_python=nowhere", "no nowhere; benchmarks/requirements-peers.txt"),
    ("--dim=63", "bert_config_sample_63.json"),
    ("--output=nowhere/peers.json", "--output: no folder nowhere; make it"),
    ("--folder=.", "is there already")])
def test_what_is_missing_or_in_the_way_is_one_line(flag, error, tmp_path):
    status, output, errors = command(
        "benchmarks/peers.py", "--data=sample",
        "--peer_python=%s" % sys.executable, flag, cwd=str(tmp_path))
    assert (status, output) == (1, "")
    assert error in errors and len(errors.splitlines()) == 1, errors
