"""The peer's side of the protocol in README.md: reads questions, times bodies, answers."""
import sys
import time


def number(word):
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            pass
    return word


def timed(body, count, finish):
    start = time.perf_counter()
    for _ in range(count):
        body()
    finish()
    return time.perf_counter() - start


def seconds_per_call(body, seconds, finish):
    """A fifth of the time to warm up and to learn how many calls fit, then one timed batch."""
    count, elapsed = 1, timed(body, 1, finish)
    warm = elapsed
    while warm < seconds * 0.2:
        count *= 2
        elapsed = timed(body, count, finish)
        warm += elapsed
    batch = max(1, int(seconds * 0.8 / (elapsed / count)))
    return timed(body, batch, finish) / batch


def serve(description, open_case, finish=lambda: None):
    """Says that the peer is ready and answers until the input ends. open_case(words) gives a body, or None; finish() waits for what bodies enqueued."""
    print(f"ready {description}", flush=True)
    text, body = "", None
    for line in sys.stdin:
        milliseconds, _, case = line.strip().partition(" ")
        try:
            if case != text:
                body = None  # frees the last case's memory before the next one's is taken
                text, body = case, open_case(case.split())
            print("unsupported" if body is None else f"{seconds_per_call(body, int(milliseconds) * 1e-3, finish):.9e}", flush=True)
        except Exception as failure:  # whatever goes wrong is the answer
            text, body = "", None
            print("error: " + " ".join(str(failure).split()), flush=True)
