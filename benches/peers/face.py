"""Face search against peers on one machine in one run; started by face.sh.

Every engine answers the same probes on the same references at cosine 0.40. Recall is counted against fp32: a pair
counts when its fp64 cosine is at least 2e-6 above the threshold, and a surplus one when it is 2e-6 below.

Rates are given by the wall clock and by processor time (all threads together); on a machine with neighbours only the
second is fair.
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
    """Median wall and processor seconds, and the last result."""
    wall, processor = [], []
    for _ in range(repeats):
        start, start_processor = time.perf_counter(), time.process_time()
        result = work()
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - start_processor)
    return (sorted(wall)[repeats // 2], sorted(processor)[repeats // 2]), result


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

    def row(name, exact, batch, batch_probes, single, pairs):
        """One engine: batch and single as (wall, processor) seconds, and what the batch found, if it tells."""
        wanted = {pair for pair in must if pair[0] < batch_probes}
        recall = f"{len(wanted & pairs) / max(1, len(wanted)):.4f}" if pairs is not None else "-"
        surplus = str(len(pairs - may)) if pairs is not None else "-"
        rates = [n * batch_probes / max(seconds, 1e-9) / 1e9 for seconds in batch]
        rows.append((name, exact, rates, [1e3 * s for s in single], recall, surplus))

    b, s = mine["batch"], mine["single"]
    processor = n * b["probes"] / b["gcomparisons_per_processor_s"] / 1e9
    row("duynhat", "yes", (b["seconds"], processor), b["probes"], (s["ms"] / 1e3, s["processor_ms"] / 1e3), mine_pairs)

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
    row("FAISS IndexFlatIP range", "yes", batch, few, single, pairs)
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
          f"{len(must)} pairs to find; Gcmp: 1e9 comparisons")
    print(f"{'engine':30} {'exact':8} {'Gcmp/s':>7} {'ours is':>8} {'Gcmp/cpu s':>10} {'ours is':>8} {'single ms':>9} "
          f"{'ours is':>8} {'cpu ms':>8} {'ours is':>8} {'recall':>7} surplus")
    best = rows[0]
    for name, exact, rates, singles, recall, surplus in rows:
        cells = [f"{name:30} {exact:8}"]
        for k, width in ((0, 7), (1, 10)):
            cells.append(f"{rates[k]:{width}.3f} {best[2][k] / rates[k]:6.1f} x")
        for k in (0, 1):
            cells.append(f"{singles[k]:{9 - k}.2f} {singles[k] / max(best[3][k], 1e-9):6.1f} x")
        print(*cells, f"{recall:>7} {surplus}")


if __name__ == "__main__":
    main()
