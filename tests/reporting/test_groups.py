"""Runs that differ in the training seed alone, and what is said of them."""

import json

import numpy as np
import pytest

import evaluation
import report
from reporting import stats
from reporting.groups import seed_groups
from written_runs import (
    kept_figures, sections_of, table_of, text_of, user_columns, write_evaluation,
    write_results, write_run, write_users)


def change(folder, edit, name="run_config.json"):
    """Edits a record in place."""
    path = folder / name
    recorded = json.loads(path.read_text())
    edit(recorded)
    path.write_text(json.dumps(recorded))


def groups_of(folder, names):
    """list of (name of the group, names of its runs)."""
    runs = report.read_runs([str(folder / name) for name in names], names)
    return [(group.name, [run.name for run in group.runs])
            for group in seed_groups(runs)]


@pytest.fixture
def pair(tmp_path):
    """A folder with two runs that differ in the seed alone."""
    for seed in (1, 2):
        write_run(tmp_path / ("a-%d" % seed), seed, ["paper"], form="self")
    return tmp_path


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """The folders of two forms, three and two seeds, their user columns and
    the sections of their report, with one more run at the end."""
    folder = tmp_path_factory.mktemp("forms")
    written = [write_run(folder / ("%s-%d" % (form, seed)), seed + place,
                         ["paper", "full"], form=form)
               for place, (form, seeds) in enumerate((("self", (1, 2, 3)),
                                                      ("cross", (1, 2))))
               for seed in seeds]
    written.append(write_run(folder / "old", 9, ["paper"]))
    return written, sections_of([name for name, _ in written])


# --- which they are ---------------------------------------------------------

def test_runs_that_differ_in_the_seed_alone_are_a_group(pair):
    assert groups_of(pair, ["a-1", "a-2"]) == [("a", ["a-1", "a-2"])]


@pytest.mark.parametrize("edit", [
    lambda found: found["flags"].update(learning_rate=2e-4),
    lambda found: found["flags"].update(num_sampled=5),
    lambda found: found["model_config"].update(hidden_size=16),
    lambda found: found["data_files"].update(
        train_input_file={"ml-1m.train.tfrecord": "9" * 64})])
def test_another_flag_model_or_content_is_another_training(pair, edit):
    change(pair / "a-2", edit)
    assert groups_of(pair, ["a-1", "a-2"]) == []


@pytest.mark.parametrize("edit", [
    lambda found: found["flags"].update(random_seed=7),
    lambda found: found["flags"].update(checkpointDir="x", signature="y"),
    lambda found: found["flags"].update(keep_checkpoint_max=2),
    # Resumed by its name alone: the model config tells the form.
    lambda found: found["flags"].update(attention_form=None),
    # Flags that the other one's revision did not have, where they are off.
    lambda found: found["flags"].update(
        num_sampled=0, xla=False, distribution_strategy="none"),
    lambda found: (found["flags"].update(items_file="x.items.tsv"),
                   found["data_files"].update(
                       items_file={"x.items.tsv": "4" * 64})),
    lambda found: found["flags"].update(train_input_file="elsewhere/x",
                                        bert_config_file="moved.json"),
    lambda found: found["flags"].update(eval_seeds=9, protocols=["uniform"]),
    lambda found: found["data_files"].update(
        train_input_file={"renamed": "5" * 64})])
def test_seed_place_and_evaluation_are_not_the_training(pair, edit):
    change(pair / "a-2", edit)
    assert groups_of(pair, ["a-1", "a-2"]) == [("a", ["a-1", "a-2"])]


def begin(folder, **earlier):
    """Gives a run an earlier training, by whose checkpoint it began."""
    def edit(found):
        found["began_from"] = dict(found, flags=dict(found["flags"],
                                                     **earlier))
        found["flags"].update(
            init_checkpoint="%s-short/model.ckpt-30" % folder.name)
    change(folder, edit)


def test_what_runs_began_from_may_differ_in_the_seed_too(pair):
    begin(pair / "a-1", max_seq_length=50, checkpointDir="a-1-short")
    begin(pair / "a-2", max_seq_length=50, checkpointDir="a-2-short")
    assert groups_of(pair, ["a-1", "a-2"]) == [("a", ["a-1", "a-2"])]


@pytest.mark.parametrize("edit", [
    lambda found: found["began_from"]["flags"].update(max_seq_length=40),
    lambda found: found["began_from"]["data_files"].update(
        train_input_file={"x": "9" * 64}),
    lambda found: found["flags"].update(
        init_checkpoint="a-2-short/model.ckpt-20"),
    # What a checkpoint from elsewhere was made of is not known.
    lambda found: found.pop("began_from")])
def test_what_they_began_from_may_differ_in_nothing_else(pair, edit):
    for name in ("a-1", "a-2"):
        begin(pair / name, max_seq_length=50)
    change(pair / "a-2", edit)
    assert groups_of(pair, ["a-1", "a-2"]) == []


@pytest.mark.parametrize("data, flags", [
    ({"test_input_file": {"ml-1m-mp1.0-sw0.5.test.tfrecord": "8" * 64}}, {}),
    ({"test_input_file": {"ml-1m-mp1.0-sw0.5.test.tfrecord": "7" * 64}},
     {"use_pop_random": False}),
    ({"test_input_file": {"ml-1m-mp1.0-sw0.5.test.tfrecord": "7" * 64}},
     {"candidates_file": "other.tsv"})])
def test_ranking_among_others_is_no_difference_of_seeds(pair, data, flags):
    write_evaluation(pair / "a-2", data, **flags)
    assert groups_of(pair, ["a-1", "a-2"]) == []


def test_candidates_of_a_file_are_known_by_its_content(pair):
    test = {"test_input_file": {"ml-1m-mp1.0-sw0.5.test.tfrecord": "7" * 64}}
    for name, content in (("a-1", "1"), ("a-2", "1")):
        write_evaluation(pair / name, dict(test, candidates_file={
            name: content * 64}), candidates_file="%s.tsv" % name)
    assert len(groups_of(pair, ["a-1", "a-2"])) == 1
    change(pair / "a-2", lambda found: found["data_files"].update(
        candidates_file={"a-2": "2" * 64}), "eval_config.json")
    assert groups_of(pair, ["a-1", "a-2"]) == []


def test_runs_over_other_users_are_no_group(pair):
    columns, order = user_columns(2, ["paper"], users=20)
    write_users(pair / "a-2", columns, order)
    write_results(pair / "a-2", columns)
    assert groups_of(pair, ["a-1", "a-2"]) == []


def test_another_step_is_another_training_unless_validation_chose_it(pair):
    for name in ("eval_results.txt", "eval_config.json"):
        path = pair / "a-2" / name
        path.write_text(path.read_text().replace("step = 300", "step = 200")
                        .replace('"step": 300', '"step": 200'))
    assert groups_of(pair, ["a-1", "a-2"]) == []
    for name, checkpoint in (("a-1", "best/model.ckpt-300"),
                             ("a-2", "best/model.ckpt-200")):
        assert groups_of(pair, ["a-1", "a-2"]) == []
        change(pair / name, lambda found: found.update(checkpoint=checkpoint),
               "eval_config.json")
    assert groups_of(pair, ["a-1", "a-2"]) == [("a", ["a-1", "a-2"])]


@pytest.mark.parametrize("earlier, alike", [
    ({}, True), ({"checkpointDir": "elsewhere"}, True),
    ({"eval_seeds": 7}, True), ({"learning_rate": 0.5}, False),
    ({"random_seed": 9}, False)])
def test_what_a_resumed_training_was_made_by_before_counts(pair, earlier,
                                                           alike):
    def resume(found):
        found["flags"]["random_seed"] = found["seed"]
        found.update(started_from_step=3, earlier_starts=[dict(
            started_from_step=0, flags=dict(found["flags"], **earlier))])

    change(pair / "a-2", resume)
    change(pair / "a-1", lambda found: found["flags"].update(
        random_seed=found["seed"]))
    assert groups_of(pair, ["a-1", "a-2"]) == (
        [("a", ["a-1", "a-2"])] if alike else [])


def test_the_same_seed_again_is_no_other_seed(pair):
    write_run(pair / "a-3", 2, ["paper"], form="self")
    assert groups_of(pair, ["a-1", "a-2", "a-3"]) == [("a", ["a-1", "a-2"])]
    assert groups_of(pair, ["a-2", "a-3"]) == []


def test_a_run_without_a_record_is_in_no_group(pair):
    (pair / "a-2" / "run_config.json").unlink()
    assert groups_of(pair, ["a-1", "a-2"]) == []


def test_groups_are_named_by_what_their_runs_share(tmp_path):
    names = ["x-1-wide", "x-2-wide", "1", "2", "y-1", "y-2", "y-3", "y-4"]
    for place, name in enumerate(names):
        write_run(tmp_path / name, place, ["paper"],
                  form="form %d" % (place // 2))
    assert [name for name, _ in groups_of(tmp_path, names)] == [
        "x-wide", "1, 2", "y-1, y-2", "y-3, y-4"]


# --- what a report says of them ---------------------------------------------

def test_a_group_has_mean_deviation_and_number_of_seeds(tmp_path):
    ranks = [[0, 3, 20, 0], [0, 0, 20, 20], [5, 0, 0, 0]]
    for seed, values in enumerate(ranks):
        folder = tmp_path / ("self-%d" % seed)
        write_run(folder, seed, ["paper"], form="self")
        columns, order = user_columns(seed, ["paper"], users=4)
        columns["paper"] = values
        write_users(folder, columns, order)
        write_results(folder, columns)
    blocks, printed = sections_of(
        [str(tmp_path / ("self-%d" % seed)) for seed in range(3)],
        names=["self-a", "self-b", "self-c"])
    table = table_of(blocks["Training seeds"])
    assert table.header == ["protocol", "runs", "n", "NDCG@10", "HR@10", "MRR"]
    # HR@10 is 3/4, 2/4 and 4/4: deviations 0, -1/4, 1/4 over n - 1 = 2.
    # MRR is (2 + 1/4 + 1/21)/4, (2 + 2/21)/4 and (3 + 1/6)/4.
    gain = 1 / np.log2(5), 1 / np.log2(7)
    gains = np.array([2 + gain[0], 2, 3 + gain[1]]) / 4
    assert table.rows == [["paper", "self", "3", u"%.4f \u00b1 %.4f" % (
        sum(gains) / 3, np.sqrt(sum((gains - sum(gains) / 3) ** 2) / 2)),
        u"0.7500 \u00b1 0.2500", u"0.6300 \u00b1 0.1423"]]
    assert "self: self-a (seed 0), self-b (seed 1), self-c (seed 2)." in \
        blocks["Training seeds"]
    assert printed == ["Runs", "Results, protocol paper", "Training seeds"]


def test_a_protocol_that_one_seed_alone_has_has_no_deviation(tmp_path):
    write_run(tmp_path / "a-1", 1, ["paper", "full"], form="self")
    write_run(tmp_path / "a-2", 2, ["paper"], form="self")
    blocks, _ = sections_of([str(tmp_path / "a-1"), str(tmp_path / "a-2")])
    rows = table_of(blocks["Training seeds"]).rows
    assert [row[0] for row in rows] == ["paper"]
    assert "nan" not in str(rows)


def test_groups_are_compared_and_their_runs_are_not(forms):
    titles = [title for title in forms[1][0] if "against" in title]
    assert titles == ["old against self-1",
                      "cross against self, over training seeds"]
    assert "In no such group: old." in text_of(forms[1][0]["Training seeds"])


def test_the_comparison_is_that_of_all_users_and_seeds(forms):
    written, (blocks, _) = forms
    table = table_of(blocks["cross against self, over training seeds"])
    assert [row[:2] for row in table.rows] == [
        [protocol, label] for protocol in ("paper", "full")
        for label in ("NDCG@10", "HR@10", "MRR")]
    values = [np.array([[
        evaluation.metric_values(columns["full"])["hit@10"][u]
        for _, columns in written[place]] for u in range(43)])
        for place in (slice(0, 3), slice(3, 5))]
    known, = stats.compare_groups(*[found[:, :, None] for found in values])
    assert table.rows[4][2:] == [
        "%.4f" % values[0].mean(), "%.4f" % values[1].mean(),
        "%+.4f\n[%+.4f, %+.4f]" % (known.difference, known.low, known.high),
        "%.4f" % known.p, "%.4f" % known.welch_p]
    assert "43 users, each ranked by all runs; 3 and 2 training seeds; " \
        "difference = cross minus self." in text_of(
            blocks["cross against self, over training seeds"])


def test_runs_alone_have_no_section_of_seeds(tmp_path):
    for seed in (1, 2):
        write_run(tmp_path / str(seed), seed, ["paper"])
    blocks, _ = sections_of([str(tmp_path / "1"), str(tmp_path / "2")])
    assert not any("seed" in title for title in blocks if title !=
                   "Results, protocol seed")
    assert "2 against 1" in blocks


def test_other_packages_within_a_group_are_told(pair):
    change(pair / "a-2", lambda found: found["packages"].update(numpy="9"))
    blocks, _ = sections_of([str(pair / "a-1"), str(pair / "a-2")],
                            names=["a-1", "a-2"])
    assert "The runs of a differ in their packages, too." in \
        blocks["Training seeds"]


def test_groups_over_other_users_are_refused(pair):
    for seed in (3, 4):
        write_run(pair / ("b-%d" % seed), seed, ["paper"], form="cross")
    columns, order = user_columns(4, ["paper"])
    columns["item"][4] += 1
    write_users(pair / "b-4", columns, order)
    folders = [str(pair / name) for name in ("a-1", "a-2", "b-3", "b-4")]
    with pytest.raises(ValueError, match="1 of 43 users have another test"):
        sections_of(folders)
    assert "Training seeds" in sections_of(folders, compare=False)[0]
    columns, order = user_columns(3, ["paper"])
    columns["item"][4] += 1
    write_users(pair / "b-3", columns, order)  # now a group, of other items
    with pytest.raises(ValueError, match="1 of 43 users have another test"):
        sections_of(folders)


def test_groups_that_rank_among_others_say_so(pair):
    for seed in (3, 4):
        write_run(pair / ("b-%d" % seed), seed, ["paper"], form="cross")
        columns, order = user_columns(seed, ["paper"])
        columns["most_popular/paper"][3] += 1
        columns["most_popular/paper"][8] += 1
        write_users(pair / ("b-%d" % seed), columns, order)
        write_results(pair / ("b-%d" % seed), columns)
    blocks, _ = sections_of([str(pair / name) for name in (
        "a-1", "a-2", "b-3", "b-4")])
    assert blocks["b against a, over training seeds"][-1].startswith(
        "Protocol paper: the most-popular baseline ranks 2 users differently "
        "in a-1 and b-3")


def test_groups_without_a_common_protocol_are_not_compared(pair):
    for seed in (3, 4):
        write_run(pair / ("b-%d" % seed), seed, ["full"], form="cross")
    blocks, _ = sections_of([str(pair / name) for name in (
        "a-1", "a-2", "b-3", "b-4")])
    assert blocks["b against a, over training seeds"] == [
        "No two users were ranked under one protocol by all of these runs."]


def test_a_dot_for_every_seed_and_a_line_at_their_mean(forms):
    written = forms[0][:5]
    with kept_figures() as figures:
        blocks = sections_of([name for name, _ in written], drawn=True)[0]
    shown = blocks["Metrics by training seed"]
    assert [block.name for block in shown] == [
        "seeds_ndcg_at_10.png", "seeds_hr_at_10.png", "seeds_mrr.png"]
    drawn = [figure for figure in figures
             if figure.axes[0].get_ylabel() == "MRR"
             and len(figure.axes[0].get_xticklabels()) == 2]
    paper, full = drawn[0].axes
    assert [tick.get_text() for tick in full.get_xticklabels()] == ["self",
                                                                    "cross"]
    means = [evaluation.ranking_metrics(columns["full"])["ap"]
             for _, columns in written]
    dots = [line.get_ydata().tolist() for line in full.lines]
    assert dots == [pytest.approx(means[:3]), pytest.approx(means[3:])]
    heights = [part.get_segments()[0][:, 1].tolist()
               for part in full.collections]
    assert heights == [pytest.approx([np.mean(means[:3])] * 2),
                       pytest.approx([np.mean(means[3:])] * 2)]
