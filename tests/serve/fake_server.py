"""A server program with a fake specialist: `fake_server.py [--slow S] [--notice S] [--keys FILE] --host H --port P`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from serve_fakes import LengthPredictor, lengths

from shokunin.answer import Answer, Inputs
from shokunin.errors import UsageError
from shokunin.serve.app import create_app
from shokunin.serve.edge import loopback_only
from shokunin.serve.gate import KeyGate
from shokunin.serve.keys import KeyFile
from shokunin.serve.process import run


class Announcing(LengthPredictor):
    def predict(self, batch: Sequence[Inputs]) -> list[Answer]:
        print("asked", flush=True)
        return super().predict(batch)


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--slow", type=float, default=0.0)
    options.add_argument("--notice", type=float, default=0.0)
    options.add_argument("--keys", type=Path)
    options.add_argument("--host", required=True)
    options.add_argument("--port", type=int, required=True)
    asked = options.parse_args()
    try:
        file = None if asked.keys is None else KeyFile(asked.keys)
        gate = loopback_only if file is None else KeyGate(file)
        app = create_app(lengths(Announcing(seconds=asked.slow)), gate=gate)
        run(
            app,
            asked.host,
            asked.port,
            notice_seconds=asked.notice,
            keyed=file is not None and file.any_valid(),
            started=lambda url: print(f"serving on {url}", flush=True),
        )
    except UsageError as error:
        print(error)
        sys.exit(2)
