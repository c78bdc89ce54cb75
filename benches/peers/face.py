"""Face search against peers on one machine in one run; started by face.sh.

Every engine answers the same probes on the same references at cosine 0.40. Recall is counted against fp32: a pair
counts when its fp64 cosine is at least 2e-6 above the threshold, and a surplus one when it is 2e-6 below.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

import faiss
import numpy
from usearch.index import MetricKind, search as usearch_search

THRESHOLD = 0.40
SLACK = 2e-6
SINGLES = 20
CHUNK = 50_000


def timed(work, repeats=3):
    """Median seconds and the last result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2], result


def truth(references, probes):
    """Pairs that must be found, and pairs that may be."""
    must, may = set(), set()
    for first in range(0, len(references), CHUNK):
        scores = probes @ references[first : first + CHUNK].T
        for q, r in zip(*numpy.nonzero(scores >= THRESHOLD - 1e-4)):
            exact = float(probes[q].astype(numpy.float64) @ references[first + r].astype(numpy.float64))
            if exact >= THRESHOLD - SLACK:
                may.add((int(q), first + int(r)))
            if exact >= THRESHOLD + SLACK:
                must.add((int(q), first + int(r)))
    return must, may


def product_and_threshold(references, probes):
    """What a careful numpy user writes."""
    found = []
    for first in range(0, len(references), CHUNK):
        scores = probes @ references[first : first + CHUNK].T
        q, r = numpy.nonzero(scores >= THRESHOLD)
        found.append((q, r + first))
    return found


def ours(binary, data, threads):
    """Our JSON lines and the pairs that we found."""
    with tempfile.NamedTemporaryFile() as hits:
        out = subprocess.run(
            [binary, "--references", f"{data}/references.npy", "--probes", f"{data}/probes.npy", "--threshold",
             str(THRESHOLD), "--threads", str(threads), "--check", "2", "--hits", hits.name],
            check=True, capture_output=True, text=True).stdout
        pairs = set()
        for line in open(hits.name):
            q, r, _ = line.split(",")
            pairs.add((int(q), int(r)))
    return {line["measure"]: line for line in map(json.loads, out.splitlines())}, pairs


def main():
    binary, data, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:threads]))
    faiss.omp_set_num_threads(threads)
    mine, mine_pairs = ours(binary, data, threads)
    references = numpy.load(f"{data}/references.npy")
    probes = numpy.load(f"{data}/probes.npy")
    references /= numpy.linalg.norm(references, axis=1, keepdims=True)
    probes /= numpy.linalg.norm(probes, axis=1, keepdims=True)
    n, m = len(references), len(probes)
    must, may = truth(references, probes)

    rows = []

    def row(name, exact, batch_s, batch_probes, single_s, pairs):
        recall = len(must & pairs) / max(1, len(must)) if pairs is not None else None
        surplus = len(pairs - may) if pairs is not None else None
        rows.append((name, exact, n * batch_probes / batch_s / 1e9 if batch_s else None, single_s, recall, surplus))

    row("duynhat", "yes", mine["batch"]["seconds"], mine["batch"]["probes"], mine["single"]["ms"] / 1e3, mine_pairs)

    few = min(m, 100)
    batch, found = timed(lambda: product_and_threshold(references, probes), 1)
    single, _ = timed(lambda: numpy.nonzero(references @ probes[0] >= THRESHOLD), SINGLES)
    row("numpy product + threshold", "yes", batch, m, single,
        {(int(q), int(r)) for qs, rs in found for q, r in zip(qs, rs)})

    index = faiss.IndexFlatIP(references.shape[1])
    index.add(references)

    def ranged(x):
        limits, _, labels = index.range_search(x, THRESHOLD)
        return {(q, int(r)) for q in range(len(x)) for r in labels[limits[q] : limits[q + 1]]}

    batch, pairs = timed(lambda: ranged(probes[:few]), 1)
    single, _ = timed(lambda: ranged(probes[:1]), SINGLES)
    all_few = {p for p in must if p[0] < few}
    rows.append(("FAISS IndexFlatIP range", "yes", n * few / batch / 1e9, single,
                 len(all_few & pairs) / max(1, len(all_few)), len(pairs - may)))
    del index

    int8 = numpy.round(references * (127 / numpy.abs(references).max())).astype(numpy.int8)
    probes8 = numpy.round(probes * (127 / numpy.abs(probes).max())).astype(numpy.int8)
    batch, _ = timed(lambda: usearch_search(int8, probes8[:few], 100, MetricKind.Cos, exact=True, threads=threads), 1)
    single, _ = timed(lambda: usearch_search(int8, probes8[:1], 100, MetricKind.Cos, exact=True, threads=threads), 5)
    row("usearch exact int8, top 100", "no bound", batch, few, single, None)

    signs = faiss.IndexBinaryFlat(references.shape[1])
    signs.add(numpy.packbits(references > 0, axis=1))
    packed = numpy.packbits(probes > 0, axis=1)
    batch, (_, nearest) = timed(lambda: signs.search(packed, 10), 1)
    single, _ = timed(lambda: signs.search(packed[:1], 10), SINGLES)
    row("FAISS IndexBinaryFlat, top 10", "no", batch, m, single,
        {(q, int(r)) for q in range(m) for r in nearest[q]} & may)

    print(f"\n{n:,} references x {references.shape[1]}, {m} probes, threshold {THRESHOLD}, {threads} thread(s), "
          f"{len(must)} pairs to find")
    print(f"{'engine':30} {'exact':9} {'batch Gcmp/s':>12} {'ours is':>8} {'single ms':>10} {'ours is':>8} {'recall':>8} surplus")
    base = rows[0]
    for name, exact, rate, single, recall, surplus in rows:
        ratio = f"{base[2] / rate:.1f} x" if rate else "-"
        ratio1 = f"{single / base[3]:.1f} x" if single else "-"
        print(f"{name:30} {exact:9} {rate:12.3f} {ratio:>8} {single * 1e3:10.2f} {ratio1:>8} "
              f"{'-' if recall is None else f'{recall:.4f}':>8} {'-' if surplus is None else surplus}")


if __name__ == "__main__":
    main()
