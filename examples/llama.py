"""Llama from a folder as Hugging Face writes it, and a text continued by it.

The model of "LLaMA: open and efficient foundation language models" (Touvron et al., 2023), with
fewer heads for keys than for queries (Ainslie et al., 2023), and the longer contexts of Llama 3.1.
Mistral and other models of the same shape load, too. The folder holds config.json,
model.safetensors (or several, with an index) and tokenizer.json.

    python examples/llama.py FOLDER --prompt "The answer is"
    python examples/llama.py FOLDER --ids 15,3,7       # without the package tokenizers
"""

import argparse
import json
import math
from pathlib import Path

import tensorlite as tl
from tensorlite import nn
from tensorlite.nn import functional as F


def rates_of(config, size):
    """How fast each pair of a head's elements turns from place to place, (size / 2,)."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    base = rope.get("rope_theta") or config.get("rope_theta", 10000.0)
    rates = base ** (-tl.arange(0, size, 2) / size)
    kind = rope.get("rope_type", "default")
    if kind == "llama3":  # slow turns become slower, so that more places can be told apart
        old = rope["original_max_position_embeddings"]
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        turns = old * rates / (2 * math.pi)  # within the context of the training
        keep = ((turns - low) / (high - low)).clamp(0, 1)
        rates = rates * (keep + (1 - keep) / rope["factor"])
    elif kind != "default":
        raise ValueError(f"config.json asks for rope_type {kind!r}: default and llama3 are here")
    return rates


def turned(x, angles):  # (B, nh, T, hs), (T, hs / 2)
    """Each pair (i, i + hs / 2) turned by its angle (Su et al., 2021)."""
    a, b = x.chunk(2, -1)
    cos, sin = angles.cos(), angles.sin()
    return tl.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Attention(nn.Module):
    """Each position looks at itself and at those before it."""

    def __init__(self, config):
        super().__init__()
        width, self.heads = config["hidden_size"], config["num_attention_heads"]
        self.groups = config.get("num_key_value_heads") or self.heads
        self.size = config.get("head_dim") or width // self.heads
        bias = config.get("attention_bias", False)
        self.q_proj = nn.Linear(width, self.heads * self.size, bias=bias)
        self.k_proj = nn.Linear(width, self.groups * self.size, bias=bias)
        self.v_proj = nn.Linear(width, self.groups * self.size, bias=bias)
        self.o_proj = nn.Linear(self.heads * self.size, width, bias=bias)

    def forward(self, x, angles, past):  # (B, T, C)
        b, t, _ = x.shape
        q = self.q_proj(x).reshape(b, t, self.heads, self.size).transpose(1, 2)  # (B, nh, T, hs)
        k = self.k_proj(x).reshape(b, t, self.groups, self.size).transpose(1, 2)  # (B, ng, T, hs)
        v = self.v_proj(x).reshape(b, t, self.groups, self.size).transpose(1, 2)
        q, k = turned(q, angles), turned(k, angles)
        if past:
            k, v = tl.cat((past[0], k), 2), tl.cat((past[1], v), 2)  # (B, ng, S, hs)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=not past, enable_gqa=True)
        return self.o_proj(y.transpose(1, 2).reshape(b, t, -1)), (k, v)


class MLP(nn.Module):
    """A gated pair of layers (Shazeer, 2020)."""

    def __init__(self, config):
        super().__init__()
        width, inner = config["hidden_size"], config["intermediate_size"]
        bias = config.get("mlp_bias", False)
        self.gate_proj = nn.Linear(width, inner, bias=bias)
        self.up_proj = nn.Linear(width, inner, bias=bias)
        self.down_proj = nn.Linear(inner, width, bias=bias)

    def forward(self, x):  # (B, T, C)
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """Attention and the gated layers, each added to what came in."""

    def __init__(self, config):
        super().__init__()
        width, eps = config["hidden_size"], config["rms_norm_eps"]
        self.self_attn, self.mlp = Attention(config), MLP(config)
        self.input_layernorm = nn.RMSNorm(width, eps)
        self.post_attention_layernorm = nn.RMSNorm(width, eps)

    def forward(self, x, angles, past):  # (B, T, C)
        y, present = self.self_attn(self.input_layernorm(x), angles, past)
        x = x + y
        return x + self.mlp(self.post_attention_layernorm(x)), present


class Llama(nn.Module):
    """Tokens in, scores of the next token out; the names are those in the file."""

    def __init__(self, config):
        super().__init__()
        width, tokens = config["hidden_size"], config["vocab_size"]
        self.embed_tokens = nn.Embedding(tokens, width)
        self.layers = nn.ModuleList([Layer(config) for _ in range(config["num_hidden_layers"])])
        self.norm = nn.RMSNorm(width, config["rms_norm_eps"])
        self.lm_head = nn.Linear(width, tokens, bias=False)
        if config.get("tie_word_embeddings"):
            self.lm_head.weight = self.embed_tokens.weight
        self.register_buffer(
            "rates", rates_of(config, self.layers[0].self_attn.size), persistent=False
        )

    def forward(self, ids, past=None):  # (B, T)
        past = past or [()] * len(self.layers)
        start = past[0][0].shape[2] if past[0] else 0
        where = tl.arange(start, start + ids.shape[1], device=ids.device)  # (T,)
        angles = where[:, None] * self.rates  # (T, hs / 2)
        x = self.embed_tokens(ids)  # (B, T, C)
        presents = []
        for layer, before in zip(self.layers, past, strict=True):
            x, present = layer(x, angles, before)
            presents.append(present)
        return self.lm_head(self.norm(x)), presents  # (B, T, vocabulary)


def load(folder):
    """The model in a folder, in float32, whatever the file's dtype is."""
    config = json.loads((Path(folder) / "config.json").read_text())
    state = {k.removeprefix("model."): v.float() for k, v in tl.load(folder).items()}
    state = {k: v for k, v in state.items() if not k.endswith("rotary_emb.inv_freq")}
    if config.get("tie_word_embeddings"):
        state["lm_head.weight"] = state["embed_tokens.weight"]
    model = Llama(config)
    model.load_state_dict(state)
    return model.eval()


@tl.no_grad()
def generate(model, ids, count, temperature):
    """Add `count` tokens to `ids` (1, T): the likeliest, or drawn at a temperature."""
    scores, past = model(ids)
    for _ in range(count):
        last = scores[:, -1]  # (1, vocabulary)
        if temperature:
            new = tl.multinomial(F.softmax(last / temperature, -1), 1)
        else:
            new = last.argmax(-1, keepdim=True)
        ids = tl.cat((ids, new), 1)
        scores, past = model(new, past)
    return ids


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--prompt", default="The")
    parser.add_argument("--ids", help="token numbers instead of a prompt")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    tl.manual_seed(0)
    model = load(args.folder).to(tl.device(args.device))
    if args.ids:
        ids = [int(i) for i in args.ids.split(",")]
    else:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(Path(args.folder) / "tokenizer.json"))
        ids = tokenizer.encode(args.prompt).ids
    start = tl.tensor([ids], device=model.lm_head.weight.device)
    found = generate(model, start, args.count, args.temperature)[0].tolist()
    print("tokens:", *found)
    if not args.ids:
        print(tokenizer.decode(found))
