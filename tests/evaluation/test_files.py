"""eval_users.tsv and saved candidates, as other programs read and write them."""

import collections
import gzip

import numpy as np
import pytest

from evaluation.candidates import PROTOCOLS
from evaluation.evaluator import Evaluator
from evaluation.files import read_candidates, write_candidates, write_user_rows
from ranking_data import larger_data, ranked, scores_with

HEADER = "user\tprotocol\ttarget\tnegatives\n"


def words_and_targets():
    words, _, users, _, targets = larger_data()
    return words, collections.OrderedDict(
        zip(users.tolist(), targets.tolist()))


def number_of(words, item_id):
    return int(words.id_to_tokens[item_id][len("item_"):])


def write(path, lines, header=HEADER):
    path.write_text(header + "".join(line + "\n" for line in lines))
    return str(path)


def read(path, protocols=("paper",)):
    words, targets = words_and_targets()
    return read_candidates(path, words, targets, protocols)


def lines_by_hand(negatives=("1", "2"), protocol="paper"):
    """A line for each of the twelve users; 1 and 2 are nobody's target."""
    words, targets = words_and_targets()
    numbers = {user: number_of(words, target)
               for user, target in targets.items()}
    assert not {1, 2} & set(numbers.values())
    return ["%d\t%s\t%d\t%s" % (user, protocol, numbers[user],
                                " ".join(negatives)) for user in targets]


# --- candidates -------------------------------------------------------------

@pytest.mark.parametrize("name", ["c.tsv", "c.tsv.gz"])
def test_saved_candidates_give_the_same_ranks(tmp_path, name):
    words, targets = words_and_targets()
    path, kept = str(tmp_path / name), {}
    drawn = ranked(candidates=kept)
    write_candidates(path, words, kept, name.endswith(".gz"))
    again = read_candidates(path, words, targets,
                                          PROTOCOLS)
    assert {protocol: {user: list(ids) for user, ids in rows.items()}
            for protocol, rows in kept.items()} == again
    reused = ranked(candidates=again, seed=99)  # nothing is drawn
    assert reused.ranks == drawn.ranks


def test_the_file_holds_the_numbers_of_the_interactions_file(tmp_path):
    words, _ = words_and_targets()
    path = tmp_path / "c.tsv"
    write_candidates(
        str(path), words, {"uniform": {12: np.array([3, 1, 2])},
                           "seed": {7: np.array([5, 4])}}, False)
    name = [None] + [str(number_of(words, i)) for i in range(1, 151)]
    assert path.read_text() == HEADER + (
        "7\tseed\t%s\t%s\n12\tuniform\t%s\t%s %s\n" % (
            name[5], name[4], name[3], name[1], name[2]))


def test_a_packed_file_has_the_same_bytes_under_any_name(tmp_path):
    words, _ = words_and_targets()
    contents = []
    for name in ("a.gz", "b.gz"):
        write_candidates(
            str(tmp_path / name), words, {"seed": {7: np.array([5, 4])}}, True)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
    assert gzip.decompress(contents[0]).decode().startswith(HEADER)


def test_candidates_of_another_system_are_ranked(tmp_path):
    """Two negatives each: the rank is how many of them score higher."""
    words, history, users, inputs, targets = larger_data()
    scores = scores_with(targets, 0.5)
    path = write(tmp_path / "theirs.tsv", lines_by_hand())
    evaluator = Evaluator(words, history, ("paper",),
                                     candidates=read(path))
    evaluator.add(users, inputs, targets, scores)
    ids = words.convert_tokens_to_ids(["item_1", "item_2"])
    expected = [int((scores[row, ids] >= scores[row, targets[row]]).sum())
                for row in range(12)]
    assert evaluator.ranks["paper"] == expected and len(set(expected)) == 3


def test_other_users_and_protocols_are_passed_over(tmp_path):
    path = write(tmp_path / "c.tsv", lines_by_hand() + [
        "77\tpaper\t3\t4 5", "1\tseed\t3\t4 5 6"])
    assert len(read(path)["paper"]) == 12


@pytest.mark.parametrize("protocols", [("full",), ("full", "paper")])
def test_protocol_full_needs_no_candidates(tmp_path, protocols):
    path = write(tmp_path / "c.tsv", lines_by_hand())
    assert "full" not in read(path, protocols)


def refusal(path, protocols=("paper",)):
    with pytest.raises(ValueError) as error:
        read(str(path), protocols)
    return str(error.value)


def test_missing_users_are_counted(tmp_path):
    message = refusal(write(tmp_path / "c.tsv", lines_by_hand()[:-5]))
    assert "protocol paper for 5 of 12 test users" in message
    message = refusal(write(tmp_path / "c.tsv", lines_by_hand()),
                      ("paper", "uniform"))
    assert "protocol uniform for 12 of 12 test users" in message


@pytest.mark.parametrize("line, parts", [
    ("1 paper 2 3", ["1 columns, not 4"]),
    ("1\tpaper\t2\t3\t4", ["5 columns, not 4"]),
    ("1\tpopular\t2\t3", ["'popular'", "seed, paper, uniform"]),
    ("one\tpaper\t2\t3", ["'one'", "numbers"]),
    ("77\tpaper\t2\t3 x", ["'x'", "numbers"]),
    ("77\tpaper\t2\t3 151", ["no item 151", ".vocab"]),
    ("77\tpaper\t0\t3", ["no item 0"]),
    ("77\tpaper\t2\t", ["user 77 has no negatives"]),
    ("77\tpaper\t2\t3 2", ["user 77 has the target among the negatives"]),
    ("77\tuniform\t2\t3 4 3", ["user 77 has a negative twice"]),
    ("1\tpaper\t2\t3 4", ["user 1", "another item"])])
def test_a_malformed_line_is_named(tmp_path, line, parts):
    message = refusal(write(tmp_path / "c.tsv", [line]))
    for part in ["c.tsv:2: "] + parts:
        assert part in message


def test_protocol_seed_may_have_a_negative_twice(tmp_path):
    lines = [line.replace("paper", "seed") + " 3 3" for line in lines_by_hand()]
    assert len(read(write(tmp_path / "c.tsv", lines), ("seed",))["seed"]) == 12


def test_a_second_line_of_a_user_is_refused(tmp_path):
    lines = lines_by_hand()
    message = refusal(write(tmp_path / "c.tsv", lines + lines[:1]))
    assert "c.tsv:14: user 1 has a second line of protocol paper" in message


def test_users_have_the_same_number_of_negatives(tmp_path):
    lines = lines_by_hand()
    lines[3] += " 4"
    assert "c.tsv:5: 3 negatives" in refusal(write(tmp_path / "c.tsv", lines))


@pytest.mark.parametrize("header", ["", "user\ttarget\n", "1\tpaper\t2\t3\n"])
def test_a_file_without_the_column_names_is_refused(tmp_path, header):
    message = refusal(write(tmp_path / "c.tsv", [], header))
    assert "c.tsv:1: " in message and "user protocol target negatives" in message


@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_a_packed_file_that_ends_early_is_one_error(tmp_path, keep):
    words, _ = words_and_targets()
    kept = {}
    ranked(candidates=kept)
    path = tmp_path / "c.tsv.gz"
    write_candidates(str(path), words, kept, True)
    whole = path.read_bytes()
    path.write_bytes(whole[:int(len(whole) * keep)])
    assert "c.tsv.gz: damaged after line" in refusal(path)


def test_a_file_that_is_called_packed_and_is_not_is_named(tmp_path):
    path = tmp_path / "c.tsv.gz"
    path.write_text(HEADER)
    assert "c.tsv.gz: damaged after line 0" in refusal(path)


# --- eval_users.tsv ---------------------------------------------------------

def test_a_line_a_user_below_the_column_names(tmp_path):
    path = tmp_path / "users.tsv"
    write_user_rows(str(path), collections.OrderedDict([
        ("user", [7, 8]), ("most_popular/full", [0, 14])]))
    assert path.read_text() == "user\tmost_popular/full\n7\t0\n8\t14\n"
