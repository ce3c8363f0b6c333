"""Damaged files are refused in one sentence, or read as they were: no damage is taken."""

import collections
import gzip
import hashlib
import io
import tarfile

import numpy as np
import pytest
from mutations import mutated

import tensorlite as tl
from tensorlite import nn
from tensorlite.cli import main
from tensorlite.data import DataLoader, TensorDataset, sources
from tensorlite.data.arrays import read_npz
from tensorlite.data.formats import decode_cifar10, decode_idx
from tensorlite.data.sources import FileSet
from tensorlite.training import Trainer, load_checkpoint

CHECKPOINTS, DATA = 500, 200


def trainer_in(out):
    tl.manual_seed(1)
    rng = np.random.default_rng(0)
    data = TensorDataset(rng.normal(size=(40, 6)).astype(np.float32), np.arange(40) % 2)
    model = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 2))
    optimizer = tl.optim.Adam(model.named_parameters(), lr=0.01)
    trainer = Trainer(
        model, optimizer, nn.functional.cross_entropy, callbacks=(), device="cpu", out=out
    )
    return trainer, DataLoader(data, 8, shuffle=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("damage") / "run"
    trainer, loader = trainer_in(out)
    trainer.fit(loader, epochs=2)
    return out


def plain(value):
    """A nested value with bytes in the place of Tensors."""
    if isinstance(value, tl.Tensor):
        return (str(value.dtype), tuple(value.shape), value.numpy().tobytes())
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def refused_or_equal(path, content, read, count, kinds=(ValueError,), step=1):
    """Try `count` kinds of damage; return how many were refused."""
    path.write_bytes(content)
    expected = plain(read(path))
    outcomes = collections.Counter()
    for seed in range(0, count * step, step):
        kind, damaged = mutated(content, seed)
        path.write_bytes(damaged)
        try:
            found = read(path)
        except kinds as error:
            assert path.name.split(".")[0] in str(error) or "archive" in str(error)
            assert len(str(error)) < 1500
            outcomes["refused"] += 1
        else:
            assert plain(found) == expected, f"damage {seed} ({kind}) was taken in silence"
            outcomes["equal"] += 1
    return outcomes


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_mutated_checkpoints(run, suffix, tmp_path, record_property):
    whole = tl.load(run / "last.safetensors")
    path = tmp_path / f"last.{suffix}"
    tl.save(whole, path)
    found = refused_or_equal(path, path.read_bytes(), tl.load, CHECKPOINTS, step=7)
    assert found["refused"] > CHECKPOINTS // 2
    record_property(f"mutated .{suffix}", f"{dict(found)} of {CHECKPOINTS}, 0 taken")


def test_a_flipped_bit_anywhere_is_found(run, tmp_path):
    content = (run / "last.safetensors").read_bytes()
    path = tmp_path / "last.safetensors"
    for at in range(0, len(content), 211):
        damaged = bytearray(content)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"last\.safetensors cannot be read"):
            load_checkpoint(path)


def test_resume_changes_nothing_in_the_folder_of_a_damaged_run(run, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    for file in run.iterdir():
        (out / file.name).write_bytes(file.read_bytes())
    damaged = bytearray((out / "last.safetensors").read_bytes())
    damaged[-100] ^= 16
    (out / "last.safetensors").write_bytes(damaged)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    trainer, loader = trainer_in(out)
    with pytest.raises(ValueError, match="its content is not what was written"):
        trainer.fit(loader, epochs=4, resume=True)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_weights_that_are_not_finite_are_named(run, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    checkpoint = load_checkpoint(run / "last.safetensors")
    checkpoint["model"]["3.weight"].array[1, 5] = np.nan
    tl.save(checkpoint, out / "last.safetensors")
    trainer, loader = trainer_in(out)
    with pytest.raises(ValueError, match=r"'3\.weight' hold nan at index \(1, 5\)"):
        trainer.fit(loader, epochs=4, resume=True)


WRONG = {
    "history": [
        lambda v: v[::-1], lambda v: [{**v[0], "train_loss": float("nan")}, v[1]], lambda v: v[:1],
        lambda v: "none", lambda v: [*v, 3],
    ],
    "progress": [lambda v: {**v, "sizes": [3.5]}, lambda v: {**v, "lr": None}],
    "loader": [lambda v: {**v, "position": -1}, lambda v: {**v, "epoch": 1.5}],
    "rng": [lambda v: {**v, "seed": 1 << 70}, lambda v: {}],
    "stopping": [lambda v: {**v, "best_epoch": 9}, lambda v: {**v, "best_loss": float("nan")}],
    "kinds": [lambda v: v[:1]],
    "optimizer": [
        lambda v: {**v, "param_groups": 3},
        lambda v: {**v, "param_groups": [{**v["param_groups"][0], "lr": float("inf")}]},
    ],
    "model": [lambda v: None],
    "metadata": [lambda v: [1]],
}  # fmt: skip


@pytest.mark.parametrize("field", WRONG)
def test_every_field_is_checked_before_anything_is_overwritten(field, run, tmp_path):
    """Files whose digest is right, as a program makes them that does not know what it writes."""
    checkpoint = tl.load(run / "last.safetensors")
    for number, change in enumerate(WRONG[field]):
        out = tmp_path / str(number)
        out.mkdir()
        tl.save({**checkpoint, field: change(checkpoint[field])}, out / "last.safetensors")
        (out / "history.jsonl").write_text("as it was")
        trainer, loader = trainer_in(out)
        with pytest.raises(ValueError, match=f"last.safetensors is damaged.*{field}"):
            trainer.fit(loader, epochs=4, resume=True)
        assert (out / "history.jsonl").read_text() == "as it was"
        assert len(list(out.iterdir())) == 2
    tl.save({k: v for k, v in checkpoint.items() if k != field}, tmp_path / "lacks.safetensors")
    with pytest.raises(ValueError, match=f"it lacks '{field}'"):
        load_checkpoint(tmp_path / "lacks.safetensors")


def test_files_without_a_digest_still_load(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file({"a": np.arange(6.0)}, tmp_path / "a.safetensors")
    assert tl.load(tmp_path / "a.safetensors")["a"].tolist() == [0, 1, 2, 3, 4, 5]


def test_a_digest_holds_for_the_content_and_not_for_its_place(tmp_path):
    """Another program may write a file anew, with its metadata."""
    safetensors = pytest.importorskip("safetensors")
    from safetensors.numpy import save_file

    path = tmp_path / "a.safetensors"
    tl.save({"b": tl.arange(5.0), "a": tl.ones(2, 3)}, path)
    with safetensors.safe_open(path, "numpy") as file:
        arrays = {name: file.get_tensor(name) for name in ("a", "b")}
        metadata = file.metadata()
    save_file(arrays, path, metadata)
    assert tl.load(path)["b"].tolist() == [0, 1, 2, 3, 4]
    save_file({**arrays, "a": arrays["a"] + 1}, path, metadata)
    with pytest.raises(ValueError, match=r"has to leave 'tensorlite\.digest' out of the"):
        tl.load(path)


# --- data -----------------------------------------------------------------------------------------


def idx(array):
    head = bytes((0, 0, 8, array.ndim))
    return head + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def packed_cifar(rng):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in ("data_batch_1.bin", "test_batch.bin"):
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = 3 * 3073
            tar.addfile(entry, io.BytesIO(rng.bytes(entry.size)))
    return packed.getvalue()


def npz(save, **arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def test_mutated_files_of_datasets(tmp_path, monkeypatch, record_property):
    """Gzipped and plain: their checksum is known."""
    rng = np.random.default_rng(0)
    content = idx(rng.integers(0, 256, (20, 28, 28), dtype=np.uint8))
    monkeypatch.setenv("TENSORLITE_DATA", str(tmp_path))
    monkeypatch.setattr(sources, "SYSTEM_FOLDER", tmp_path / "none")
    (tmp_path / "toy").mkdir()
    digest = hashlib.sha256(content).hexdigest()
    files = FileSet("toy", {"images": digest}, (), sizes={"images": len(content)})

    def read(path):
        return files.read()[0]["images"]

    for name, stored in (("images", content), ("images.gz", gzip.compress(content))):
        path = tmp_path / "toy" / name
        found = refused_or_equal(path, stored, read, DATA, step=3)
        path.unlink()
        record_property(f"mutated {name}", f"{dict(found)} of {DATA}, 0 taken")


def test_mutated_archives_of_arrays(tmp_path, record_property):
    array = np.arange(4000.0).reshape(50, 80)
    for save in (np.savez, np.savez_compressed):
        stored = npz(save, features=array)
        found = refused_or_equal(tmp_path / "a.npz", stored, read_arrays, DATA, step=3)
        record_property(f"mutated by {save.__name__}", f"{dict(found)} of {DATA}, 0 taken")


def read_arrays(path):
    return {name: array.tobytes() for name, array in read_npz(path).items()}


@pytest.mark.parametrize("kind", ["idx", "tar.gz", "npy", "csv", "txt"])
def test_mutated_files_without_a_checksum_are_never_a_traceback(kind, tmp_path):
    """What they say may be anything, but the end is a sentence."""
    from tensorlite.cli.predict import read
    from tensorlite.data.vocabulary import read_text

    rng = np.random.default_rng(0)
    array = io.BytesIO()
    np.save(array, rng.normal(size=(9, 8)))
    content, reader = {
        "idx": (idx(np.zeros((9, 5, 5), np.uint8)), lambda p: decode_idx(p.read_bytes())),
        "tar.gz": (packed_cifar(rng), lambda p: decode_cifar10(p.read_bytes())),
        "npy": (array.getvalue(), read),
        "csv": (b"a,b,c\n" + b"1.5,2,3e4\n" * 20, read),
        "txt": (b"la li lu" * 40, read_text),
    }[kind]
    path = tmp_path / f"data.{kind}"
    for seed in range(DATA):
        path.write_bytes(mutated(content, seed)[1])
        try:
            reader(path)
        except ValueError as error:
            assert str(error)


def test_what_unpacks_without_end_is_refused_before(tmp_path, monkeypatch):
    zeros = bytes(1 << 24)
    monkeypatch.setenv("TENSORLITE_DATA", str(tmp_path))
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "images.gz").write_bytes(gzip.compress(zeros, 9))
    files = FileSet("toy", {"images": "0" * 64}, (), sizes={"images": 1000})
    with pytest.raises(ValueError, match="longer than 1,000 bytes"):
        files.read()
    monkeypatch.setattr("tensorlite.data.arrays._LARGE", 1 << 20)
    (tmp_path / "a.npz").write_bytes(npz(np.savez_compressed, a=np.zeros(1 << 21)))
    with pytest.raises(ValueError, match="would unpack to 16,777"):
        read_npz(tmp_path / "a.npz")
    monkeypatch.setattr("tensorlite.data.formats.CIFAR_LARGEST", 1 << 12)
    with pytest.raises(ValueError, match="unpacks to more than 4,096"):
        decode_cifar10(packed_cifar(np.random.default_rng(0)))


def test_the_command_line_tells_damage_in_one_line(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "diabetes", "--epochs", "1", "--out", "run", "--device", "cpu"]) == 0
    capsys.readouterr()
    for name in ("last", "best"):
        path = tmp_path / "run" / f"{name}.safetensors"
        content = path.read_bytes()
        before = (tmp_path / "run" / "history.jsonl").read_bytes()
        for seed in range(0, 60, 3):
            path.write_bytes(mutated(content, seed)[1])
            command = ["train", "--resume", "run"] if name == "last" else ["evaluate", "run"]
            assert main([*command, "--device", "cpu"]) == 1
            said = capsys.readouterr().err
            assert said.startswith("tensorlite ") and said.count("\n") == 1, said
            assert (tmp_path / "run" / "history.jsonl").read_bytes() == before
        path.write_bytes(content)
