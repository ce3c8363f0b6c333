"""GPT-2 from a folder as Hugging Face writes it, and a text continued by it.

The model of "Language models are unsupervised multitask learners" (Radford et al., 2019). The
folder holds config.json, model.safetensors (or several, with an index) and tokenizer.json; such a
folder is what `save_pretrained` writes, or a clone of a repository at huggingface.co.

    python examples/gpt2.py FOLDER --prompt "The answer is"
    python examples/gpt2.py FOLDER --ids 15,3,7        # without the package tokenizers
"""

import argparse
import json
from pathlib import Path

import tensorlite as tl
from tensorlite import nn
from tensorlite.nn import functional as F


class Affine(nn.Module):
    """What GPT-2 calls Conv1D: a fully connected layer whose weight is stored (in, out)."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(tl.empty(inputs, outputs))
        self.bias = nn.Parameter(tl.empty(outputs))

    def forward(self, x):  # (…, in)
        return x @ self.weight + self.bias  # (…, out)


class Attention(nn.Module):
    """Each position looks at itself and at those before it."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.c_attn = Affine(width, 3 * width)
        self.c_proj = Affine(width, width)

    def forward(self, x, past):  # (B, T, C)
        b, t, c = x.shape
        qkv = self.c_attn(x).reshape(b, t, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # 3 × (B, nh, T, hs)
        if past:
            k, v = tl.cat((past[0], k), 2), tl.cat((past[1], v), 2)  # (B, nh, S, hs)
        # With keys from before there is one query, which sees all of them.
        y = F.scaled_dot_product_attention(q, k, v, is_causal=not past)  # (B, nh, T, hs)
        return self.c_proj(y.transpose(1, 2).reshape(b, t, c)), (k, v)


class MLP(nn.Module):
    """Two layers for each position alone."""

    def __init__(self, width, inner):
        super().__init__()
        self.c_fc = Affine(width, inner)
        self.c_proj = Affine(inner, width)

    def forward(self, x):  # (B, T, C)
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    """Attention and the two layers, each added to what came in."""

    def __init__(self, config):
        super().__init__()
        width, eps = config["n_embd"], config["layer_norm_epsilon"]
        self.ln_1 = nn.LayerNorm(width, eps)
        self.attn = Attention(width, config["n_head"])
        self.ln_2 = nn.LayerNorm(width, eps)
        self.mlp = MLP(width, config.get("n_inner") or 4 * width)

    def forward(self, x, past):  # (B, T, C)
        y, present = self.attn(self.ln_1(x), past)
        x = x + y
        return x + self.mlp(self.ln_2(x)), present


class GPT2(nn.Module):
    """Tokens in, scores of the next token out; the names are those in the file."""

    def __init__(self, config):
        super().__init__()
        self.context = config["n_positions"]
        self.wte = nn.Embedding(config["vocab_size"], config["n_embd"])
        self.wpe = nn.Embedding(config["n_positions"], config["n_embd"])
        self.h = nn.ModuleList([Block(config) for _ in range(config["n_layer"])])
        self.ln_f = nn.LayerNorm(config["n_embd"], config["layer_norm_epsilon"])

    def forward(self, ids, past=None):  # (B, T)
        past = past or [()] * len(self.h)
        start = past[0][0].shape[2] if past[0] else 0
        where = tl.arange(start, start + ids.shape[1], device=ids.device)  # (T,)
        x = self.wte(ids) + self.wpe(where)  # (B, T, C)
        presents = []
        for block, before in zip(self.h, past, strict=True):
            x, present = block(x, before)
            presents.append(present)
        return self.ln_f(x) @ self.wte.weight.T, presents  # (B, T, vocabulary)


def load(folder):
    """The model in a folder, in float32, whatever the file's dtype is."""
    model = GPT2(json.loads((Path(folder) / "config.json").read_text()))
    state = {}
    for name, value in tl.load(folder).items():
        name = name.removeprefix("transformer.")
        if name == "lm_head.weight" or name.endswith((".attn.bias", ".attn.masked_bias")):
            continue  # the table of tokens once more; causal masks
        state[name] = value.float()
    model.load_state_dict(state)
    return model.eval()


@tl.no_grad()
def generate(model, ids, count, temperature):
    """Add `count` tokens to `ids` (1, T): the likeliest, or drawn at a temperature."""
    scores, past = model(ids[:, -model.context :])
    for _ in range(count):
        last = scores[:, -1]  # (1, vocabulary)
        if temperature:
            new = tl.multinomial(F.softmax(last / temperature, -1), 1)
        else:
            new = last.argmax(-1, keepdim=True)
        ids = tl.cat((ids, new), 1)
        if past[0][0].shape[2] < model.context:
            scores, past = model(new, past)
        else:  # the context is full: begin again with its second half
            scores, past = model(ids[:, -model.context // 2 :])
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
    start = tl.tensor([ids], device=model.wte.weight.device)
    found = generate(model, start, args.count, args.temperature)[0].tolist()
    print("tokens:", *found)
    if not args.ids:
        print(tokenizer.decode(found))
