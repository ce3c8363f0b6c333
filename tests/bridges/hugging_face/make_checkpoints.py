"""Store tiny checkpoints, and the scores that transformers computes with them.

Run it with torch, transformers 5 and tokenizers: ``python make_checkpoints.py``. The weights are
random, in bfloat16, in several files with an index, as large models are saved. Of the files their
numbers are kept, as bits, in weights.npz; `checkpoints.unpacked` makes the files again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

HERE = Path(__file__).parent
TEXT = ["the answer is in the text", "a text is a row of words", "words are the answer"] * 3
TOKENS = 96

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
GROUPED = {
    "vocab_size": TOKENS,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
MODELS = {
    "gpt2": (
        GPT2LMHeadModel,
        GPT2Config(vocab_size=TOKENS, n_positions=32, n_embd=16, n_layer=2, n_head=4),
    ),
    "bert": (
        BertForMaskedLM,
        BertConfig(
            vocab_size=TOKENS,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=24,
            max_position_embeddings=32,
        ),
    ),
    "llama": (LlamaForCausalLM, LlamaConfig(**GROUPED, attention_bias=True)),
    "llama3": (
        LlamaForCausalLM,
        LlamaConfig(**GROUPED, tie_word_embeddings=True, rope_parameters=LLAMA3),
    ),
}


def tokenizer_of(name: str) -> Tokenizer:
    """Bytes joined to pairs, or pieces of words for BERT."""
    if name == "bert":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        trainer = trainers.WordPieceTrainer(vocab_size=TOKENS, special_tokens=special)
        tokenizer.train_from_iterator(TEXT, trainer)
        tokenizer.decoder = decoders.WordPiece()
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        return tokenizer
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=TOKENS))
    return tokenizer


def inputs_of(name: str) -> dict[str, torch.Tensor]:
    """Token numbers; for BERT with padding and two sentences."""
    ids = torch.arange(2 * 7).reshape(2, 7) * 17 % TOKENS
    if name != "bert":
        return {"input_ids": ids}
    mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2])
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": (ids > 40).long()}


def main() -> None:
    """Write all of them."""
    for name, (kind, config) in MODELS.items():
        torch.manual_seed(3)
        config.initializer_range = 0.3  # so that nothing is nearly zero
        model = kind(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        model.to(torch.bfloat16).save_pretrained(HERE / name, max_shard_size="6KB")
        tokenizer_of(name).save(str(HERE / name / "tokenizer.json"))
        (HERE / name / "generation_config.json").unlink(missing_ok=True)
        model = kind.from_pretrained(HERE / name, dtype=torch.float32).eval()
        inputs = inputs_of(name)
        with torch.no_grad():
            scores = model(**inputs).logits
        given = {key: value.numpy() for key, value in inputs.items()}
        np.savez_compressed(HERE / name / "scores.npz", scores=scores.numpy(), **given)
        bits = {}
        for file in (HERE / name).glob("*.safetensors"):
            bits |= {key: x.view(torch.uint16).numpy() for key, x in load_file(file).items()}
            file.unlink()
        np.savez(HERE / name / "weights.npz", **bits)


if __name__ == "__main__":
    main()
