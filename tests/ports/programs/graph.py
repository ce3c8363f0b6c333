"""Graph convolution (Kipf and Welling 2016) and graph attention in plain tensors."""

import numpy as np
import torch
import torch.nn.functional as F

NODES, FEATURES, HIDDEN, CLASSES = 12, 6, 8, 3


def build():
    shapes = [(FEATURES, HIDDEN), (HIDDEN,), (HIDDEN, CLASSES), (2 * CLASSES, 1)]
    return [torch.zeros(*shape, requires_grad=True) for shape in shapes]


def convolve(x, weight, edges, degree):
    source, target = edges
    norm = (degree[source] * degree[target]).rsqrt()
    messages = (x @ weight).index_select(0, source) * norm.unsqueeze(-1)
    out = torch.zeros(x.size(0), weight.size(1), device=x.device)
    return out.index_add(0, target, messages)


def attend(h, a, edges):
    source, target = edges
    e = F.leaky_relu(torch.cat([h[source], h[target]], dim=1) @ a, 0.2).squeeze(1)
    e = torch.exp(e - e.max())
    total = torch.zeros(NODES, device=h.device).scatter_add(0, target, e)
    alpha = e / total[target]
    index = target[:, None].expand(-1, h.size(1))
    return torch.zeros_like(h).scatter_add(0, index, alpha[:, None] * h[source])


def train(params, device):
    rng = np.random.default_rng(12)
    w1, b1, w2, a = params
    adjacency = torch.tensor(rng.random((NODES, NODES)) < 0.25, device=device)
    adjacency = adjacency | adjacency.T | torch.eye(NODES, dtype=torch.bool, device=device)
    edges = adjacency.nonzero(as_tuple=True)
    degree = adjacency.sum(dim=1).float()
    assert torch.equal(torch.stack(edges, dim=1), adjacency.nonzero())
    x = torch.randn(NODES, FEATURES, device=device)
    y = torch.randint(0, CLASSES, (NODES,), device=device)
    mask = torch.zeros(NODES, dtype=torch.bool, device=device)
    mask[::2] = True
    optimizer = torch.optim.Adam(params, lr=0.01, weight_decay=5e-4)
    for _ in range(20):
        optimizer.zero_grad()
        h = F.relu(convolve(x, w1, edges, degree) + b1)
        h = F.dropout(h, 0.3, training=True)
        out = attend(h @ w2, a, edges)
        loss = F.cross_entropy(out[mask], y[mask])
        loss.backward()
        optimizer.step()
        accuracy = (out.argmax(dim=-1)[~mask] == y[~mask]).float().mean()
        yield loss.item() + accuracy.item()
