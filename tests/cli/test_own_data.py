"""Data of one's own on the command line: tables, arrays, folders of images; and what is refused."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import content

from tensorlite.data import from_path
from tensorlite.data.read_table import read_table
from tensorlite.data.table import Table

CITIES = {"Bern": 0, "Oslo": 1, "Rome": 2}


@pytest.fixture
def houses(folder):
    """A table whose price follows from the area and the city; areas are missing here and there."""
    rng = np.random.default_rng(0)
    city = rng.choice(list(CITIES), 300)
    area = rng.uniform(20, 200, 300)
    price = 3000 * area + 50_000 * (city == "Rome") + rng.normal(0, 1000, 300)
    rows = [
        (i, city[i], "NA" if i % 17 == 3 else f"{area[i]:.2f}", f"{price[i]:.0f}")
        for i in range(300)
    ]
    write(folder / "houses.csv", [("id", "city", "area", "price"), *rows])
    return folder / "houses.csv"


def write(path, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)


def png(path, values):
    image = pytest.importorskip("PIL.Image")  # the extra [images]
    path.parent.mkdir(parents=True, exist_ok=True)
    image.fromarray(values).save(path)


def summary(out):
    return json.loads(Path(out, "summary.json").read_text())


def test_a_table_is_regressed_evaluated_and_predicted(tl, houses):
    status, out, err = tl(
        *("train", houses, "--target", "price", "--drop", "id", "--epochs", 40, "--out", "run")
    )
    assert (status, err) == (0, "")
    for told in (
        "target price: a number, so regression",
        "words, a 0/1 input for each: city (3)",
        "missing numbers are the median, beside a 0/1 input: area (",
        "split by seed 0: 240 rows to train, 60 to test",
    ):
        assert told in out
    assert summary("run")["test_r2"] > 0.8
    assert tl("evaluate", "run")[0] == 0
    unknown = [("city", "area", "note"), ("Rome", "100", "a"), ("Bern", "", "b"), ("Paris", 50, "")]
    write("new.csv", unknown)
    status, out, _ = tl("predict", "run", "new.csv", "--out", "answers.csv")
    assert (status, out) == (0, "3 predictions written to answers.csv\n")
    titles, *answers = csv.reader(Path("answers.csv").read_text().splitlines())
    assert titles == ["price"]
    assert float(answers[0][0]) == pytest.approx(350_000, rel=0.25)
    assert np.isfinite([float(a) for (a,) in answers]).all()
    status, out, _ = tl("predict", "run", "new.csv")
    assert out.splitlines()[0].startswith("0: ")


def test_words_are_classes_and_probabilities_are_written(tl, houses):
    status, out, _ = tl(
        *("train", houses, "--target", "city", "--drop", "id", "--epochs", 1, "--out", "run")
    )
    assert status == 0
    assert "target city: 3 classes, so classification" in out
    tl("predict", "run", houses, "--out", "answers.csv")
    rows = list(csv.DictReader(Path("answers.csv").read_text().splitlines()))
    assert list(rows[0]) == ["city", "p(Bern)", "p(Oslo)", "p(Rome)"]
    for row in rows:
        p = {name: float(row[f"p({name})"]) for name in CITIES}
        assert sum(p.values()) == pytest.approx(1, abs=1e-5)
        assert p[row["city"]] == max(p.values())


@pytest.mark.parametrize("polars", [True, False])
def test_the_same_columns_by_either_reader(folder, monkeypatch, polars):
    if polars:
        pytest.importorskip("polars")
    else:
        monkeypatch.setitem(sys.modules, "polars", None)
    rows = [
        ("a", "b", "c", "d", "e", "f"),
        (1, "x", "true", " 2.5 ", "", "1e3"),
        (-2, "y, z", "false", "NA", "", "7"),
        (3, '"q"', "", "inf", "", "007"),
    ]
    write("t.csv", rows)
    columns = read_table(Path("t.csv"))
    np.testing.assert_array_equal(columns["a"], [1.0, -2.0, 3.0])
    np.testing.assert_array_equal(columns["b"], ["x", "y, z", '"q"'])
    np.testing.assert_array_equal(columns["c"], ["true", "false", ""])
    np.testing.assert_array_equal(columns["d"], [2.5, np.nan, np.inf])
    assert np.isnan(columns["e"]).all()
    np.testing.assert_array_equal(columns["f"], [1000.0, 7.0, 7.0])
    write("u.csv", [("a", "b"), (1, 2), (3, 4.5)])
    np.testing.assert_array_equal(read_table(Path("u.csv"))["b"], [2.0, 4.5])
    write("late.csv", [("a",), *[(1,)] * 2000, ("word",)])
    assert read_table(Path("late.csv"))["a"][-1] == "word"


def test_what_a_column_becomes_is_decided_by_the_training_rows_alone(houses):
    splits = from_path(houses, "price", drop=["id"])
    columns = read_table(houses)
    city, area = columns["city"], columns["area"]
    train = splits.feature_scaling.invert(splits.train.features)
    assert train.shape == (240, 5)  # three cities, the area, whether it is there
    gaps = np.isnan(area).sum()
    flags = [
        splits.feature_scaling.invert(part.features)[:, 4] for part in (splits.train, splits.test)
    ]
    assert np.rint(np.concatenate(flags)).sum() == gaps
    (feature,) = (f for f in splits.table.features if f.name == "area")
    known = np.sort(train[np.rint(train[:, 4]) == 0, 3])
    assert feature.fill == pytest.approx(np.median(known), rel=1e-5)
    again = Table.from_state(splits.table.state_dict())
    np.testing.assert_array_equal(
        again.encode(columns, "t")[:, :3], city[:, None] == np.array(list(CITIES))
    )


def test_arrays_of_both_kinds(tl, folder):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 6)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    np.savez("both.npz", features=x, targets=y)
    np.save("x.npy", x)
    np.save("y.npy", x @ np.arange(6.0))
    status, out, _ = tl("train", "both.npz", "--epochs", 2, "--out", "a")
    assert status == 0
    assert "targets targets: 2 classes, so classification" in out
    assert tl("predict", "a", "x.npy", "--out", "a.csv")[0] == 0
    assert Path("a.csv").read_text().startswith("prediction,p(0),p(1)\n")
    status, out, _ = tl("train", "x.npy", "--target", "y.npy", "--epochs", 2, "--out", "b")
    assert (status, "so regression" in out) == (0, True)


def test_a_folder_of_images(tl, folder):
    rng = np.random.default_rng(2)
    for name, base in (("dark", 20), ("light", 200)):
        for i in range(20):
            values = rng.integers(base, base + 40, (10, 12, 3), dtype=np.uint8)
            png(folder / "shots" / name / f"{i}.png", values)
    status, out, _ = tl(
        "train", "shots", "--model", "linear", "--epochs", 30, "--batch-size", 8, "--out", "run"
    )
    assert status == 0
    assert "40 images of 2 classes, colour" in out
    assert "size 10×12, kept; values divided by 255" in out
    assert summary("run")["test_accuracy"] == 1
    png(folder / "new.png", np.full((30, 40), 230, np.uint8))
    status, out, _ = tl("predict", "run", "new.png")
    assert out.startswith("0: light ")
    status, out, _ = tl("predict", "run", "shots/dark")
    lines = out.splitlines()
    assert (len(lines), lines[0][:13], lines[1][:14]) == (20, "0.png: dark 0", "1.png: dark 0.")
    assert tl("predict", "run", "shots/dark", "--out", "dark.csv")[0] == 0
    table = Path("dark.csv").read_text().splitlines()
    assert table[0] == "file,prediction,p(dark),p(light)"
    assert table[1].startswith("0.png,dark,0.")
    assert "shots holds no images" in tl("predict", "run", "shots")[2]
    status, out, _ = tl(
        *("train", "shots", "--size", 8, "--epochs", 1, "--batch-size", 8, "--out", "small")
    )
    assert "size 8×8, scaled to (from 1 sizes)" in out


def test_images_in_folders_for_training_and_testing(folder):
    for part, count in (("train", 6), ("test", 2)):
        for name in ("a", "b"):
            for i in range(count):
                png(folder / "set" / part / name / f"{i}.png", np.full((4, 4), i, np.uint8))
    splits = from_path("set")
    assert (len(splits.train.features), len(splits.test.features)) == (12, 4)
    assert "split by the folders train and test" in splits.notes[-1]


def refused(tl, args, *messages):
    before = content(".")
    status, _, err = tl("train", *args)
    assert status in (1, 2), err
    assert err.startswith("tensorlite train: ")
    assert err.count("\n") == 1, err
    for message in messages:
        assert message in err
    assert content(".") == before
    assert not Path("runs").exists()


def test_tables_that_cannot_be_learnt_from(tl, houses):
    write("one.csv", [("a", "b"), *[(i, "same") for i in range(20)]])
    write("gap.csv", [("a", "b"), *[(i, i) for i in range(20)], (1, "")])
    write("ragged.csv", [("a", "b"), (1, 2), (3,), ("x", "y")])
    write("bare.csv", [(1, 2), (3, 4)])
    write("twice.csv", [("a", "a"), (3, 4)])
    write("titles.csv", [("a", "b")])
    write("names.csv", [("who", "b"), *[(f"w{i}", i / 3) for i in range(300)]])
    write("inf.csv", [("a", "b"), *[("inf" if i == 6 else i, i / 3) for i in range(40)]])
    write("endless.csv", [("a", "b"), *[(i, "-inf" if i == 6 else i / 3) for i in range(40)]])
    write("words.csv", [("a", "b"), *[(i, "n/k" if i == 6 else i / 3) for i in range(40)]])
    write("mixed.csv", [("a", "b"), *[("n/k" if i == 6 else i / 3, i) for i in range(300)]])
    write("many.csv", [("a", "b"), *[(i, i / 3) for i in range(40)]])
    Path("empty.csv").write_text("")
    Path("latin.csv").write_bytes("a,b\nü,1\n".encode("latin-1"))
    for args, messages in {
        ("houses.csv",): ["which column of houses.csv is learnt? say --target"],
        ("houses.csv", "--target", "prize"): ["no column 'prize'", "id, city, area, price"],
        ("houses.csv", "--target", "price", "--drop", "x"): ["no column 'x'"],
        ("houses.csv", "--target", "city", "--task", "regression"): ["'city' holds words"],
        ("houses.csv", "--target", "price", "--size", 8): ["--size is not for houses.csv"],
        ("one.csv", "--target", "b"): ["'b' is 'same' in every row"],
        ("gap.csv", "--target", "b"): ["'b' is missing in 1 rows, the first is row 21"],
        ("ragged.csv", "--target", "b"): ["ragged.csv: row 2 has 1 cells where there are 2"],
        ("bare.csv", "--target", "b"): ["bare.csv has no titles"],
        ("twice.csv", "--target", "a"): ["several columns called 'a'"],
        ("titles.csv", "--target", "a"): ["titles.csv has titles and no rows"],
        ("names.csv", "--target", "b"): ["'who' holds 240 different words", "--drop who"],
        ("inf.csv", "--target", "b"): ["inf.csv: column 'a' holds inf in row 7", "empty cell"],
        ("endless.csv", "--target", "b"): ["endless.csv: column 'b' holds -inf in row 7"],
        ("words.csv", "--target", "b"): ["39 numbers, and 'n/k' in row 7", "--task classification"],
        ("mixed.csv", "--target", "b"): ["--drop a", "299 numbers, and 'n/k' in row 7 is none"],
        ("many.csv", "--target", "b", "--task", "classification"): [
            "too few of each of the 40 classes of 'b'",
            "--task regression",
        ],
        ("empty.csv", "--target", "b"): ["empty.csv is empty"],
        ("latin.csv", "--target", "b"): ["latin.csv is not UTF-8"],
        ("nowhere.csv", "--target", "b"): ["nowhere.csv: there is no such file"],
        ("digits", "--target", "b"): ["--target is for tables, arrays and images of your own"],
    }.items():
        refused(tl, args, *messages)


def test_arrays_and_images_that_cannot_be_learnt_from(tl, folder):
    np.save("x.npy", np.zeros((5, 2)))
    np.savez("short.npz", features=np.zeros((5, 2)), targets=np.zeros(4))
    np.savez("other.npz", a=np.zeros((5, 2)))
    np.savez("text.npz", features=np.array([["a"], ["b"]]), targets=np.array([0, 1]))
    refused(tl, ["x.npy"], "say --target FILE.npy")
    refused(tl, ["short.npz"], "targets 'targets' must be of shape (5,)")
    refused(tl, ["other.npz"], "other.npz holds a, and no 'targets'")
    refused(tl, ["text.npz"], "features must be numbers of shape (N, …)")
    png(folder / "shots" / "a" / "1.png", np.zeros((4, 4), np.uint8))
    refused(tl, ["shots"], "a folder of images for each of two classes")
    (folder / "shots" / "b").mkdir()
    refused(tl, ["shots"], "there is no image in the folder b")
    (folder / "shots" / "b" / "2.png").write_bytes(b"no image")
    refused(tl, ["shots"], "2.png is no image that can be read")


def test_a_model_of_words_is_told_of_missing_columns(tl, houses):
    tl("train", houses, "--target", "price", "--drop", "id", "--epochs", 1, "--out", "run")
    write("bad.csv", [("city",), ("Rome",)])
    status, _, err = tl("predict", "run", "bad.csv")
    assert (status, err) == (1, "tensorlite predict: bad.csv has no column 'area'\n")
    write("bad.csv", [("city", "area"), ("Rome", "large")])
    assert "column 'area' holds words, such as 'large'" in tl("predict", "run", "bad.csv")[2]


def test_a_run_goes_on_with_the_same_files_alone(tl, houses):
    train = ("train", houses, "--target", "price", "--epochs", 1, "--out", "run")
    assert tl(*train)[0] == 0
    assert tl("train", "--resume", "run", "--epochs", 2)[0] == 0
    before = Path("run/last.safetensors").read_bytes()
    whole = houses.read_bytes()
    houses.write_bytes(whole.replace(b"1", b"2", 1))
    status, _, err = tl("train", "--resume", "run", "--epochs", 3)
    assert status == 1 and "houses.csv holds other data than when the run in run was begun" in err
    assert Path("run/last.safetensors").read_bytes() == before
    houses.write_bytes(whole)
    assert tl("train", "--resume", "run", "--epochs", 3)[0] == 0


def test_other_images_or_arrays_are_no_way_to_go_on(tl, folder):
    rng = np.random.default_rng(0)
    for name in "ab":
        for i in range(12):
            png(folder / "shapes" / name / f"{i}.png", rng.integers(0, 256, (9, 9), np.uint8))
    np.save(folder / "x.npy", rng.normal(size=(40, 3)))
    np.save(folder / "y.npy", np.arange(40) % 2)
    short = ("--epochs", 1, "--batch-size", 8, "--out")
    assert tl("train", "shapes", *short, "images")[0] == 0
    assert tl("train", "x.npy", "--target", "y.npy", *short, "arrays")[0] == 0
    png(folder / "shapes" / "a" / "3.png", rng.integers(0, 256, (9, 9), np.uint8))
    np.save(folder / "y.npy", np.arange(1, 41) % 2)
    for out in ("images", "arrays"):
        status, _, err = tl("train", "--resume", out, "--epochs", 2)
        assert status == 1 and "holds other data than when" in err


def test_what_pillow_reads_needs_it(tl, folder, monkeypatch):
    png(folder / "shots" / "dark" / "0.png", np.zeros((4, 4, 3), np.uint8))
    monkeypatch.setitem(sys.modules, "PIL", None)
    status, _, err = tl("train", "shots")
    assert (status, err) == (
        1,
        "tensorlite train: images are read by Pillow, which is not installed: pip install "
        '"tensorlite[images]"\n',
    )
