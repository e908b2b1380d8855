"""Compares the results of a run of the Autobahn tests with the expected ones. Python 2.7 or 3."""
from __future__ import print_function
import collections
import json
import sys

GOOD = ("OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED")


def read(path):
    with open(path) as file:
        return json.load(file)


def main(expected, out, options):
    found = {}
    for side in ("server", "client"):
        cases = read("%s/%s/index.json" % (out, side))["wsstream"]
        # What the messages did, and how the connection ended.
        found[side] = {
            case: "%s, %s" % (result["behavior"], result["behaviorClose"])
            for case, result in cases.items()
        }
    if "--update" in options:
        with open(expected, "w") as file:
            text = json.dumps(found, indent=1, sort_keys=True, separators=(",", ": "))
            file.write(text + "\n")
    wrong = []
    for side, wanted in read(expected).items():
        for case in sorted(set(wanted) | set(found[side])):
            now, before = found[side].get(case, "not run"), wanted.get(case, "not known")
            if now != before or not all(part in GOOD for part in now.split(", ")):
                wrong.append("%s %s: %s, expected %s" % (side, case, now, before))
    counts = {side: collections.Counter(cases.values()) for side, cases in found.items()}
    if "--json" in options:
        print(json.dumps({"results": counts, "wrong": wrong}, sort_keys=True))
    else:
        for side, results in sorted(counts.items()):
            print(side, "; ".join("%d %s" % (n, what) for what, n in sorted(results.items())))
        print("\n".join(wrong + ["%d of %d wrong" % (len(wrong), sum(map(len, found.values())))]))
    return 1 if wrong else 0


sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
