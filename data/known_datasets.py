"""What the published datasets are: sources, formats, filters, statistics."""

import collections

from data import raw_formats
from data.interactions import Choices

# A file that a publisher offers. `has_md5`: its MD5 sum is published beside it.
# `member` and `titles_member` are the base names of the files inside a zip.
# `rows` is a format of raw_formats; `titles` reads the titles, where there are.
Source = collections.namedtuple(
    "Source", "file url has_md5 member rows encoding titles_member titles "
              "published")

# `sources`: the first is the default. `choices`: how the papers filtered.
Dataset = collections.namedtuple("Dataset", "sources choices")

# A row of published statistics as it is printed; "3.5 M" is all that is known.
Published = collections.namedtuple(
    "Published", "users items interactions average_length density")

_GROUPLENS = "https://files.grouplens.org/datasets/movielens/"
_AMAZON = ("http://snap.stanford.edu/data/amazon/productGraph/"
           "categoryFiles/")


def _movielens_20m(lines):
    return raw_formats.delimited(
        lines, ["userId", "movieId", "timestamp", "rating"])


def _amazon_ratings(lines):
    return raw_formats.delimited(lines, ["1", "2", "4", "3"], header=False,
                                 width=4)


def _amazon_reviews(lines):
    return raw_formats.json_lines(
        lines, ["reviewerID", "asin", "unixReviewTime", "overall"])


def _plain(file, url, rows, published):
    """A source that is one file, without titles and published checksum."""
    return Source(file, url + file, False, None, rows, "utf-8", None, None,
                  published)


# Users, items and interactions: table 1 of the BERT4Rec paper, and for ML-1M
# and Beauty the exact counts of the files that its authors published. Average
# length and density follow from them. (The paper prints 163.5 and 4.79 % for
# ML-1M: without the two held-out items of every user.)
DATASETS = collections.OrderedDict([
    # Two raw counts decide this: 3,706 movies are rated, 3,416 of them five
    # times or more, and then every user still has 18 ratings.
    ("ml-1m", Dataset(
        [Source("ml-1m.zip", _GROUPLENS + "ml-1m.zip", True,
                "ratings.dat", raw_formats.double_colon, "latin-1",
                "movies.dat", raw_formats.double_colon_titles,
                Published("6,040", "3,416", "999,611", "165.5", "4.84 %"))],
        Choices(5, 5, "once", None, "keep", "file-order"))),
    # 26,744 is the number of movies with any rating: items are not filtered.
    ("ml-20m", Dataset(
        [Source("ml-20m.zip", _GROUPLENS + "ml-20m.zip", True,
                "ratings.csv", _movielens_20m, "utf-8",
                "movies.csv", raw_formats.csv_titles,
                Published("138,493", "26,744", "20.0 M", "144.4", "0.54 %"))],
        Choices(5, 1, "once", None, "keep", "file-order"))),
    # In the published file every user has five items or more, but a quarter of
    # the items has a single user: items were counted before users were dropped.
    ("beauty", Dataset(
        [_plain("ratings_Beauty.csv", _AMAZON, _amazon_ratings,
                Published("40,226", "54,542", "353,962", "8.8", "0.02 %")),
         _plain("reviews_Beauty_5.json.gz", _AMAZON, _amazon_reviews,
                Published("22,363", "12,101", "198,502", "8.9", "0.07 %"))],
        Choices(5, 5, "items-then-users", None, "keep", "file-order"))),
    # The published statistics come from the large archive (7.8 M reviews); the
    # Australian users wrote 59,305.
    ("steam", Dataset(
        [_plain("steam_reviews.json.gz", "https://cseweb.ucsd.edu/~wckang/",
                raw_formats.steam,
                Published("281,428", "13,044", "3.5 M", "12.4", "0.10 %")),
         _plain("australian_user_reviews.json.gz",
                "https://mcauleylab.ucsd.edu/public_datasets/data/steam/",
                raw_formats.steam, None)],
        Choices(5, 5, "items-then-users", None, "first", "file-order"))),
])

# People's own files are left as they are, unless flags say otherwise.
OWN = Choices(1, 1, "once", None, "keep", "file-order")

# Published numbers, as printed in their sources: protocol, dataset, what, and
# the metrics that the source gives. For the eye alone: nothing is computed
# from them. Sources, by row: the published cross-attention code's training
# log (two runs); Sun et al., BERT4Rec, CIKM 2019, table 2, whose popularity
# negatives exclude the whole history; the benchmarks of the open
# implementations RecTools (ML-1M) and BERT4Rec_AC (Beauty); unsampled, the
# range of open BERT4Rec implementations that starts at Petrov & Macdonald,
# RecSys 2022, SASRec by Klenitskiy & Vasilev, RecSys 2023, and HSTU by Zhai et
# al., ICML 2024 (the authors' repository).
PUBLISHED_RESULTS = (
    ("seed", "ml-1m", "training log, 400,000 steps, run 1", {
        "hit@1": ".2733", "hit@5": ".5786", "hit@10": ".6868",
        "ndcg@5": ".4350", "ndcg@10": ".4701", "ap": ".4138"}),
    ("seed", "ml-1m", "training log, 400,000 steps, run 2", {
        "hit@1": ".2690", "hit@5": ".5695", "hit@10": ".6791",
        "ndcg@5": ".4278", "ndcg@10": ".4634", "ap": ".4078"}),
    ("paper", "ml-1m", "BERT4Rec paper", {
        "hit@1": ".2863", "hit@5": ".5876", "hit@10": ".6970",
        "ndcg@5": ".4454", "ndcg@10": ".4818", "ap": ".4254"}),
    ("paper", "ml-1m", "BERT4Rec, RecTools", {
        "hit@10": ".7151", "ndcg@10": ".5020"}),
    ("full", "ml-1m", "BERT4Rec, open implementations", {
        "hit@10": u".2821\u2013.2921", "ndcg@10": u".1516\u2013.1618"}),
    ("full", "ml-1m", "SASRec, full cross-entropy", {
        "hit@10": ".3152", "ndcg@10": ".1821"}),
    ("full", "ml-1m", "HSTU", {"hit@10": ".3097", "ndcg@10": ".1720"}),
    ("full", "ml-1m", "HSTU-large", {"hit@10": ".3294", "ndcg@10": ".1893"}),
    ("paper", "beauty", "BERT4Rec paper", {
        "hit@10": ".3025", "ndcg@10": ".1862", "ap": ".1701"}),
    ("paper", "beauty", "BERT4Rec, BERT4Rec_AC", {
        "hit@10": ".3123", "ndcg@10": ".1909", "ap": ".1722"}),
)
