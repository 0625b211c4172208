"""A program that is timed in turn with others, in a process of its own."""
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

# The threads of some peers spin for a while after a pass; let them fall asleep before another one starts.
PAUSE = 0.5


class Peer:
    """Answers every line on its standard input with the seconds of a pass and a value of its result."""

    def __init__(self, name, command):
        self.name, self.seconds, self.values, self.peak = name, [], [], 0
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self):
        time.sleep(PAUSE)
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        seconds, value = self.process.stdout.readline().split()
        self.seconds.append(float(seconds))
        self.values.append(float(value))

    def close(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        self.peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1e6
        self.process.stdin.close()
        if self.process.wait() != 0:
            sys.exit(f"{self.name} failed")


def run_in_turn(peers, rounds):
    """`rounds` passes of each after one that warms up and does not count."""
    for _ in range(1 + rounds):
        for peer in peers:
            peer.run()
    for peer in peers:
        peer.seconds = peer.seconds[1:]
        peer.close()


def report(title, peers):
    """Seconds of each peer, and the ratio of every pass to the first peer's pass of the same round."""
    print(f"\n{title}: seconds, peak memory, and each pass in passes of {peers[0].name}")
    for peer in peers:
        ratios = " ".join(f"{theirs / own:.2f}" for theirs, own in zip(peer.seconds, peers[0].seconds))
        spread = f"[{min(peer.seconds):.3f}-{max(peer.seconds):.3f}]"
        print(f"{peer.name:<20} median {median(peer.seconds):.3f} {spread}  {peer.peak:.2f} GB  {ratios}")
