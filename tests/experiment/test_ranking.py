"""What an evaluation does where its parts fail, and what it asks of them."""

import errno
from unittest import mock

import pytest

import evaluation
from experiment import ranking


def test_what_ranking_the_last_batch_raises_ends_the_evaluation():
    hook = ranking.RankingHook(mock.Mock(
        add=mock.Mock(side_effect=evaluation.RankingError("NaN"))))
    hook.after_run(None, mock.Mock(results=(1, 2)))
    with pytest.raises(evaluation.RankingError, match="NaN"):
        hook.end(None)


@pytest.mark.parametrize("by_popularity", [True, False])
def test_the_evaluator_draws_as_the_flag_says(by_popularity, monkeypatch):
    class Made(Exception):
        pass

    def make(words, history, protocols=None, use_pop_random=True, **options):
        assert use_pop_random == by_popularity
        raise Made

    monkeypatch.setattr(ranking, "make_estimator", mock.Mock())
    monkeypatch.setattr(evaluation, "Evaluator", make)
    with pytest.raises(Made):
        ranking.evaluate(mock.MagicMock(
            model_dir="x", args=mock.Mock(use_pop_random=by_popularity)), "y")


def test_older_results_stay_where_new_ones_cannot_be_written(tmp_path):
    (tmp_path / "eval_results.txt").write_text("older")
    job = mock.Mock(model_dir=str(tmp_path))
    job.config.to_json_string.return_value = "{}"
    evaluator = mock.Mock()
    evaluator.user_rows.side_effect = OSError(errno.ENOSPC, "full")
    with pytest.raises(OSError):
        ranking._write_results(job, "x", {"global_step": 5}, evaluator)
    assert (tmp_path / "eval_results.txt").read_text() == "older"
