"""Evaluates inputs with the client `opa-wasmtime`: a JSON object in each line of standard input, the results in each of
standard output. The argument is the directory of the modules."""

import json
import sys

from opa_wasmtime import OPAPolicy

policies = {}


def policy(name):
    if name not in policies:
        policies[name] = OPAPolicy(f"{sys.argv[1]}/{name}.wasm")
    return policies[name]


for line in sys.stdin:
    given = json.loads(line)
    name = given["policy"]
    try:
        reply = policy(name).evaluate(json.loads(given["input"]), f"podfence/{name}/violation")
    except Exception as error:  # What it is, is in the text.
        reply = {"error": repr(error)}
    print(json.dumps(reply))
