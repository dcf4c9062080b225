#!/usr/bin/env python3
"""PyTorch as a peer of `disttrain bench`: answers questions of the protocol in ../peers/README.md.

Usage: peer_torch.py DEVICE THREADS [PRECISION]     DEVICE is cpu or cuda:0; PRECISION is empty (f32, TF32 off), tf32 or bf16
"""
import sys
import time

import torch
import torch.nn.functional as F

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


CASES = {
    "matmul": matmul,
    "softmax": softmax,
    "distillation-loss": distillation_loss,
    "convolution": convolution,
    "attention": attention,
    "train-step": train_step,
}


def number(word):
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            pass
    return word


def open_case(words):
    make = CASES.get(words[0])
    return make(*[number(word) for word in words[1:]]) if make else None


def timed(body, count):
    start = time.perf_counter()
    for _ in range(count):
        body()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize(DEVICE)
    return time.perf_counter() - start


def seconds_per_call(body, seconds):
    """A fifth of the time to warm up and to learn how many calls fit, then one timed batch."""
    count, elapsed = 1, timed(body, 1)
    warm = elapsed
    while warm < seconds * 0.2:
        count *= 2
        elapsed = timed(body, count)
        warm += elapsed
    batch = max(1, int(seconds * 0.8 / (elapsed / count)))
    return timed(body, batch) / batch


def main():
    torch.manual_seed(1)
    torch.set_num_threads(int(sys.argv[2]))
    torch.backends.cuda.matmul.allow_tf32 = PRECISION == "tf32"
    torch.backends.cudnn.allow_tf32 = PRECISION == "tf32"
    place = torch.cuda.get_device_name(DEVICE) if DEVICE.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"ready pytorch {torch.__version__} {PRECISION or 'f32'} ({place})", flush=True)
    text, body = "", None
    for line in sys.stdin:
        milliseconds, _, case = line.strip().partition(" ")
        try:
            if case != text:
                body = None  # frees the last case's memory before the next one's is taken
                text, body = case, open_case(case.split())
            print("unsupported" if body is None else f"{seconds_per_call(body, int(milliseconds) * 1e-3):.9e}", flush=True)
        except Exception as failure:  # whatever goes wrong is the answer
            text, body = "", None
            print("error: " + " ".join(str(failure).split()), flush=True)


if __name__ == "__main__":
    main()
