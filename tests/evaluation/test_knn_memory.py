"""k-NN needs less than a GiB above the features."""

MEMORY = """
import torch
from mssl_plugins.evaluation.knn import knn_accuracy
queries, keys = torch.randn({queries}, 384), torch.randn(50000, 384)
labels = torch.arange(50000) % 10
knn_accuracy(queries[:8], labels[:8], keys[:600], labels[:600], ks=[200])  # libraries are loaded
# ru_maxrss would begin with that of the process that started this one
status = lambda: dict(line.split(':', 1) for line in open('/proc/self/status'))
peak = lambda: int(status()['VmHWM'].split()[0]) / 2**20
before = peak()
knn_accuracy(queries, labels[:len(queries)], keys, labels)
print(peak() - before)
"""


def test_knn_needs_less_than_a_gib_above_the_features(run_python):
    """50,000 keys of 384 dimensions; with more queries there are more steps,
    not larger ones (10,000 are measured in docs/evaluation.md)."""
    done = run_python('-c', MEMORY.format(queries=1500), fresh=True)
    assert done.returncode == 0, done.stderr[-1000:]
    assert float(done.stdout.split()[-1]) < 1
