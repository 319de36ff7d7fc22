"""Batches of users, ranked under every protocol."""

import collections

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.candidates import HistorySampler
from evaluation.evaluator import Evaluator
from evaluation.metrics import ranking_metrics, RankingError
from ranking_data import (
    ALL, NAMES, catalogue, larger_data, model_results, plain_settings,
    ranked, scores_with, transcribed_seed_rule)


def seven_items():
    """Seven items whose ids equal their numbers, as each occurs 8 - id times
    in the history of user 1; user 2 has 1 2 1 5, user 3 has 4 4."""
    words, history = catalogue({1: [i for i in range(1, 8)
                                    for _ in range(8 - i)]})
    assert words.convert_tokens_to_ids(["item_1", "item_7"]) == [1, 7]
    history.update({"user_2": [[1, 2, 1, 5]], "user_3": [[4, 4]]})
    return words, history


def full_rank(user, target, scores):
    words, history = seven_items()
    evaluator = Evaluator(words, history, ("full",))
    evaluator.add(np.array([user]), np.zeros((1, 4), int), np.array([target]),
                  np.array([scores]))
    return evaluator.ranks["full"][0]


#               id: 0  1  2  3  4  5  6  7  [pad] [MASK] [NO_USE]
@pytest.mark.parametrize("user, target, scores, rank", [
    (2, 5, [0, 9, 9, 1, 1, 5, 1, 1, 0, 0, 0], 0),    # history is excluded
    (2, 5, [0, 0, 0, 6, 7, 5, 1, 8, 0, 0, 0], 3),
    (2, 5, [0, 0, 0, 6, 5, 5, 1, 5, 0, 0, 0], 3),    # ties count against
    (2, 5, [9, 0, 0, 1, 1, 5, 1, 1, 9, 9, 9], 0),    # padding, special tokens
    (2, 5, [0, 9, 9, 9, 9, 5, 9, 9, 0, 0, 0], 4),    # the worst: 3, 4, 6, 7
    (2, 5, [0, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5], 4),    # a constant model
    (3, 4, [0, 5, 0, 5, 4, 5, 0, 0, 0, 0, 0], 3),    # seen before the test
    (3, 4, [0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0], 0),
    (2, 1, [0, 5, 9, 9, 1, 9, 1, 5, 0, 0, 0], 2),    # a repeated target
    (2, 7, [0, 9, 9, 9, 1, 9, 9, 5, 0, 0, 0], 2)])   # not in the history
def test_full_ranks_by_hand(user, target, scores, rank):
    assert full_rank(user, target, np.array(scores, np.float32)) == rank


def test_a_nan_score_of_an_item_is_an_error_under_full_too():
    with pytest.raises(RankingError, match="NaN"):
        full_rank(2, 5, [0, 1, 1, 1, 1, 5, np.nan, 1, 0, 0, 0])


def test_a_nan_score_of_padding_or_special_tokens_is_of_no_account():
    nan = np.nan
    assert full_rank(2, 5, [nan, 0, 0, 6, 1, 5, 1, 1, nan, nan, nan]) == 1


@plain_settings
@given(history=st.lists(st.integers(1, 7), min_size=1, max_size=9),
       scores=st.lists(st.integers(0, 3), min_size=11, max_size=11))
def test_full_ranks_equal_a_plain_count(history, scores):
    words, histories = seven_items()
    histories["user_9"] = [history]
    evaluator = Evaluator(words, histories, ("full",))
    target = history[-1]
    evaluator.add(np.array([9]), np.zeros((1, 4), int), np.array([target]),
                  np.array([scores], np.float32))
    assert evaluator.ranks["full"] == [sum(
        scores[item] >= scores[target]
        for item in range(1, 8) if item not in history)]


@pytest.mark.parametrize("protocol", ALL)
def test_perfect_scores_give_1_everywhere(protocol):
    words, history, users, inputs, targets = larger_data()
    evaluator = Evaluator(words, history)
    evaluator.add(users, inputs, targets, scores_with(targets, 2.0))
    assert model_results(evaluator, protocol) == dict.fromkeys(NAMES, 1.0)


@pytest.mark.parametrize("protocol, candidates", [
    ("seed", 101), ("paper", 101), ("uniform", 101), ("full", 150 - 5)])
def test_the_worst_scores_give_0_and_the_smallest_precision(
        protocol, candidates):
    words, history, users, inputs, targets = larger_data()
    evaluator = Evaluator(words, history)
    evaluator.add(users, inputs, targets, scores_with(targets, -1.0))
    assert evaluator.ranks[protocol] == [candidates - 1] * 12
    expected = dict.fromkeys(NAMES, 0.0)
    expected["ap"] = pytest.approx(1.0 / candidates)
    assert model_results(evaluator, protocol) == expected


def test_a_constant_model_gives_0_and_not_1():
    words, history, users, inputs, targets = larger_data()
    evaluator = Evaluator(words, history)
    evaluator.add(users, inputs, targets, np.zeros((12, 154), np.float32))
    assert {evaluator.results()[protocol + "/hit@10"]
            for protocol in ALL} == {0.0}


def test_sampled_ranks_are_those_of_the_samplers_candidates():
    words, history, users, inputs, targets = larger_data()
    scores = scores_with(targets, 0.5)
    evaluator = Evaluator(words, history)
    evaluator.add(users, inputs, targets, scores)

    item_ids = np.array(words.convert_tokens_to_ids(words.get_items()))
    assert item_ids.tolist() != sorted(item_ids)  # the counter's order differs
    counts = np.array([words.counter[token] for token in words.get_items()])
    published = transcribed_seed_rule(
        item_ids, counts, zip(users.tolist(), targets.tolist(), inputs))
    by_id = np.array([words.counter[words.id_to_tokens[i]]
                      for i in range(1, 151)], float)
    samplers = {"paper": HistorySampler(
                    "paper", by_id / by_id.sum(), 12345),
                "uniform": HistorySampler(
                    "uniform", np.full(150, 1 / 150.0), 12346)}
    for row, candidates in enumerate(published):
        user, target = int(users[row]), int(targets[row])
        own = np.array(history["user_%d" % user][0])
        chosen = {"seed": candidates}
        for protocol, sampler in samplers.items():
            chosen[protocol] = sampler.sample(user, target, own).tolist()
        for protocol, (_, *negatives) in chosen.items():
            assert evaluator.ranks[protocol][row] == sum(
                scores[row, negative] >= scores[row, target]
                for negative in negatives)
    assert len(set(evaluator.ranks["seed"])) > 1


def test_negatives_of_seed_are_uniform_without_use_pop_random():
    words, history, users, inputs, targets = larger_data()
    scores = scores_with(targets, 0.5)
    evaluator = Evaluator(words, history, ("seed",),
                                     use_pop_random=False)
    evaluator.add(users, inputs, targets, scores)
    rng = np.random.RandomState(12345)
    for row in range(12):
        excluded = set(inputs[row].tolist()) | {0, targets[row]}
        rank = found = 0
        while found < 100:
            item = rng.randint(1, 151)
            if item not in excluded:
                found += 1
                rank += scores[row, item] >= scores[row, targets[row]]
        assert evaluator.ranks["seed"][row] == rank


@pytest.mark.parametrize("sizes", [[12], [5, 5, 2], [1] * 12])
def test_batches_do_not_change_the_ranks(sizes):
    words, history, users, inputs, targets = larger_data()
    scores = scores_with(targets, 0.7)
    whole = Evaluator(words, history)
    whole.add(users, inputs, targets, scores)
    parts = Evaluator(words, history)
    start = 0
    for size in sizes:
        rows = slice(start, start + size)
        parts.add(users[rows], inputs[rows], targets[rows], scores[rows])
        start += size
    assert parts.ranks == whole.ranks
    assert parts.users == users.tolist()
    assert parts.targets == targets.tolist()
    assert list(parts.user_rows().items()) == list(whole.user_rows().items())
    assert list(parts.results().items()) == list(whole.results().items())


@pytest.mark.parametrize("protocol", ["paper", "uniform", "full"])
def test_ranks_do_not_depend_on_the_order_of_users(protocol):
    words, history, users, inputs, targets = larger_data()
    scores = scores_with(targets, 0.7)
    forward, backward = (Evaluator(words, history, (protocol,))
                         for _ in range(2))
    forward.add(users, inputs, targets, scores)
    backward.add(users[::-1], inputs[::-1], targets[::-1], scores[::-1])
    assert forward.ranks[protocol] == backward.ranks[protocol][::-1]


@pytest.mark.parametrize("protocol", ALL)
def test_protocols_do_not_disturb_each_other(protocol):
    words, history, users, inputs, targets = larger_data()
    scores = scores_with(targets, 0.7)
    together, alone = (Evaluator(words, history, protocols)
                       for protocols in (ALL, (protocol,)))
    for evaluator in (together, alone):
        evaluator.add(users, inputs, targets, scores)
    assert together.ranks[protocol] == alone.ranks[protocol]
    assert list(alone.ranks) == [
        protocol, "most_popular/" + protocol, "item_transitions/" + protocol]


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("baseline", ["most_popular", "item_transitions"])
def test_baselines_rank_the_same_candidates(baseline, held_out):
    """A model that scores as a baseline gets exactly the baseline's ranks."""
    _, history, users, inputs, _ = larger_data()
    trained = [lists[0][:-2 if held_out else -1] for lists in history.values()]
    popularity = collections.Counter(sum(trained, []))
    followed = collections.Counter(
        pair for items in trained for pair in zip(items, items[1:]))
    scores = np.zeros((12, 154), np.float32)
    for row, user in enumerate(users.tolist()):
        last = history["user_%d" % user][0][-2]
        assert inputs[row, 2] == last
        order = sorted(range(1, 151), key=lambda item: (
            -followed[last, item] * (baseline == "item_transitions"),
            -popularity[item], item))
        scores[row, order] = np.arange(1000, 850, -1)
    evaluator = ranked(scores, held_out=held_out)
    results = evaluator.results()
    for protocol in ALL:
        column = "%s/%s" % (baseline, protocol)
        assert evaluator.ranks[protocol] == evaluator.ranks[column]
        for name in NAMES:
            assert results["%s/%s" % (column, name)] == results[
                "%s/%s" % (protocol, name)]


def test_pairs_of_a_large_catalogue_are_counted_though_ids_have_32_bits():
    """46,395 x 46,401 is beyond an int32, which the model's input is."""
    items = 46400
    words, history = catalogue(collections.OrderedDict(
        [(99, list(range(1, items + 1)))]))       # every pair i, i + 1 once
    history["user_1"] = [[3, 46395, 46396]]
    evaluator = Evaluator(words, history, ("paper", "full"))
    evaluator.add(np.array([1]), np.array([[3, 46395, items + 2]], np.int32),
                  np.array([46396], np.int32),
                  np.zeros((1, items + 4), np.float32))
    assert evaluator.ranks["item_transitions/paper"] == [0]
    assert evaluator.ranks["item_transitions/full"] == [0]


def test_held_out_items_change_the_baselines():
    _, _, _, _, targets = larger_data()
    folded, held_out = ranked(), ranked(held_out=True)
    assert folded.ranks["full"] == held_out.ranks["full"]
    for baseline in ("most_popular/full", "item_transitions/full"):
        assert folded.ranks[baseline] != held_out.ranks[baseline]


def test_the_baselines_take_no_notice_of_the_model():
    good, bad = ranked(value=2.0), ranked(value=-1.0)
    for column in good.ranks:
        assert (good.ranks[column] == bad.ranks[column]) == ("/" in column)


def test_results_name_protocols_then_the_baselines():
    evaluator = ranked(protocols=("full", "seed"))
    keys = [prefix + protocol + "/" + name
            for prefix in ("", "most_popular/", "item_transitions/")
            for protocol in ("full", "seed") for name in NAMES]
    assert list(evaluator.results()) == keys
    assert evaluator.results()["full/ap"] == ranking_metrics(
        evaluator.ranks["full"])["ap"]
    assert list(evaluator.intervals()) == [
        key + side for key in keys for side in ("/low", "/high")]
    assert evaluator.spread() == {}


def test_every_interval_is_around_its_value():
    evaluator = ranked()
    results, intervals = evaluator.results(), evaluator.intervals()
    for key, value in results.items():
        assert intervals[key + "/low"] <= value <= intervals[key + "/high"]
    assert any(intervals[key + "/low"] < value for key, value in results.items())


def test_without_baselines_there_is_the_model_alone():
    evaluator = ranked(baselines=(), protocols=("paper",))
    assert evaluator.ranks == {"paper": ranked().ranks["paper"]}


def test_further_seeds_repeat_the_sampled_protocols():
    """The same as evaluating anew with each of the seeds."""
    evaluator = ranked(seeds=3)
    assert evaluator.ranks == ranked().ranks    # the headline stays
    others = [ranked(seed=12346), ranked(seed=12347)]
    assert evaluator.seed_ranks == [
        {protocol: other.ranks[protocol]
         for protocol in ("seed", "paper", "uniform")} for other in others]
    spread = evaluator.spread()
    assert len(spread) == 3 * 7 * 2
    for key, value in ranked().results().items():
        if key.startswith(("seed/", "paper/", "uniform/")):
            a, b, c = [value] + [other.results()[key] for other in others]
            mean = (a + b + c) / 3
            assert spread[key + "/mean"] == pytest.approx(mean)
            assert spread[key + "/std"] == pytest.approx(np.sqrt(
                ((a - mean) ** 2 + (b - mean) ** 2 + (c - mean) ** 2) / 2))
    assert spread["paper/ap/std"] > 0


def test_candidates_are_kept_where_asked_and_used_again():
    kept = {}
    first = ranked(candidates=kept)
    assert first.ranks == ranked().ranks
    assert sorted(kept) == ["paper", "seed", "uniform"]
    assert {protocol: len(rows) for protocol, rows in kept.items()} == {
        "paper": 12, "seed": 12, "uniform": 12}
    assert ranked(candidates=kept, seed=99).ranks == first.ranks
    kept["paper"] = {user: ids[:2] for user, ids in kept["paper"].items()}
    assert set(ranked(candidates=kept).ranks["paper"]) == {0, 1}


def test_user_rows_by_hand():
    """Ids are numbered by frequency, rows hold the file's numbers."""
    words, history = catalogue(collections.OrderedDict([
        (7, [30, 10, 20, 10, 30, 10]), (8, [10, 40, 30]), (9, [50, 60])]))
    for held_out, counts in ((False, [3, 2]), (True, [3, 1])):
        evaluator = Evaluator(words, history, ("full",),
                                         held_out=held_out)
        ids = words.convert_tokens_to_ids(["item_10", "item_30"])
        evaluator.add(np.array([7, 8]), np.array([[2, 9, 0], [1, 9, 0]]),
                      np.array(ids), np.arange(20.0).reshape(2, 10))
        rows = evaluator.user_rows()
        assert list(rows) == [
            "user", "item", "history_length", "target_count", "full",
            "most_popular/full", "item_transitions/full"]
        assert rows["user"] == [7, 8]
        assert rows["item"] == [10, 30]
        assert rows["history_length"] == [5, 2]
        assert rows["target_count"] == counts
        assert rows["full"] == evaluator.ranks["full"]


def test_a_user_without_history_is_an_error_that_names_the_user():
    words, history, users, inputs, targets = larger_data()
    evaluator = Evaluator(words, history)
    with pytest.raises(RankingError, match="user 4321 .*\\.his"):
        evaluator.add(np.array([1, 4321]), inputs[:2], targets[:2],
                      scores_with(targets[:2], 2.0))


@pytest.mark.parametrize("protocol", ["seed", "paper", "uniform"])
def test_a_small_catalogue_is_an_error_of_the_sampled_protocols(protocol):
    words, history = seven_items()
    evaluator = Evaluator(words, history, (protocol,))
    with pytest.raises(RankingError,
                       match="user 2 .*--protocols=full"):
        evaluator.add(np.array([2]), np.array([[1, 2, 1, 9]]), np.array([5]),
                      np.zeros((1, 11)))


@pytest.mark.parametrize("protocol", ALL)
def test_nan_scores_are_an_error_under_every_protocol(protocol):
    words, history, users, inputs, targets = larger_data()
    scores = scores_with(targets, 0.5)
    scores[3, targets[3]] = np.nan
    evaluator = Evaluator(words, history, (protocol,))
    with pytest.raises(RankingError, match="NaN"):
        evaluator.add(users, inputs, targets, scores)


def test_a_target_that_a_history_lacks_is_no_negative_all_the_same():
    words, history, users, inputs, targets = larger_data()
    history = {name: [items[:-1] if name != "user_99" else items]
               for name, (items,) in history.items()}
    evaluator = Evaluator(words, history, candidates={})
    evaluator.add(users, inputs, targets, scores_with(targets, 0.7))
    assert len(evaluator.candidates) == 3
    for drawn in evaluator.candidates.values():
        for user, target in zip(users.tolist(), targets.tolist()):
            assert drawn[user][0] == target not in drawn[user][1:]


def test_users_who_are_asked_for_an_item_again_are_counted():
    words, history = seven_items()
    evaluator = Evaluator(words, history, ("full",))
    evaluator.add(np.array([3, 2]), np.array([[4, 9], [1, 9]]),
                  np.array([4, 5]), np.zeros((2, 11)))
    assert evaluator.repeats == 1            # 4 4, not 1 2 1 5
