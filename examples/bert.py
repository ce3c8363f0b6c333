"""BERT from a folder as Hugging Face writes it: words under masks are guessed.

The model of "BERT: pre-training of deep bidirectional transformers" (Devlin et al., 2019). The
folder holds config.json, model.safetensors (or several, with an index) and tokenizer.json; such a
folder is what `save_pretrained` writes, or a clone of a repository at huggingface.co.

    python examples/bert.py FOLDER --text "Paris is the [MASK] of France."
    python examples/bert.py FOLDER --ids 2,15,4,3 --mask 4     # without the package tokenizers
"""

import argparse
import json
from pathlib import Path

import tensorlite as tl
from tensorlite import nn
from tensorlite.nn import functional as F


class Embeddings(nn.Module):
    """Token, place and sentence, added and normalized."""

    def __init__(self, config):
        super().__init__()
        width = config["hidden_size"]
        self.word_embeddings = nn.Embedding(config["vocab_size"], width)
        self.position_embeddings = nn.Embedding(config["max_position_embeddings"], width)
        self.token_type_embeddings = nn.Embedding(config["type_vocab_size"], width)
        self.LayerNorm = nn.LayerNorm(width, config["layer_norm_eps"])

    def forward(self, ids, types):  # (B, T), (B, T)
        where = tl.arange(ids.shape[1], device=ids.device)  # (T,)
        x = self.word_embeddings(ids) + self.token_type_embeddings(types)  # (B, T, C)
        return self.LayerNorm(x + self.position_embeddings(where))


class SelfAttention(nn.Module):
    """Each position looks at all that are not padding."""

    def __init__(self, config):
        super().__init__()
        width = config["hidden_size"]
        self.heads = config["num_attention_heads"]
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, x, mask):  # (B, T, C), (B, 1, 1, T)
        b, t, c = x.shape

        def split(y):
            return y.reshape(b, t, self.heads, c // self.heads).transpose(1, 2)  # (B, nh, T, hs)

        q, k, v = split(self.query(x)), split(self.key(x)), split(self.value(x))
        y = F.scaled_dot_product_attention(q, k, v, mask)
        return y.transpose(1, 2).reshape(b, t, c)


class Output(nn.Module):
    """A fully connected layer, added to what came in, and normalized."""

    def __init__(self, inputs, config):
        super().__init__()
        self.dense = nn.Linear(inputs, config["hidden_size"])
        self.LayerNorm = nn.LayerNorm(config["hidden_size"], config["layer_norm_eps"])

    def forward(self, x, before):
        return self.LayerNorm(self.dense(x) + before)


class Layer(nn.Module):
    """Attention, then two layers for each position alone; the names are those in the file."""

    def __init__(self, config):
        super().__init__()
        width, inner = config["hidden_size"], config["intermediate_size"]
        self.attention = nn.ModuleDict(
            {"self": SelfAttention(config), "output": Output(width, config)}
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inner)})
        self.output = Output(inner, config)

    def forward(self, x, mask):  # (B, T, C)
        x = self.attention["output"](self.attention["self"](x, mask), x)
        return self.output(F.gelu(self.intermediate["dense"](x)), x)


class Bert(nn.Module):
    """Tokens in, scores of the token at each place out."""

    def __init__(self, config):
        super().__init__()
        width, tokens = config["hidden_size"], config["vocab_size"]
        layers = [Layer(config) for _ in range(config["num_hidden_layers"])]
        self.embeddings = Embeddings(config)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})
        self.predictions = nn.ModuleDict(
            {
                "transform": nn.ModuleDict(
                    {
                        "dense": nn.Linear(width, width),
                        "LayerNorm": nn.LayerNorm(width, config["layer_norm_eps"]),
                    }
                )
            }
        )
        self.bias = nn.Parameter(tl.zeros(tokens))

    def forward(self, ids, mask=None, types=None):  # (B, T) each; mask is False at padding
        types = tl.zeros_like(ids) if types is None else types
        seen = None if mask is None else mask.bool()[:, None, None, :]  # (B, 1, 1, T)
        x = self.embeddings(ids, types)  # (B, T, C)
        for layer in self.encoder["layer"]:
            x = layer(x, seen)
        transform = self.predictions["transform"]
        x = transform["LayerNorm"](F.gelu(transform["dense"](x)))
        return x @ self.embeddings.word_embeddings.weight.T + self.bias  # (B, T, vocabulary)


def load(folder):
    """The model in a folder, in float32, whatever the file's dtype is."""
    model = Bert(json.loads((Path(folder) / "config.json").read_text()))
    state = {}
    for name, value in tl.load(folder).items():
        name = name.removeprefix("bert.").removeprefix("cls.")
        name = {"predictions.bias": "bias"}.get(name, name)
        name = name.replace("LayerNorm.gamma", "LayerNorm.weight")  # as the first files say
        name = name.replace("LayerNorm.beta", "LayerNorm.bias")
        state[name] = value.float()
    wanted = model.state_dict()
    model.load_state_dict({name: v for name, v in state.items() if name in wanted})
    return model.eval()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--text", default="Paris is the [MASK] of France.")
    parser.add_argument("--ids", help="token numbers instead of a text")
    parser.add_argument("--mask", type=int, help="with --ids: the number of the masked token")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    model = load(args.folder).to(tl.device(args.device))
    if args.ids:
        ids, masked, say = [int(i) for i in args.ids.split(",")], args.mask, str
    else:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(Path(args.folder) / "tokenizer.json"))
        ids, masked = tokenizer.encode(args.text).ids, tokenizer.token_to_id("[MASK]")
        say = tokenizer.id_to_token
    with tl.no_grad():
        scores = model(tl.tensor([ids], device=model.bias.device))[0]  # (T, vocabulary)
    for place in [i for i, token in enumerate(ids) if token == masked]:
        shares = F.softmax(scores[place], -1)
        best = tl.topk(shares, 5)
        pairs = zip(best.values.tolist(), best.indices.tolist(), strict=True)
        words = [f"{say(i)} {p:.3f}" for p, i in pairs]
        print(f"token {place}:", ", ".join(words))
