#!/usr/bin/env python3
"""PyTorch as a peer of `disttrain bench`: answers questions of the protocol in README.md.

Usage: peer_torch.py DEVICE THREADS [PRECISION]     DEVICE is cpu or cuda:0; PRECISION is empty (f32, TF32 off), tf32 or bf16
"""
import sys

import torch
import torch.nn.functional as F

from peer_protocol import number, serve

DEVICE = torch.device(sys.argv[1])
PRECISION = sys.argv[3] if len(sys.argv) > 3 else ""
DTYPE = torch.bfloat16 if PRECISION == "bf16" else torch.float32


def random(*shape):
    return (torch.rand(*shape, device=DEVICE) * 2 - 1).to(DTYPE)


def labels(count, end):
    return torch.randint(end, (count,), device=DEVICE)


def matmul(m, n, k, a, b):
    left = random(k, m).t() if a == "t" else random(m, k)
    right = random(n, k).t() if b == "t" else random(k, n)
    output = torch.empty(m, n, device=DEVICE, dtype=DTYPE)
    return lambda: torch.mm(left, right, out=output)


def softmax(rows, columns, temperature):
    logits = random(rows, columns)
    return lambda: F.softmax(logits / temperature if temperature != 1 else logits, dim=-1)


def distillation_loss(rows, classes, alpha, temperature):
    student, teacher, targets = random(rows, classes).requires_grad_(), random(rows, classes), labels(rows, classes)

    def body():
        student.grad = None
        hard = F.cross_entropy(student, targets)
        soft = F.kl_div(F.log_softmax(student / temperature, 1), F.log_softmax(teacher / temperature, 1), reduction="batchmean", log_target=True)
        ((1 - alpha) * hard + alpha * temperature * temperature * soft).backward()

    return body


def gradients(output, sources):
    d_output = torch.rand_like(output)
    return lambda: torch.autograd.grad(output, sources, d_output, retain_graph=True)


def convolution(direction, n, c, h, w, o, kh, kw, stride, padding):
    image, weight, bias = random(n, c, h, w), random(o, c, kh, kw), random(o)
    if direction == "forward":
        return lambda: F.conv2d(image, weight, bias, stride, padding)
    sources = [image] if direction == "backward-input" else [weight, bias]
    for source in sources:
        source.requires_grad_()
    return gradients(F.conv2d(image, weight, bias, stride, padding), sources)


def attention(direction, batch, tokens, heads, head_size, mask):
    inputs = [random(batch, heads, tokens, head_size) for _ in range(3)]
    if direction == "forward":
        return lambda: F.scaled_dot_product_attention(*inputs, is_causal=mask == "causal")
    for source in inputs:
        source.requires_grad_()
    return gradients(F.scaled_dot_product_attention(*inputs, is_causal=mask == "causal"), inputs)


def mlp():
    linear, relu = torch.nn.Linear, torch.nn.ReLU
    return torch.nn.Sequential(linear(784, 1024), relu(), linear(1024, 1024), relu(), linear(1024, 10)), (784,), 10


def convnet():
    conv, linear, relu, pool = torch.nn.Conv2d, torch.nn.Linear, torch.nn.ReLU, torch.nn.MaxPool2d
    features = [conv(1, 32, 3, padding=1), relu(), pool(2), conv(32, 64, 3, padding=1), relu(), pool(2)]
    return torch.nn.Sequential(*features, torch.nn.Flatten(), linear(64 * 7 * 7, 128), relu(), linear(128, 10)), (1, 28, 28), 10


class Transformer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(256, 4, 1024, dropout=0, batch_first=True), 2)
        self.head = torch.nn.Linear(256, 10)

    def forward(self, positions):
        return self.head(self.encoder(positions)).flatten(0, 1)


MODELS = {"mlp": mlp, "convnet": convnet, "transformer": lambda: (Transformer(), (128, 256), 10)}


def train_step(name, batch):
    if name not in MODELS:
        return None
    model, shape, classes = MODELS[name]()
    model.to(DEVICE, DTYPE).train()
    inputs = random(batch, *shape)
    targets = labels(model(inputs).shape[0], classes)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def body():
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()

    return body


def loader(element_bytes, batch):
    """A batch of DataLoader's over elements in memory, without worker processes."""
    elements = torch.utils.data.TensorDataset(torch.rand(max(1 << 16, (64 << 20) // element_bytes), element_bytes // 4))
    batches = torch.utils.data.DataLoader(elements, batch_size=batch, num_workers=0)
    iterator = None

    def body():
        nonlocal iterator
        taken = next(iterator, None) if iterator else None
        if taken is None:
            iterator = iter(batches)
            next(iterator)

    return body


CASES = {
    "matmul": matmul,
    "softmax": softmax,
    "distillation-loss": distillation_loss,
    "convolution": convolution,
    "attention": attention,
    "train-step": train_step,
    "loader": loader,
}


def open_case(words):
    make = CASES.get(words[0])
    return make(*[number(word) for word in words[1:]]) if make else None


def finish():
    if DEVICE.type == "cuda":
        torch.cuda.synchronize(DEVICE)


def main():
    torch.manual_seed(1)
    torch.set_num_threads(int(sys.argv[2]))
    torch.backends.cuda.matmul.allow_tf32 = PRECISION == "tf32"
    torch.backends.cudnn.allow_tf32 = PRECISION == "tf32"
    place = torch.cuda.get_device_name(DEVICE) if DEVICE.type == "cuda" else f"{torch.get_num_threads()} threads"
    serve(f"pytorch {torch.__version__} {PRECISION or 'f32'} ({place})", open_case, finish)


if __name__ == "__main__":
    main()
