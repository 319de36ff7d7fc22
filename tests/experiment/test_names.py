"""What items and users are called, with an id map and without."""

import io
import os

import pytest

import vocab
from experiment.names import read_names

WORDS = vocab.FreqVocab({"user_5": ["item_9", "item_2"],
                         "user_3": ["item_2", "item_40"]})
# By frequency, then by first appearance: item_2, item_9, item_40.
ITEMS = u"item\toriginal_id\ttitle\n2\ttea pot\tA pot\n9\tB0\\t1\t\n40\t\u00e9\tE\n"
USERS = u"user\toriginal_id\n3\tann\n5\tbob\n"


def write(path, text):
    with io.open(str(path), "w", encoding="utf-8", newline="\n") as stream:
        stream.write(text)


def names_in(folder, **options):
    return read_names(WORDS, str(folder / "shop-x.vocab"), **options)


def test_without_a_map_ids_are_the_numbers(tmp_path):
    names = names_in(tmp_path)
    assert names.items == ["", "2", "9", "40"]
    assert names.titles is names.path is None
    assert names.user("user_5") == "5" and names.user_token(5) == "user_5"


def test_a_map_gives_original_ids_and_titles(tmp_path):
    write(tmp_path / "shop.items.tsv", ITEMS)
    write(tmp_path / "shop.users.tsv", USERS)
    names = names_in(tmp_path)
    assert names.path == str(tmp_path / "shop.items.tsv")
    assert names.items == ["", "tea pot", "B0\t1", u"\u00e9"]
    assert names.titles == ["", "A pot", "", "E"]
    assert names.user("user_5") == "bob"
    assert names.user_token("ann") == "user_3"


def test_a_sample_of_the_users_may_stand_beside_the_map_of_all(tmp_path):
    words = vocab.FreqVocab.from_counts(WORDS.counter, {"user_5"}, 2)
    write(tmp_path / "shop.items.tsv", ITEMS)
    write(tmp_path / "shop.users.tsv", USERS)
    names = read_names(words, str(tmp_path / "shop-x.vocab"))
    assert names.user("user_5") == "bob" and names.user_token("bob") == "user_5"
    with pytest.raises(ValueError, match="ann"):
        names.user_token("ann")
    write(tmp_path / "shop.users.tsv", USERS.replace("5\tbob\n", ""))
    assert read_names(words, str(tmp_path / "shop-x.vocab")).path is None
    with pytest.raises(ValueError, match="1 users are not the 1"):
        read_names(words, "shop-x.vocab", str(tmp_path / "shop.items.tsv"))


def test_a_map_without_titles_has_none(tmp_path):
    write(tmp_path / "shop.items.tsv", u"item\toriginal_id\n2\ta\n9\tb\n40\tc\n")
    assert names_in(tmp_path).titles is None


def test_known_items_are_found_and_others_counted(tmp_path):
    names = names_in(tmp_path)
    assert names.known_ids(["40", 2, "3", "", "2"]) == ([3, 1, 1], 2)


def test_the_map_with_the_longest_name_that_has_these_items_is_taken(tmp_path):
    write(tmp_path / "sho.items.tsv", ITEMS)
    write(tmp_path / "shop.items.tsv", ITEMS.replace("40", "41"))  # another's
    write(tmp_path / "shops.items.tsv", ITEMS)            # no start of shop-x
    assert names_in(tmp_path).path == str(tmp_path / "sho.items.tsv")
    write(tmp_path / "sho.items.tsv", ITEMS + u"7\tx\ty\n")
    assert names_in(tmp_path).path is None


@pytest.mark.parametrize("changed, fault", [
    (ITEMS.replace("40", "41"), "3 items are not the 3 of the vocabulary"),
    (ITEMS + u"7\tx\n", "4 items are not the 3"),
    (ITEMS.replace("B0\\t1", "tea pot"), "'tea pot' of item 9 is another's"),
    (ITEMS.replace("tea pot", ""), "'' of item 2 is empty"),
    (ITEMS.replace("9\t", "nine\t"), "a.items.tsv:3: ")])
def test_a_map_that_is_named_must_fit(tmp_path, changed, fault):
    write(tmp_path / "a.items.tsv", changed)
    with pytest.raises(ValueError) as error:
        names_in(tmp_path, path=str(tmp_path / "a.items.tsv"))
    assert fault in str(error.value)


@pytest.mark.parametrize("users", [
    USERS.replace("3\t", "4\t"), USERS + u"7\teve\n"])
def test_a_map_of_other_users_is_passed_over_unless_it_is_named(
        tmp_path, capsys, users):
    write(tmp_path / "shop.items.tsv", ITEMS)
    write(tmp_path / "shop.users.tsv", users)
    assert names_in(tmp_path).path is None
    assert ("passed over %s: shop.users.tsv beside it has other users"
            % (tmp_path / "shop.items.tsv")) in capsys.readouterr().err
    with pytest.raises(ValueError, match="users.tsv: its . users are not"):
        names_in(tmp_path, path=str(tmp_path / "shop.items.tsv"))
    write(tmp_path / "sho.items.tsv", ITEMS)
    write(tmp_path / "sho.users.tsv", USERS)
    assert names_in(tmp_path).path == str(tmp_path / "sho.items.tsv")


def test_an_empty_name_has_the_map_looked_for(tmp_path):
    write(tmp_path / "shop.items.tsv", ITEMS)
    assert names_in(tmp_path, path="").path == str(tmp_path / "shop.items.tsv")


@pytest.mark.parametrize("name", ["nowhere.items.tsv", "shop.tsv"])
def test_a_map_that_is_not_there(tmp_path, name):
    write(tmp_path / "shop.tsv", ITEMS)
    with pytest.raises(ValueError, match="--items_file: no file"):
        names_in(tmp_path, path=str(tmp_path / name))


# --- a map that is newer than the vocabulary ---------------------------------

TEXT = u"5 9\n5 2\n3 2\n3 40\n"         # what WORDS counts


def written(folder, text, map_time):
    """A map and its interactions beside a vocabulary of time 100."""
    write(folder / "shop-x.vocab", u"")
    write(folder / "shop.items.tsv", ITEMS)
    write(folder / "shop.txt", text)
    os.utime(str(folder / "shop-x.vocab"), (100, 100))
    os.utime(str(folder / "shop.items.tsv"), (map_time, map_time))
    return str(folder / "shop.items.tsv")


@pytest.mark.parametrize("named", [False, True])
def test_a_newer_map_of_other_interactions_is_refused(tmp_path, named):
    path = written(tmp_path, TEXT.replace("5 2", "5 40"), 101)
    with pytest.raises(ValueError) as error:
        names_in(tmp_path, path=path if named else None)
    line = str(error.value)
    assert line.startswith(path + ": newer than the vocabulary ")
    assert "item_2 occurs 1 times in %s, the vocabulary counted 2" % (
        tmp_path / "shop.txt") in line
    assert "gen_data_fin.py" in line and "--items_file" in line


@pytest.mark.parametrize("text, map_time", [
    (TEXT, 101),                            # written again, or copied
    (TEXT.replace("5 2", "5 40"), 100),     # made by hand after the map
    (u"no interactions", 99)])
def test_a_map_that_is_older_or_of_the_same_interactions_is_taken(
        tmp_path, text, map_time):
    assert names_in(tmp_path).path is None
    path = written(tmp_path, text, map_time)
    assert names_in(tmp_path).path == path
    # A sample of the users has the counts of all.
    words = vocab.FreqVocab.from_counts(WORDS.counter, {"user_5"}, 2)
    assert read_names(words, str(tmp_path / "shop-x.vocab")).path == path


def test_an_unknown_user_is_named(tmp_path):
    with pytest.raises(ValueError, match="no user '4'.* 2 users"):
        names_in(tmp_path).user_token("4")


def test_the_checksums_are_of_ids_not_of_titles(tmp_path):
    found = []
    for text in (ITEMS, ITEMS.replace("A pot", "The pot"),
                 ITEMS.replace("tea pot", "teapot")):
        write(tmp_path / "shop.items.tsv", text)
        found.append(names_in(tmp_path).checksums["shop.items.tsv"])
    assert found[0] == found[1] != found[2]
