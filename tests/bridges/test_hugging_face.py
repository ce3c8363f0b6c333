"""Checkpoints as Hugging Face writes them give the scores that transformers gives."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from checkpoints import unpacked

import tensorlite as tl

HERE = Path(__file__).parent / "hugging_face"
EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ["gpt2", "bert", "llama", "llama3"]

pytest.importorskip("ml_dtypes", reason="the checkpoints are in bfloat16")
pytest.importorskip("safetensors", reason="which writes the checkpoints' files")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The checkpoints' folders, by name."""
    to = tmp_path_factory.mktemp("hugging_face")
    return {name: unpacked(name, to) for name in NAMES}


def example(name: str) -> ModuleType:
    file = EXAMPLES / f"{name.removesuffix('3')}.py"
    spec = importlib.util.spec_from_file_location(f"example_{name}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scores_of(name: str, folder: Path, given: dict[str, np.ndarray]) -> np.ndarray:
    model = example(name).load(folder)
    inputs = [tl.tensor(x) for x in given.values()]
    with tl.no_grad():
        y = model(*inputs)
    return (y if name == "bert" else y[0]).numpy()


@pytest.mark.parametrize("name", NAMES)
def test_the_scores_are_those_of_transformers(name, folders):
    stored = dict(np.load(HERE / name / "scores.npz"))
    wanted = stored.pop("scores")
    found = scores_of(name, folders[name], stored)
    seen = stored.get("attention_mask", np.ones(found.shape[:2])).astype(bool)
    np.testing.assert_allclose(found[seen], wanted[seen], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_several_files_are_there_and_short_floats(name, folders):
    files = list(folders[name].glob("*.safetensors"))
    assert len(files) > 1
    assert {x.dtype.name for x in tl.load(folders[name]).values()} == {"bfloat16"}


@pytest.mark.parametrize("name", ["gpt2", "llama", "llama3"])
def test_keys_from_before_change_nothing(name, folders):
    module = example(name)
    model = module.load(folders[name])
    ids = tl.tensor([[5, 9, 2]])
    found = module.generate(model, ids, 6, 0.0)
    for end in range(3, 9):  # each token again, without what was kept
        with tl.no_grad():
            scores, _ = model(found[:, :end])
        assert scores[0, -1].argmax().item() == found[0, end].item()


def test_a_full_context_begins_again(folders):
    module = example("gpt2")
    model = module.load(folders["gpt2"])
    found = module.generate(model, tl.tensor([list(range(30))]), 6, 0.7)
    assert found.shape == (1, 36)


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path, folders):
    for file in folders["llama"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_bytes((HERE / "gpt2" / "config.json").read_bytes())
    with pytest.raises((RuntimeError, KeyError, ValueError), match=r"wte\.weight"):
        example("gpt2").load(tmp_path)


@pytest.mark.parametrize("name", ["gpt2", "llama3"])
def test_with_tokenizers(name, folders):
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    tokenizer = tokenizers.Tokenizer.from_file(str(HERE / name / "tokenizer.json"))
    ids = tokenizer.encode("the answer is a word").ids
    assert tokenizer.decode(ids) == "the answer is a word"
    module = example(name)
    found = module.generate(module.load(folders[name]), tl.tensor([ids]), 4, 0.0)[0]
    assert tokenizer.decode(found.tolist()).startswith("the answer is a word")


@pytest.mark.parametrize("name", NAMES)
def test_beside_transformers(name, tmp_path):
    """Other random weights, in one file of float32; where transformers is installed."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers", reason="transformers is not installed")
    spec = importlib.util.spec_from_file_location("make_hf", HERE / "make_checkpoints.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    kind, config = make.MODELS[name]
    torch.manual_seed(11)
    model = kind(config).eval()
    model.save_pretrained(tmp_path)
    inputs = make.inputs_of(name)
    with torch.no_grad():
        wanted = model(**inputs).logits.numpy()
    found = scores_of(name, tmp_path, {key: x.numpy() for key, x in inputs.items()})
    seen = inputs.get("attention_mask", torch.ones(2, 7)).bool().numpy()
    np.testing.assert_allclose(found[seen], wanted[seen], atol=1e-4, rtol=0)
