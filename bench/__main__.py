"""``make bench``: run every benchmark, or the one that ONLY names; each prints JSON lines on stdout."""

import importlib
import pkgutil
import sys

import bench


def main(only: str) -> int:
    """Benchmarks are the modules of this package that have a ``main``."""
    names = sorted(module.name for module in pkgutil.iter_modules(bench.__path__) if not module.name.startswith("_"))
    if only and only not in names:
        print(f"no benchmark {only!r}; there are: {', '.join(names)}", file=sys.stderr)
        return 2
    for name in [only] if only else names:
        print(f"# {name}", file=sys.stderr)
        importlib.import_module(f"bench.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
