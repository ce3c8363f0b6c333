"""The digest of a file's content: its formula, and what it finds in large tensors."""

import collections
import hashlib
import io
import json
import random
import zlib

import numpy as np
import pytest
from mutations import mutated

import tensorlite as tl
from tensorlite.backend import HOST
from tensorlite.io import digest, safetensors

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def key(i):
    z = (i + 1) * GOLDEN & MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def as_documented(block):
    """The sums in Python's whole numbers, a word at a time."""
    plain, mixed = [0] * 8, [0] * 8
    padded = block + bytes(-len(block) % 64)
    for i in range(len(padded) // 8):
        word = int.from_bytes(padded[8 * i : 8 * i + 8], "little")
        row, place = divmod(i, 128)
        x = word ^ (key(place) + row * GOLDEN & MASK)
        plain[i % 8] = plain[i % 8] + word & MASK
        mixed[i % 8] = mixed[i % 8] + (x & 0xFFFFFFFF) * (x >> 32) & MASK
    return plain + mixed


def sums_of(data):
    memory = np.frombuffer(data, np.uint8)
    sums = np.zeros(-(-memory.size // digest.BLOCK) * digest.SUMS, np.uint64)
    digest.block_sums(memory, sums)
    return sums.reshape(-1, digest.SUMS)


@pytest.mark.parametrize("size", [1, 8, 63, 64, 65, 1000, 1024, 1025, 5000])
def test_the_sums_are_those_of_the_formula(size):
    data = random.Random(size).randbytes(size)
    assert sums_of(data).tolist() == [as_documented(data)]


@pytest.mark.parametrize("size", [(1 << 18) - 1, 1 << 18, (1 << 18) + 1, 3_333_333])
def test_numpy_and_the_kernels_agree(size, monkeypatch):
    if HOST.kernels is None:
        pytest.skip("there are no kernels to compare with")
    data = random.Random(size).randbytes(size)
    found = sums_of(data)
    monkeypatch.setitem(HOST.__dict__, "kernels", None)
    np.testing.assert_array_equal(sums_of(data), found)


def test_every_word_and_its_place_count():
    """One word changed, or two changed places, wherever they are."""
    draw = random.Random(0)
    data = draw.randbytes(digest.BLOCK)
    whole = sums_of(data)
    for trial in range(400):
        changed = bytearray(data)
        at = draw.randrange(len(data))
        changed[at] ^= 1 << draw.randrange(8)
        assert (sums_of(bytes(changed)) != whole).any(), at
        length = 8 * draw.choice((1, 8, 128, 1024))
        one = draw.randrange((len(data) - length) // 8) * 8
        other = draw.randrange((len(data) - length) // 8) * 8
        if abs(one - other) < length:
            continue
        changed = bytearray(data)
        changed[one : one + length] = data[other : other + length]
        changed[other : other + length] = data[one : one + length]
        assert (sums_of(bytes(changed)) != whole).any(), (trial, one, other, length)


@pytest.mark.parametrize("words", ["zeros", "ones", "one-hot"])
def test_places_count_in_plain_data(words):
    """Labels, masks and new weights: few different words, so that only their places tell."""
    data = np.zeros(digest.BLOCK // 4, np.float32)
    data[:: {"zeros": 1 << 40, "ones": 1, "one-hot": 10}[words]] = 1
    data[7000:7300] = 2
    whole = sums_of(data.tobytes())
    for step in (1, 2, 8, 16, 30, 128, 256, 2048, 5000):
        moved = data.copy()
        moved[7000:7300], moved[7000 + step : 7300 + step] = data[7000 - step : 7300 - step], 2
        moved[7000 : 7000 + step] = data[6000 : 6000 + step]
        assert (moved != data).any()
        assert (sums_of(moved.tobytes()) != whole).any(), step


def large():
    tl.manual_seed(3)
    return {"weight": tl.randn(300, 400), "labels": tl.arange(60000) % 10, "bias": tl.zeros(0)}


MUTATIONS = 500


def test_500_mutations_of_large_tensors(tmp_path, record_property):
    path = tmp_path / "large.safetensors"
    state = large()
    tl.save(state, path)
    content = path.read_bytes()
    expected = {name: value.numpy().tobytes() for name, value in state.items()}
    found = collections.Counter()
    for seed in range(MUTATIONS):
        kind, damaged = mutated(content, seed)
        path.write_bytes(damaged)
        try:
            read = tl.load(path)
        except ValueError as error:
            assert "large.safetensors" in str(error)
            found["refused"] += 1
        else:
            read = {name: value.numpy().tobytes() for name, value in read.items()}
            assert read == expected, f"damage {seed} ({kind}) was taken in silence"
            found["equal"] += 1
    assert found["refused"] > MUTATIONS * 0.9
    record_property("mutated, large tensors", f"{dict(found)} of {MUTATIONS}, 0 taken")


def test_every_way_to_write_gives_the_same_file(tmp_path, monkeypatch):
    """A path, an open file, memory, a stream without return, and NumPy in the place of kernels."""
    state = large()
    tl.save(state, tmp_path / "path")
    wanted = (tmp_path / "path").read_bytes()
    with open(tmp_path / "file", "wb") as file:
        file.write(b"before")
        tl.save(state, file)
        file.write(b"after")
    assert (tmp_path / "file").read_bytes() == b"before" + wanted + b"after"
    memory = io.BytesIO()
    tl.save(state, memory)
    assert memory.getvalue() == wanted

    class Stream:
        written = b""

        def write(self, part):
            self.written += bytes(part)

    stream = Stream()
    tl.save(state, stream)
    assert stream.written == wanted
    monkeypatch.setitem(HOST.__dict__, "kernels", None)
    tl.save(state, tmp_path / "numpy")
    assert (tmp_path / "numpy").read_bytes() == wanted
    with open(tmp_path / "path", "rb") as file:
        assert tl.load(file)["labels"].tolist() == state["labels"].tolist()


def test_files_with_the_older_digest_load_and_are_checked(tmp_path):
    arrays = {"a": np.arange(700_000.0), "b": np.zeros((0, 2), np.int64), "c": np.ones(3)}
    codes = {"a": "F64", "b": "I64", "c": "F64"}
    entries = {}
    for name, array in arrays.items():
        data = array.tobytes()
        pieces = [data[i : i + (1 << 21)] for i in range(0, len(data) or 1, 1 << 21)]
        entries[name] = [codes[name], list(array.shape), [zlib.crc32(piece) for piece in pieces]]
    metadata = {"format": "pt"}
    text = json.dumps([entries, metadata], sort_keys=True, separators=(",", ":"))
    metadata["tensorlite.digest"] = hashlib.sha256(text.encode()).hexdigest()
    path = tmp_path / "old.safetensors"
    path.write_bytes(
        safetensors._table(arrays, list(arrays), metadata)
        + b"".join(array.tobytes() for array in arrays.values())
    )
    assert tl.load(path)["a"][-1] == 699_999
    content = bytearray(path.read_bytes())
    content[-5_000_000] ^= 2
    path.write_bytes(content)
    with pytest.raises(ValueError, match="its content is not what was written"):
        tl.load(path)


def test_a_digest_of_a_later_version_is_named(tmp_path):
    path = tmp_path / "a.safetensors"
    tl.save({"a": tl.ones(2)}, path)
    path.write_bytes(path.read_bytes().replace(b"sums1:", b"sums9:"))
    with pytest.raises(ValueError, match=r"'sums9:.*is of a kind that a newer version writes"):
        tl.load(path)
