"""Trains RecTools' BERT4Rec for given seconds and writes its scores.

    .venv/peers/bin/python benchmarks/rectools_peer.py JOB.npz SETTINGS.json SCORES.npy

peers.py calls it, with a Python that has requirements-peers.txt. Sizes, batch
and seconds are given; all else is RecTools' default: its loss (softmax), its
optimiser (Adam, rate 1e-3, without warm-up or decay), its dropout (0.2), its
masking (15 % of a user's last L items, drawn anew each epoch), its layers
(layer norm first, inner width 4 d). Imports nothing of this project.
"""

import json
import sys
import time

import numpy as np
import pandas as pd
import pytorch_lightning
import rectools
import torch
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import BERT4RecModel

SHOWN_EVERY = 10.0   # seconds between two lines of progress
COMPARED = 50        # users whose best items are compared with recommend()
BATCH = 256          # users whose scores are written at once


class StopAfter(pytorch_lightning.Callback):
    """Ends a training some seconds after its first step is done."""

    def __init__(self, seconds):
        self.seconds, self.steps, self.times = seconds, 0, []

    def on_train_batch_end(self, trainer, *_):
        now = time.time()
        self.steps += 1
        self.times = self.times[:2] or [now, now]  # first step, last shown
        worked = now - self.times[0]
        if now - self.times[1] > SHOWN_EVERY:
            self.times[1] = now
            sys.stderr.write("RecTools: step %d, %.0f of %.0f s\n"
                             % (self.steps, worked, self.seconds))
        if worked >= self.seconds:
            self.worked, trainer.should_stop = worked, True


def make_trainer(seconds):
    """RecTools' own trainer, but for when it ends and that it is quiet."""
    return pytorch_lightning.Trainer(
        max_epochs=-1, devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
        callbacks=[StopAfter(seconds)])


def make_dataset(users, items):
    """rectools Dataset of parallel int arrays in time order."""
    return Dataset.construct(pd.DataFrame({
        Columns.User: users, Columns.Item: items, Columns.Weight: 1.0,
        Columns.Datetime: pd.to_datetime(np.arange(len(users)), unit="s")}))


def write_scores(model, dataset, targets, catalogue, path):
    """Writes each target user's scores of the catalogue; -inf where the model
    knows the user or the item not at all.

    Args:
        model: BERT4RecModel, fitted.
        dataset: Dataset.
        targets: int array [users], whom to score.
        catalogue: int array [items].
        path: str, a .npy file: float32 [users, 1 + items], -inf in column 0.

    Returns:
        dict, how many users and items are unknown.
    """
    preparator = model.data_preparator
    known = preparator.transform_dataset_u2i(dataset, targets)
    # [known users, d] and [items and extra tokens, d]
    embeddings, table = model.lightning_model._get_user_item_embeddings(
        preparator.get_dataloader_recommend(known, BATCH), None)
    row_of = {user: row for row, user in enumerate(known.user_id_map.external_ids)}
    column_of = {item: column for column, item in enumerate(
        preparator.item_id_map.external_ids)}
    columns = np.array([column_of.get(item, -1) for item in catalogue.tolist()])
    table, embeddings = table.cpu().numpy(), embeddings.numpy()
    scores = np.lib.format.open_memmap(
        path, "w+", np.float32, (len(targets), 1 + len(catalogue)))
    for start in range(0, len(targets), BATCH):
        part = targets[start:start + BATCH].tolist()
        rows = np.array([row_of.get(user, -1) for user in part])
        found = embeddings[rows].dot(table[columns].T)
        found[rows < 0] = -np.inf
        found[:, columns < 0] = -np.inf
        scores[start:start + BATCH, 0] = -np.inf
        scores[start:start + BATCH, 1:] = found
    scores.flush()
    return {"unknown_items": int((columns < 0).sum()),
            "unknown_users": len(set(targets.tolist()) - set(row_of))}


def check_scores(model, dataset, targets, catalogue, path):
    """Raises ValueError unless RecTools recommends what is scored highest."""
    scores = np.load(path, mmap_mode="r")
    users = [(row, user) for row, user in enumerate(
        targets[:COMPARED].tolist()) if np.isfinite(scores[row]).any()]
    found = model.recommend([user for _, user in users], dataset, k=5,
                            filter_viewed=False)
    for row, user in users:
        items = found[found[Columns.User] == user].sort_values(Columns.Rank)
        best = np.sort(scores[row])[::-1][:5]
        places = [1 + int(np.flatnonzero(catalogue == item)[0])
                  for item in items[Columns.Item]]
        if not np.allclose(scores[row][places], best, atol=1e-4):
            raise ValueError("the scores of user %d are not those that "
                             "RecTools recommends by" % user)


def main(job, settings, output):
    with open(settings) as stream:
        settings = json.load(stream)
    with np.load(job) as arrays:
        users, items, targets, catalogue = (
            arrays[name] for name in ("users", "items", "targets", "catalogue"))
    pytorch_lightning.seed_everything(settings["seed"])
    dataset = make_dataset(users, items)
    model = BERT4RecModel(
        n_blocks=settings["layers"], n_heads=settings["heads"],
        n_factors=settings["width"], session_max_len=settings["length"],
        batch_size=settings["batch"], get_trainer_func=make_trainer,
        get_trainer_func_kwargs={"seconds": settings["seconds"]})
    model.fit(dataset)
    clock, = [callback for callback in model.fit_trainer.callbacks
              if isinstance(callback, StopAfter)]
    result = write_scores(model, dataset, targets, catalogue, output)
    check_scores(model, dataset, targets, catalogue, output)
    print(json.dumps(dict(
        result, steps=clock.steps, training_seconds=clock.worked,
        seconds_per_step=clock.worked / max(1, clock.steps - 1),
        threads=torch.get_num_threads(),
        packages={"rectools": rectools.__version__, "torch": torch.__version__,
                  "pytorch_lightning": pytorch_lightning.__version__})))


if __name__ == "__main__":
    main(*sys.argv[1:])
