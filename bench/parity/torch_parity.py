#!/usr/bin/python3
"""Compares training runs of DistTrain with PyTorch's, step by step.

For each model: makes initial weights with PyTorch, writes them as safetensors, lets DistTrain train --steps steps from them in file order,
trains the same model on the same batches with PyTorch, and compares the losses.
Needs Debian's python3-torch and python3-numpy. Usage: torch_parity.py [--models convnet,mlp] [--data digits] [--steps 20] [--device cpu]
Exit code 0 if every loss agrees within --tolerance (relative), else 1.
"""
import argparse, gzip, json, os, struct, subprocess, sys, tempfile
import numpy
import torch

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def write_safetensors(path, tensors):
    header, blobs, offset = {}, [], 0
    for name, tensor in tensors.items():
        blob = tensor.detach().contiguous().numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def read_idx(path):
    with gzip.open(path) as file:
        content = file.read()
    count = content[3]
    shape = struct.unpack(f">{count}I", content[4:4 + 4 * count])
    return numpy.frombuffer(content, numpy.uint8, offset=4 + 4 * count).reshape(shape)


def load(data):
    """The training images in file order, scaled to 0..1, and their labels."""
    if data == "digits":
        images, labels = read_digits()
        return images / 16.0, labels
    folder = os.path.join(ROOT, "data", data)
    images = read_idx(os.path.join(folder, "train-images-idx3-ubyte.gz")).astype(numpy.float32)
    return images / 255.0, read_idx(os.path.join(folder, "train-labels-idx1-ubyte.gz")).astype(numpy.int64)


def read_digits():
    rows = numpy.loadtxt(gzip.open(os.path.join(ROOT, "data", "digits", "digits.csv.gz")), delimiter=",")
    images, labels = rows[:, :64].reshape(-1, 8, 8).astype(numpy.float32), rows[:, 64].astype(numpy.int64)
    # The training part, as DistTrain cuts it: positions 4, 9, ..., 149 within each class are the test part.
    seen, keep = [0] * 10, []
    for row, label in enumerate(labels):
        if not (seen[label] % 5 == 4 and seen[label] < 150):
            keep.append(row)
        seen[label] += 1
    return images[keep], labels[keep]


class ConvNet(torch.nn.Module):
    def __init__(self, side, classes):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = torch.nn.Conv2d(32, 64, 3, padding=1)
        self.fc1 = torch.nn.Linear(64 * (side // 4) ** 2, 128)
        self.fc2 = torch.nn.Linear(128, classes)

    def forward(self, x):
        x = torch.nn.functional.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = torch.nn.functional.max_pool2d(torch.relu(self.conv2(x)), 2)
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))


class Mlp(torch.nn.Module):
    def __init__(self, side, classes):
        super().__init__()
        self.fc1 = torch.nn.Linear(side * side, 1024)
        self.fc2 = torch.nn.Linear(1024, 1024)
        self.fc3 = torch.nn.Linear(1024, classes)

    def forward(self, x):
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x.flatten(1))))))


def torch_losses(model, images, labels, options):
    optimizer = {
        "sgd": lambda p: torch.optim.SGD(p, options.lr, momentum=0.9),
        "adam": lambda p: torch.optim.Adam(p, options.lr),
        "adamw": lambda p: torch.optim.AdamW(p, options.lr),
    }[options.optimizer](model.parameters())
    losses = []
    for step in range(options.steps):
        at = step * options.batch_size
        x = torch.from_numpy(images[at:at + options.batch_size]).float().unsqueeze(1)
        loss = torch.nn.functional.cross_entropy(model(x), torch.from_numpy(labels[at:at + options.batch_size]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def disttrain_losses(name, folder, options):
    run = os.path.join(folder, "run")
    command = [os.path.join(ROOT, "disttrain"), "train", "--model", name, "--data", options.data, "--device", options.device,
               "--init", os.path.join(folder, "init.safetensors"), "--steps", str(options.steps), "--batch-size", str(options.batch_size),
               "--optimizer", options.optimizer, "--momentum", "0.9", "--schedule", "constant", "--lr", str(options.lr), "--no-shuffle", "--log-every", "1",
               "--weight-decay", "0.01" if options.optimizer == "adamw" else "0",
               "--output", run, "--json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=sys.stderr if options.verbose else subprocess.DEVNULL)
    with open(os.path.join(run, "metrics.jsonl")) as file:
        rows = [json.loads(line) for line in file]
    return [row["loss"] for row in rows if "loss" in row and "step" in row][:options.steps]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default="convnet,mlp")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--optimizer", default="sgd")
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(1)
    images, labels = load(options.data)
    failed = False
    for name in options.models.split(","):
        model = {"convnet": ConvNet, "mlp": Mlp}[name](images.shape[1], 10)
        with tempfile.TemporaryDirectory() as folder:
            write_safetensors(os.path.join(folder, "init.safetensors"), model.state_dict())
            ours = disttrain_losses(name, folder, options)
        theirs = torch_losses(model, images, labels, options)
        worst = max(abs(a - b) / abs(b) for a, b in zip(ours, theirs)) if len(ours) == len(theirs) else float("inf")
        failed |= not worst <= options.tolerance
        print(f"{name} {options.data} {options.optimizer}: {len(ours)} steps, first loss {ours[0]:.6f} / {theirs[0]:.6f}, last {ours[-1]:.6f} / {theirs[-1]:.6f}, "
              f"largest relative difference {worst:.2e} (allowed {options.tolerance:.0e})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
