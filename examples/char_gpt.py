"""A small GPT that learns to write, character by character.

The model of "Attention is all you need" (Vaswani et al., 2017), decoder only, with the pre-norm
blocks of GPT-2 (Radford et al., 2019). It reads `--text FILE`, or Python's own documentation.

    python examples/char_gpt.py
    python examples/char_gpt.py --text shakespeare.txt --steps 5000
"""

import argparse

import tensorlite as tl
from tensorlite import nn
from tensorlite.data import Vocabulary, text, windows
from tensorlite.nn import functional as F

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--text", help="a text file to learn from")
parser.add_argument("--steps", type=int, default=400)
parser.add_argument("--batch-size", type=int, default=16)
parser.add_argument("--context", type=int, default=64)
parser.add_argument("--width", type=int, default=96)
parser.add_argument("--layers", type=int, default=3)
parser.add_argument("--heads", type=int, default=4)
parser.add_argument("--lr", type=float, default=2e-3)
parser.add_argument("--device", default="auto")
args = parser.parse_args()
device = tl.device(args.device)
tl.manual_seed(0)


class Block(nn.Module):
    """Attention, then a two-layer network, each added to what came in."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x):  # (B, T, C)
        b, t, c = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(b, t, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # 3 × (B, nh, T, hs)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, nh, T, hs)
        x = x + self.out(mixed.swapaxes(1, 2).reshape(b, t, c))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    """Characters in, a score for every possible next character out."""

    def __init__(self, characters, context, width, layers, heads):
        super().__init__()
        self.token = nn.Embedding(characters, width)
        self.position = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*[Block(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, characters)
        for name, p in self.named_parameters():  # GPT-2's initialisation
            if name.endswith("weight") and p.ndim == 2:
                nn.init.normal_(p, std=0.02)

    def forward(self, ids):  # (B, T)
        where = tl.arange(ids.shape[1], device=ids.device)  # (T,)
        x = self.token(ids) + self.position(where)  # (B, T, C)
        return self.head(self.norm(self.blocks(x)))  # (B, T, characters)


splits = text(args.text)
vocabulary = Vocabulary(splits.classes)
train_ids, val_ids = splits.train.features, splits.test.features  # (characters,) of each part
model = GPT(len(splits.classes), args.context, args.width, args.layers, args.heads).to(device)
optimizer = tl.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.99), weight_decay=0.1)
schedule = tl.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, args.steps, pct_start=0.1)
generator = tl.random.Generator(1)
count = sum(p.numel() for p in model.parameters())
print(f"{len(train_ids):,} characters, {len(splits.classes)} different; {count:,} parameters")


def batch(ids):
    """Random passages and, for each character, the one that follows it."""
    passages = windows(ids, args.context + 1, stride=1)  # a view: (N − context, context + 1)
    chosen = passages[generator.integers(0, len(passages), (args.batch_size,))]
    chosen = tl.tensor(chosen, device=device)
    return chosen[:, :-1], chosen[:, 1:]  # (B, T), (B, T)


def loss_of(x, target):
    scores = model(x)  # (B, T, characters)
    return F.cross_entropy(scores.reshape(-1, scores.shape[-1]), target.reshape(-1))


def generate(prompt, length):
    """Continue `prompt`, drawing each character from the model's distribution."""
    ids = tl.tensor(vocabulary.encode(prompt), device=device)[None]  # (1, T)
    with tl.no_grad():
        for _ in range(length):
            scores = model(ids[:, -args.context :])[0, -1]  # (characters,)
            cumulative = F.softmax(scores / 0.8).cumsum(dim=0)
            drawn = (cumulative < tl.rand(1, device=device)).sum().clip(0, len(scores) - 1)
            ids = tl.concat([ids, drawn.reshape(1, 1)], axis=1)
    return vocabulary.decode(ids[0].tolist())


for step in range(1, args.steps + 1):
    loss = loss_of(*batch(train_ids))
    optimizer.zero_grad()
    loss.backward()
    tl.optim.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    if step % 100 == 0 or step == args.steps:
        model.eval()
        with tl.no_grad():
            val = sum(loss_of(*batch(val_ids)).item() for _ in range(10)) / 10
        model.train()
        print(f"step {step:5d}  train loss {loss.item():.3f}  validation loss {val:.3f}")

print(generate("The ", 200))
