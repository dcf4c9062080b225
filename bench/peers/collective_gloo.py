#!/usr/bin/env python3
"""Gloo through torch.distributed as a peer of `disttrain bench allreduce`. Usage: collective_gloo.py RANKS

Questions and timing as in collective_mpi.c: `collective VERB BYTES CALLS`; every rank writes what it sends before each call, then a barrier, and only
the call is timed; the slowest rank counts. Verbs that this torch's Gloo does not have are `unsupported`."""
import os
import socket
import statistics
import sys
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

CALLS_MAX, SMALL_BYTES = 10000, 1 << 20
VERBS = ["all-reduce", "all-gather", "broadcast", "reduce", "send-recv"]


def open_case(verb, elements, rank, world):
    """The tensor that is written, and the call."""
    if verb == "all-gather":
        send = torch.zeros(elements // world)
        parts = list(torch.zeros(elements).chunk(world))
        return send, lambda: dist.all_gather(parts, send)
    data = torch.zeros(elements)
    if verb == "send-recv":
        received = torch.zeros(elements)

        def exchange():
            request = dist.irecv(received, (rank - 1) % world)
            dist.isend(data, (rank + 1) % world).wait()
            request.wait()

        return data, exchange
    bodies = {"all-reduce": lambda: dist.all_reduce(data), "broadcast": lambda: dist.broadcast(data, 0), "reduce": lambda: dist.reduce(data, 0)}
    return data, bodies[verb]


def measure(verb, elements, calls, rank, world):
    """Seconds a call on the slowest rank; None if a result was wrong."""
    data, body = open_case(verb, elements, rank, world)
    seconds, warm_calls = [], 2 if elements * 4 <= SMALL_BYTES else 1
    for call in range(-warm_calls, calls):
        data.fill_(rank + call + 1)
        dist.barrier()
        start = time.perf_counter()
        body()
        seconds.append(time.perf_counter() - start)
    is_wrong = verb == "all-reduce" and not bool((data == sum(r + calls for r in range(world))).all())
    typical = statistics.median(seconds[warm_calls:]) if world <= os.cpu_count() else statistics.fmean(seconds[warm_calls:])
    slowest = torch.tensor([typical, float(is_wrong)], dtype=torch.float64)
    dist.all_reduce(slowest, op=dist.ReduceOp.MAX)
    return None if slowest[1] else float(slowest[0])


def ask(words, world):
    """The question as three numbers for all ranks, or what to answer instead."""
    if words[1] != "collective" or len(words) != 5 or words[2] not in VERBS:
        return None, "unsupported"
    size, calls = int(words[3]), int(words[4])
    if not 1 <= calls <= CALLS_MAX or size < 4 or size % (4 * world if words[2] == "all-gather" else 4):
        return None, f"error: expected 1 to {CALLS_MAX} calls and bytes of f32, shared evenly by {world} ranks where each has a part"
    return torch.tensor([VERBS.index(words[2]), size // 4, calls]), ""


def lead(world):
    print(f"ready gloo of torch {torch.__version__}, {world} ranks", flush=True)
    for line in sys.stdin:
        try:
            question, refusal = ask(line.split(), world)
        except (ValueError, IndexError) as failure:
            question, refusal = None, f"error: {failure}"
        if question is None:
            print(refusal, flush=True)
            continue
        dist.broadcast(question, 0)
        verb, elements, calls = question.tolist()
        seconds = measure(VERBS[verb], elements, calls, 0, world)
        print("error: wrong result" if seconds is None else f"{seconds:.9e}", flush=True)
    dist.broadcast(torch.tensor([-1, 0, 0]), 0)


def follow(rank, world):
    question = torch.tensor([0, 0, 0])
    while True:
        dist.broadcast(question, 0)
        verb, elements, calls = question.tolist()
        if verb < 0:
            return
        measure(VERBS[verb], elements, calls, rank, world)


def worker(rank, world, port):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=world)
    lead(world) if rank == 0 else follow(rank, world)
    dist.destroy_process_group()


def main():
    world = int(sys.argv[1])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = mp.get_context("fork")
    others = [context.Process(target=worker, args=(rank, world, port), daemon=True) for rank in range(1, world)]
    for process in others:
        process.start()
    worker(0, world, port)
    for process in others:
        process.join(10)


if __name__ == "__main__":
    main()
